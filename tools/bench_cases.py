"""What is asked in a benchmark: a model and a body, the same for every server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime import model as runtime_model
from tools.arrays import Array

MODELS = Path(__file__).resolve().parent.parent / "tests" / "models"


@dataclass(frozen=True, slots=True)
class Case:
    """One benchmark: `rows` is what the body holds."""

    name: str
    model: Path
    rows: Array
    keras: Path | None = None

    @property
    def body(self) -> bytes:
        """The rows as JSON, numbers with four decimals, without spaces."""
        return json.dumps({"instances": self.rows.tolist()}, separators=(",", ":")).encode()


def case_of(path: Path, rows: int, keras: Path | None = None) -> Case:
    """A case of a model with one input: random numbers of its shape and dtype."""
    signature = runtime_model.load(path).signature
    (spec,) = signature.inputs
    shape = (rows, *(max(size, 1) for size in spec.row_shape))
    random = np.random.default_rng(1)
    real = np.dtype(spec.dtype).kind == "f"
    values = np.round(random.random(shape), 4) if real else random.integers(0, 100, shape)
    return Case(f"{path.stem}, {rows} row{'s' if rows > 1 else ''}", path, values, keras)


def suite() -> list[Case]:
    """The cases of docs/performance.md that this repository has models for."""
    cases = [case_of(MODELS / "mlp.tflite", 1), case_of(MODELS / "mlp.tflite", 256), case_of(MODELS / "cnn.tflite", 1)]
    large = MODELS.parent.parent / "build" / "mobilenet.tflite"
    return [*cases, case_of(large, 1)] if large.exists() else cases
