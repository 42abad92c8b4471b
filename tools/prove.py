"""Run a model file in this environment's interpreter: what it answers, and how long it takes.

    python tools/prove.py job.json      job: model, samples, outputs (folders), batch, seconds

Needs only what production needs, so that it runs in production's environment; a process of its
own, because a file may crash the interpreter. Prints one line of JSON.
Without `samples` the job only tells the file's inputs and outputs; with `models` it times them all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

import numpy as np  # noqa: E402

from runtime import interpreter  # noqa: E402
from runtime.errors import DynoliteError  # noqa: E402
from runtime.signature import TensorSpec  # noqa: E402
from tools import arrays  # noqa: E402
from tools.arrays import Array  # noqa: E402

_CHUNK = 16
_ROUNDS = 5
_TURNS = 4
_LEAST_ROWS = 32


def describe(job: Mapping[str, Any]) -> dict[str, Any]:
    """The file's inputs and outputs as clients see them, and what dimension 0 is."""
    signature = interpreter.load(Path(job["model"])).signature
    return {
        "inputs": [_told(spec) for spec in signature.inputs],
        "outputs": [_told(spec) for spec in signature.outputs],
        "batch": signature.batch.value,
    }


def race(job: Mapping[str, Any]) -> dict[str, Any]:
    """CPU ms of one row for each of `models`, measured in turns, so that all have the same weather."""
    samples = arrays.load(Path(job["samples"]))
    rows = arrays.rows(samples) if job["batch"] == "none" else 1
    row = {name: np.array(array[:rows]) for name, array in samples.items()}
    models = [interpreter.load(Path(path)) for path in job["models"]]
    best = [float("inf")] * len(models)
    for _ in range(_TURNS):
        for index, model in enumerate(models):
            best[index] = min(best[index], cpu_seconds(model, row, job["timing"] / _TURNS))
    return {"race": [1000 * seconds for seconds in best]}


def prove(job: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the samples and time one row; the outputs go to the job's folder.

    Rows run one at a time, and in chunks too where the batch is variable: both must agree.
    Stops after `seconds` when at least 32 rows are done; `rows` tells how many there are.
    """
    model = interpreter.load(Path(job["model"]))
    samples = arrays.load(Path(job["samples"]))
    inputs = {name: np.asarray(array) for name, array in samples.items()}
    size = {"dynamic": _CHUNK, "row": 1}.get(job["batch"], arrays.rows(inputs))
    row = arrays.take(inputs, slice(0, size if job["batch"] == "none" else 1))
    first = model.run(row)
    outputs = _answer(model, inputs, size, job["seconds"])
    together = arrays.take(outputs, slice(0, arrays.rows(row)))
    arrays.save(Path(job["outputs"]), outputs)
    return {
        "inputs": [_told(spec) for spec in model.signature.inputs],
        "outputs": [_told(spec) for spec in model.signature.outputs],
        "rows": arrays.rows(outputs),
        "batch_error": max(_difference(first[name], together[name]) for name in first),
        "cpu_ms": 1000 * cpu_seconds(model, row, job["timing"]),
    }


def cpu_seconds(model: interpreter.Interpreter, row: Mapping[str, Array], budget: float) -> float:
    """CPU seconds of one run on one thread: the best of several rounds within `budget` seconds."""
    model.run(row)
    start = time.process_time()
    model.run(row)
    once = max(time.process_time() - start, 1e-6)
    runs = max(1, int(budget / _ROUNDS / once))
    best = once
    for _ in range(_ROUNDS if once < budget else 2):
        start = time.process_time()
        for _ in range(runs):
            model.run(row)
        best = min(best, (time.process_time() - start) / runs)
    return best


def _told(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.client_dtype, "shape": spec.shape}


def _answer(model: interpreter.Interpreter, inputs: Mapping[str, Array], size: int, seconds: float) -> dict[str, Array]:
    end = time.monotonic() + seconds
    parts: list[dict[str, Array]] = []
    for start in range(0, arrays.rows(inputs), size):
        if start >= _LEAST_ROWS and time.monotonic() > end:
            break
        answers = model.run(arrays.take(inputs, slice(start, start + size)))
        flat = [name for name, array in answers.items() if array.ndim == 0]
        if flat:
            raise ValueError(f"output {flat[0]} is a single number without a dimension for rows")
        parts.append(answers)
    return arrays.join(parts)


def _difference(one: Array, other: Array) -> float:
    """The largest difference relative to the largest magnitude; infinite for unlike shapes."""
    if one.shape != other.shape:
        return float("inf")
    if one.dtype.kind in "OSb":
        return 0.0 if bool((one == other).all()) else float("inf")
    there = np.isfinite(one)
    if not np.array_equal(there, np.isfinite(other)):
        return float("inf")
    first, second = one[there].astype(float), other[there].astype(float)
    scale = max(float(np.abs(first).max(initial=0)), 1e-6)
    return float(np.abs(first - second).max(initial=0.0)) / scale


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="tools/prove.py",
        description="Run a model file in this environment's interpreter and print what it does as JSON. "
        "tools/export.py runs it in the environment of each target.",
        epilog="example: .venv-litert/bin/python tools/prove.py job.json",
    )
    parser.add_argument("job", type=Path, help='JSON such as {"model": "model.tflite"}, which tells its signature')
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Do one job; 0 even when the interpreter refuses the file, which the answer then says."""
    job = json.loads(parse_args(argv).job.read_text("utf-8"))
    package = interpreter.package()
    answer: dict[str, Any] = {"interpreter": package.name, "version": package.version}
    try:
        step = race if "models" in job else prove if "samples" in job else describe
        answer |= step(job)
    except (DynoliteError, ValueError, MemoryError) as error:
        # The interpreter's own words are behind ours, and a developer can use them.
        raw = " ".join(str(error.__cause__ or "").split())[:300]
        told = str(error) or type(error).__name__
        answer["error"] = f"{told} ({raw})" if raw and raw not in told else told
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
