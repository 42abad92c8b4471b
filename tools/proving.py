"""Run a converted file in a target's own environment and read what it answered.

file + samples --tools/prove.py in the target's Python--> outputs, CPU time, or why not
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.signature import TensorSpec
from tools import arrays
from tools.arrays import Array
from tools.errors import ProofError

SCRIPT = Path(__file__).resolve().parent / "prove.py"
_LIMIT = 600  # seconds for one proof


@dataclass(frozen=True)
class Proof:
    """What the interpreter did with the file: its outputs by name, CPU ms for one row."""

    package: str
    version: str
    outputs: Mapping[str, Array]
    cpu_ms: float
    batch_error: float
    signature: Mapping[str, Mapping[str, TensorSpec]]


def prove(python: Path, model: Path, samples: Path, batch: str, seconds: float = 60, timing: float = 0.25) -> Proof:
    """Run `model` on the rows in `samples`; ProofError says why the interpreter cannot.

    `seconds` bounds the answers (32 rows at least), `timing` the measurement, in CPU seconds.
    """
    outputs = model.with_suffix(".outputs")
    job = {
        "model": str(model),
        "samples": str(samples),
        "outputs": str(outputs),
        "batch": batch,
        "seconds": seconds,
        "timing": timing,
    }
    answer = run(python, job, model.with_suffix(".proof.json"))
    return Proof(
        answer["interpreter"],
        answer["version"],
        arrays.load(outputs),
        answer["cpu_ms"],
        answer["batch_error"],
        {way: _specs(answer[way]) for way in ("inputs", "outputs")},
    )


def race(python: Path, models: Sequence[Path], samples: Path, batch: str, timing: float = 1.0) -> list[float]:
    """CPU ms of one row for each of the models, measured in turns; `timing` CPU seconds for each."""
    job = {"models": [str(m) for m in models], "samples": str(samples), "batch": batch, "timing": timing}
    found: list[float] = run(python, job, models[0].with_suffix(".race.json"))["race"]
    return found


def run(python: Path, job: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Do a job of tools/prove.py with that Python; ProofError when it crashes, hangs or refuses."""
    file.write_text(json.dumps(job), "utf-8")
    command = [str(python), str(SCRIPT), str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise ProofError(f"the interpreter did not answer within {_LIMIT} s") from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ProofError(f"the interpreter crashes on it ({name})")
    if done.returncode > 0:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise ProofError(f"the interpreter's environment failed: {said[-1][:300]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise ProofError(answer["error"])
    return answer


def _specs(told: list[dict[str, Any]]) -> dict[str, TensorSpec]:
    """The tensors as clients see them, by name."""
    return {item["name"]: TensorSpec(item["name"], item["dtype"], tuple(item["shape"])) for item in told}
