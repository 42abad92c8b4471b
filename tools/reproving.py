"""An artifact made for one interpreter, proven on another by its own golden samples.

artifact -> its samples, run in the target -> near enough to what it answered before, and to Keras
         -> the same file with the target in its manifest
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime import artifact
from runtime.artifact import Artifact
from runtime.manifest import Proof
from runtime.samples import Samples
from tools import arrays, fidelity, proving
from tools.arrays import Array
from tools.candidates import check_operators
from tools.errors import ExportError, ProofError, SourceFileError
from tools.targets import Bench


def reprove(path: Path, bench: Bench, out: Path, folder: Path) -> tuple[Artifact, dict[str, Any]]:
    """Prove the artifact at `path` on every target and write it to `out` with the proofs added.

    Raises ProofError where a target refuses it or answers otherwise; then nothing is written.
    """
    found = artifact.read(path)
    if found.manifest is None or found.samples is None:
        raise SourceFileError(
            f"{path.name} has no golden samples to prove it by: pack it with export.py {path.name} --target ..."
        )
    content = artifact.strip(path.read_bytes())
    check_operators(content, bench)
    manifest, samples = found.manifest, found.samples
    told: dict[str, Any] = {}
    for target, python in bench.pythons.items():
        answers, proof = _replay(content, samples, python, folder / target)
        wanted = dict(samples.keras) or dict(samples.outputs)
        figures = _compare(wanted, answers)
        if figures.sqnr_db < fidelity.BROKEN:
            raise ProofError(
                f"{proof.interpreter} answers the golden samples otherwise ({figures.sqnr_db:.1f} dB): "
                f"export the model again with --target {target}"
            )
        others = tuple(item for item in manifest.proven_on if item.interpreter != proof.interpreter)
        manifest = replace(manifest, proven_on=(*others, proof))
        samples = replace(samples, tolerance=max(samples.tolerance, _spread(samples, answers)))
        told[target] = {"interpreter": proof.interpreter, "version": proof.version, **figures.to_json()}
    return artifact.write(out, content, manifest, found.labels, samples), told


def _replay(content: bytes, samples: Samples, python: Path, folder: Path) -> tuple[dict[str, Array], Proof]:
    """The answers to every sample, each run on its own, stacked as the samples are."""
    folder.mkdir(parents=True)
    runs: list[dict[str, Array]] = []
    proof = None
    for index, (inputs, _) in enumerate(samples):
        model = folder / f"{index}.tflite"
        model.write_bytes(content)
        arrays.save(folder / f"{index}", inputs)
        proof = proving.prove(python, model, folder / f"{index}", "none", timing=0.01)
        runs.append(dict(proof.outputs))
    if proof is None:
        raise ExportError("the artifact's samples are empty: export the model again")
    stacked = {name: np.stack([run[name] for run in runs]) for name in runs[0]}
    return stacked, Proof(proof.package, proof.version)


def _compare(wanted: dict[str, Array], answers: dict[str, Array]) -> fidelity.Fidelity:
    try:
        return fidelity.compare({k: np.asarray(v) for k, v in wanted.items()}, answers)
    except ValueError as error:
        raise ProofError(str(error)) from None


def _spread(samples: Samples, answers: dict[str, Array]) -> float:
    """Twice the largest relative difference from the answers that the artifact carries."""
    apart = 0.0
    for name, expected in samples.outputs.items():
        if expected.dtype.kind in "fiu":
            scale = max(float(np.abs(expected).max(initial=0.0)), 1e-6)
            difference = np.abs(expected.astype(float) - answers[name].astype(float))
            apart = max(apart, 2 * float(difference.max(initial=0.0)) / scale)
    return float(f"{apart:.2g}")
