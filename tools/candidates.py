"""One model in one quantization mode: converted, run in every target, compared with Keras.

A mode that cannot be had is a candidate too, with the reason: the table shows why not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.artifact import Artifact
from runtime.manifest import Manifest
from runtime.samples import Samples
from tools import arrays, fidelity, operators, proving
from tools.arrays import Array
from tools.errors import ExportError, ProofError
from tools.fidelity import Fidelity
from tools.jobs import JobError, Worker
from tools.proving import Proof
from tools.targets import Bench

CONVERTER_MODES = ("none", "float16", "dynamic", "int8", "int16x8")
WEIGHT_ONLY = "weight_only_wi8_afp32"  # made by ai-edge-quantizer from the float file
MODES = (*CONVERTER_MODES, WEIGHT_ONLY)
NEED_DATA = ("int8", "int16x8")
_BATCH_TOLERANCE = 0.02  # relative: chunked kernels may round otherwise, a mixed-up batch is way off


@dataclass(frozen=True)
class Prepared:
    """What the first job left in `folder`, and its description of the model; `given` where that is an artifact."""

    folder: Path
    told: Mapping[str, Any]
    given: Artifact | None = None

    @property
    def manifest(self) -> Manifest | None:
        """That of the artifact which was given."""
        return self.given.manifest if self.given else None

    @property
    def golden(self) -> Samples | None:
        """The golden samples of the artifact which was given."""
        return self.given.samples if self.given else None

    @property
    def batch(self) -> str:
        """`dynamic`, `row` or `none`."""
        return str(self.told["batch"])

    def keras(self) -> dict[str, Array]:
        """Keras's answers to the samples; empty where there is no Keras model."""
        folder = self.folder / "keras"
        return arrays.load(folder) if folder.exists() else {}


@dataclass(frozen=True)
class Candidate:
    """What became of a mode; `reason` says why it is out, and is empty while it is in."""

    mode: str
    path: Path
    bytes: int = 0
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    fidelity: Fidelity | None = None
    reason: str = ""
    error: ExportError | None = None

    @property
    def cpu_ms(self) -> float | None:
        """CPU ms of one prediction on one thread, in the first target."""
        return next((proof.cpu_ms for proof in self.proofs.values()), None)


def attempt(
    worker: Worker,
    prepared: Prepared,
    mode: str,
    bench: Bench,
    tick: Callable[[], None] = lambda: None,
) -> Candidate:
    """Convert in `mode`, prove in each target; never raises an ExportError, but carries it."""
    path = prepared.folder / f"{mode}.tflite"
    made = Candidate(mode, path)
    try:
        size = _convert(worker, prepared, mode, path, tick)
        made = Candidate(mode, path, size)
        check_operators(path.read_bytes(), bench)
        proofs = {
            target: proving.prove(python, _copy(path, target), prepared.folder / "samples", prepared.batch)
            for target, python in bench.pythons.items()
        }
        return _judged(made, prepared, proofs)
    except JobError as error:
        return Candidate(mode, path, made.bytes, reason=str(error)[:300], error=error)
    except ExportError as error:
        return Candidate(mode, path, made.bytes, reason=str(error), error=error)


def why_not(prepared: Prepared, mode: str) -> str:
    """Why a mode is left out without a try; empty when it may work."""
    if mode not in NEED_DATA:
        return ""
    if prepared.told["loops"]:
        return "recurrent layers crash the quantizer of activations"
    if prepared.told["data"] is None:
        return "needs real samples: --data"
    return ""


def check_operators(content: bytes, bench: Bench) -> None:
    """ProofError where a target lacks an operator of the file, or the version that it has."""
    for target in bench.targets:
        problems = operators.unsupported(content, target.package)
        if problems:
            raise ProofError(
                f"{'; '.join(problems)}. Choose another mode (float16 and none use the oldest operators) "
                "or another --target"
            )


def _convert(worker: Worker, prepared: Prepared, mode: str, path: Path, tick: Callable[[], None]) -> int:
    if mode == WEIGHT_ONLY:
        plain = prepared.folder / "none.tflite"
        if not plain.exists():
            _convert(worker, prepared, "none", plain, tick)
        told = worker.run("quantize", tick, model=str(plain), recipe=mode, out=str(path))
    else:
        told = worker.run(
            "convert",
            tick,
            saved=str(prepared.folder / "saved"),
            mode=mode,
            samples=str(prepared.folder / "samples"),
            out=str(path),
            layers=prepared.told["layers"],
        )
    return int(told["bytes"])


def _copy(path: Path, target: str) -> Path:
    """The file under a name of the target's own, which the proof's files then have too."""
    link = path.with_suffix(f".{target}.tflite")
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    return link


def _judged(made: Candidate, prepared: Prepared, proofs: Mapping[str, Proof]) -> Candidate:
    """The candidate with its figures: those of the target that does worst."""
    keras = prepared.keras()
    targets = prepared.folder / "targets"
    wanted = arrays.load(targets) if targets.exists() else {}
    found = []
    for proof in proofs.values():
        try:
            found.append(fidelity.compare(keras, proof.outputs, wanted))
        except ValueError as error:
            raise ProofError(str(error)) from None
        if proof.batch_error > _BATCH_TOLERANCE:
            raise ProofError("a batch of rows is not answered as each row alone is")
    worst = min(found, key=lambda item: item.sqnr_db)
    reason = ""
    if worst.sqnr_db < fidelity.BROKEN:
        reason = f"broken: {worst.sqnr_db:.1f} dB, the floor is {fidelity.BROKEN:g}"
    return Candidate(made.mode, made.path, made.bytes, proofs, worst, reason)
