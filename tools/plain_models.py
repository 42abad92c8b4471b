"""An existing .tflite, packed and proven: there is no Keras model to compare it with."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from runtime import artifact
from tools import arrays, calibration, fidelity, plausible, proving
from tools.calibration import Input
from tools.candidates import Candidate, Prepared, check_operators
from tools.errors import ProofError
from tools.targets import Bench

MODE = "as it is"


def try_file(arguments: argparse.Namespace, bench: Bench, folder: Path) -> tuple[Prepared, Candidate]:
    """Run the file in every target on the sample data; they must agree with one another.

    Raises ProofError where a target refuses it, DataError where the data does not fit.
    """
    path = folder / "model.tflite"
    shutil.copyfile(arguments.model, path)
    path.write_bytes(artifact.strip(path.read_bytes()))
    check_operators(path.read_bytes(), bench)
    python = next(iter(bench.pythons.values()))
    told = proving.run(python, {"model": str(path)}, folder / "describe.json")
    inputs = [Input(item["name"], item["dtype"], tuple(item["shape"])) for item in told["inputs"]]
    data = None
    if arguments.data:
        options = calibration.Options(arguments.target_column, arguments.normalize, arguments.limit)
        data = calibration.load(arguments.data, inputs, options)
        samples = dict(data.inputs)
    else:
        ranges = {item.name: plausible.default_range(item) for item in inputs}
        rows = max(1, inputs[0].shape[0]) if told["batch"] == "none" and inputs[0].shape else plausible.ROWS
        samples = plausible.draw(inputs, ranges, rows)
    arrays.save(folder / "samples", samples)
    described = {
        "framework": "TensorFlow Lite file",
        "tensorflow": "",
        "batch": told["batch"],
        "inputs": told["inputs"],
        "outputs": told["outputs"],
        "activations": {},
        "layers": [],
        "loops": False,
        "data": data.describe() if data else None,
    }
    prepared = Prepared(folder, described)
    return prepared, _prove(path, prepared, bench)


def _prove(path: Path, prepared: Prepared, bench: Bench) -> Candidate:
    proofs = {}
    for target, python in bench.pythons.items():
        link = path.with_suffix(f".{target}.tflite")
        link.symlink_to(path)
        proofs[target] = proving.prove(python, link, prepared.folder / "samples", prepared.batch)
    first, *others = proofs.values()
    if not all(np.isfinite(array).all() for array in first.outputs.values() if array.dtype.kind == "f"):
        raise ProofError("it answers NaN or an infinity on the sample data: check --data and --normalize")
    for other in others:
        agreed = fidelity.compare(first.outputs, other.outputs)
        if agreed.sqnr_db < fidelity.BROKEN:
            raise ProofError(
                f"{first.package} and {other.package} answer differently ({agreed.sqnr_db:.1f} dB): "
                "prove it on the one that will serve it"
            )
    return Candidate(MODE, path, path.stat().st_size, proofs)
