"""An existing .tflite, packed and proven as it is: there is no Keras model to compare it with.

Where the file is an artifact, all that its manifest says is kept, and its golden samples stand in for --data.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from runtime import artifact
from runtime.artifact import Artifact
from runtime.manifest import Image
from runtime.samples import Samples
from tools import arrays, calibration, fidelity, plausible, proving
from tools.arrays import Array
from tools.calibration import Data, Input
from tools.candidates import Candidate, Prepared, check_operators
from tools.errors import ProofError
from tools.fidelity import Fidelity
from tools.targets import Bench

MODE = "as it is"


def try_file(arguments: argparse.Namespace, bench: Bench, folder: Path) -> tuple[Prepared, Candidate]:
    """Run the file in every target on the sample data; they must agree with one another.

    Raises ProofError where a target refuses it, DataError where the data does not fit.
    """
    given = artifact.read(Path(arguments.model))
    path = folder / "model.tflite"
    shutil.copyfile(arguments.model, path)
    path.write_bytes(artifact.strip(path.read_bytes()))
    check_operators(path.read_bytes(), bench)
    python = next(iter(bench.pythons.values()))
    told = proving.run(python, {"model": str(path)}, folder / "describe.json")
    inputs = [Input(item["name"], item["dtype"], tuple(item["shape"])) for item in told["inputs"]]
    calibration.picture(arguments.normalize, [(item.name, item.shape) for item in inputs])
    data = _data(arguments, given, inputs, [item["name"] for item in told["outputs"]])
    _save_samples(folder, data, given.samples, inputs, told["batch"])
    described = {
        "framework": "TensorFlow Lite file",
        "tensorflow": "",
        "batch": told["batch"],
        "inputs": told["inputs"],
        "outputs": told["outputs"],
        "activations": {item.name: item.activation for item in given.manifest.outputs} if given.manifest else {},
        "layers": [],
        "loops": False,
        "data": data.describe() if data else None,
        "notes": _notes(data, given),
    }
    prepared = Prepared(folder, described, given)
    return prepared, _prove(path, prepared, bench)


def provenance(given: Artifact) -> dict[str, Any]:
    """What an artifact's manifest says of where the model is from, and which artifact said it; empty without one."""
    if given.manifest is None:
        return {}
    known = {name: told for name, told in given.manifest.provenance.items() if name != "unproven_on"}
    return {**known, "packed_from": f"{given.name} {given.version}", "packed_from_sha256": given.digest}


def _data(arguments: argparse.Namespace, given: Artifact, inputs: list[Input], outputs: list[str]) -> Data | None:
    if not arguments.data:
        return None
    known = given.manifest.inputs if given.manifest else ()
    image = next((tensor.image for tensor in known if tensor.image), None)
    pixels = Path(arguments.data).is_dir() and image is not None
    normalize = _normalize(image) if image and pixels and not arguments.normalize else arguments.normalize
    options = calibration.Options(arguments.target_column, normalize, arguments.limit)
    return calibration.load(arguments.data, inputs, outputs, options)


def _normalize(image: Image) -> str:
    """The manifest's image in the form of --normalize."""
    std = image.std or (1.0,)
    parts = ((image.scale,), image.mean or (0.0,), std)
    return "/".join(",".join(repr(value) for value in part) for part in parts)


def _save_samples(folder: Path, data: Data | None, golden: Samples | None, inputs: list[Input], batch: str) -> None:
    """The data's rows; else the golden ones, with Keras's answers to them; else made-up ones."""
    if data is not None:
        arrays.save(folder / "samples", data.inputs)
    elif golden is not None:
        arrays.save(folder / "samples", {name: _rows(array, batch) for name, array in golden.inputs.items()})
        if golden.keras:
            arrays.save(folder / "keras", {name: _rows(array, batch) for name, array in golden.keras.items()})
    else:
        ranges = {item.name: plausible.default_range(item) for item in inputs}
        rows = max(1, inputs[0].shape[0]) if batch == "none" and inputs[0].shape else plausible.ROWS
        arrays.save(folder / "samples", plausible.draw(inputs, ranges, rows))


def _rows(runs: Array, batch: str) -> Array:
    """What several runs took or gave, as rows; one run where dimension 0 is no batch."""
    return np.asarray(runs[0]) if batch == "none" else np.concatenate(list(runs))


def _notes(data: Data | None, given: Artifact) -> list[str]:
    found = []
    if data is None and given.samples is None:
        found.append("without --data it was run on made-up samples, which become its golden ones: give real ones")
    if data is not None and data.targets:
        found.append("the right answers are not measured: there is no Keras model to compare a .tflite file with")
    return found


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
        way_out = "prove it on the one that will serve it"
        try:
            agreed = fidelity.compare(first.outputs, other.outputs)
        except ValueError as error:
            raise ProofError(f"{first.package} and {other.package} answer differently ({error}): {way_out}") from None
        if agreed.sqnr_db < fidelity.BROKEN:
            raise ProofError(
                f"{first.package} and {other.package} answer differently ({agreed.sqnr_db:.1f} dB): {way_out}"
            )
    mode = prepared.manifest.quantization if prepared.manifest else MODE
    return Candidate(mode, path, path.stat().st_size, proofs, _compared(first, prepared))


def _compared(proof: proving.Proof, prepared: Prepared) -> Fidelity | None:
    """The comparison with what Keras gave for the golden samples, None without that."""
    keras = prepared.keras()
    if not keras:
        return None
    try:
        found = fidelity.compare(keras, proof.outputs)
    except ValueError as error:
        raise ProofError(str(error)) from None
    if found.sqnr_db < fidelity.BROKEN:
        raise ProofError(
            f"{proof.package} answers the golden samples otherwise than Keras did ({found.sqnr_db:.1f} dB): "
            "export the Keras model again"
        )
    return found
