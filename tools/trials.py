"""Every mode that is asked for, tried: from the model's file to the candidates.

prepare (load, sample data, Keras's answers) -> each mode: convert, prove, compare -> race
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools import packing, proving, selection
from tools.candidates import MODES, Candidate, Prepared, attempt, why_not
from tools.errors import ConvertError, FlexError, ProofError
from tools.jobs import Worker
from tools.options import AUTO
from tools.targets import Bench

Tell = Callable[[str], None]


def prepare(
    worker: Worker, arguments: argparse.Namespace, folder: Path, *, row_by_row: bool, fixed: bool = False
) -> Prepared:
    """Load the model in the worker, with its samples and Keras's answers to them."""
    options: dict[str, Any] = {
        "model": arguments.model,
        "architecture": arguments.architecture,
        "weights": str(arguments.weights) if arguments.weights else None,
        "custom_objects": arguments.custom_objects,
        "trust": arguments.trust,
        "data": arguments.data,
        "reading": {
            "target_column": arguments.target_column,
            "normalize": arguments.normalize,
            "limit": arguments.limit,
        },
        "input_names": arguments.input_name,
        "output_names": arguments.output_name,
    }
    folder.mkdir(exist_ok=True)
    told = worker.run("prepare", options=options, folder=str(folder), row_by_row=row_by_row, fixed=fixed)
    return Prepared(folder, told)


def try_modes(
    worker: Worker, arguments: argparse.Namespace, bench: Bench, folder: Path, tell: Tell
) -> tuple[Prepared, list[Candidate]]:
    """The candidates of all modes asked for, each with its figures or the reason why it is out.

    Raises FlexError, or what stops the plain conversion: no other mode would fare better.
    """
    tell("loading the model, asking Keras for its answers")
    prepared = prepare(worker, arguments, folder / "batch", row_by_row=False)
    packing.labelled_output(prepared.keras(), packing.read_labels(arguments, prepared))
    automatic = arguments.quantize == AUTO
    first = MODES[0] if automatic else arguments.quantize
    tell(f"converting: {first}")
    candidate = attempt(worker, prepared, first, bench)
    if _depends_on_size(candidate) and prepared.batch == "dynamic":
        tell(f"converting for one row at a time: {first}")
        rows = prepare(worker, arguments, folder / "row", row_by_row=True)
        second = attempt(worker, rows, first, bench)
        if not second.reason:
            prepared, candidate = rows, second
    if _depends_on_size(candidate) and any(-1 in told["shape"][1:] for told in prepared.told["inputs"]):
        tell(f"converting for rows of one size: {first}")
        rows = prepare(worker, arguments, folder / "fixed", row_by_row=True, fixed=True)
        third = attempt(worker, rows, first, bench)
        if not third.reason:
            prepared, candidate = rows, third
    if not automatic:
        return prepared, [candidate]
    if candidate.error is not None:
        raise candidate.error
    candidates = [candidate]
    for mode in MODES[1:]:
        reason = why_not(prepared, mode)
        if reason:
            candidates.append(Candidate(mode, prepared.folder / f"{mode}.tflite", reason=reason))
        else:
            tell(f"converting and proving: {mode}")
            candidates.append(attempt(worker, prepared, mode, bench))
    return prepared, candidates


def select(
    prepared: Prepared, candidates: list[Candidate], arguments: argparse.Namespace, bench: Bench
) -> tuple[list[Candidate], Candidate | None]:
    """The candidates with verdicts and comparable CPU times, and the chosen one."""
    if arguments.quantize != AUTO:
        return candidates, None if candidates[0].reason else candidates[0]
    limits = selection.Limits(arguments.max_accuracy_drop, arguments.min_sqnr)
    made_up = prepared.told["data"] is None
    judged = [selection.judge(item, limits, made_up) for item in candidates]
    timed = _race(prepared, judged, bench)
    return timed, selection.choose(timed, arguments.prefer)


def _depends_on_size(candidate: Candidate) -> bool:
    """Whether fixed sizes, of the batch or of a row, may help where variable ones failed."""
    if not candidate.reason or isinstance(candidate.error, FlexError):
        return False
    return candidate.error is None or isinstance(candidate.error, ConvertError | ProofError)


def _race(prepared: Prepared, candidates: list[Candidate], bench: Bench) -> list[Candidate]:
    """CPU times measured side by side for those that pass, in the first target."""
    passing = [item for item in candidates if not item.reason]
    if len(passing) < 2:
        return candidates
    target, python = next(iter(bench.pythons.items()))
    paths = [item.path for item in passing]
    try:
        times = proving.race(python, paths, prepared.folder / "samples", prepared.batch)
    except ProofError:  # too much for one process together; each has run alone, and has its own time
        return candidates
    by_mode = dict(zip((item.mode for item in passing), times, strict=True))
    return [_timed(item, target, by_mode.get(item.mode)) for item in candidates]


def _timed(item: Candidate, target: str, cpu_ms: float | None) -> Candidate:
    if cpu_ms is None:
        return item
    proof = replace(item.proofs[target], cpu_ms=cpu_ms)
    return replace(item, proofs={**item.proofs, target: proof})
