"""What is asked in a benchmark: a model and a body, the same for every server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime import model as runtime_model
from runtime.errors import DynoliteError
from runtime.signature import Batch, Signature, TensorSpec
from tools.arrays import Array

MODELS = Path(__file__).resolve().parent.parent / "tests" / "models"


class CaseError(DynoliteError):
    """The model is none that can be asked here."""


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
    """A case of a model with one input and one output: random numbers of its shape and dtype.

    Raises CaseError for any other, ArtifactError for what is no model.
    """
    spec = _input_of(path, runtime_model.load(path).signature)
    shape = (rows, *(max(size, 1) for size in spec.row_shape))
    random = np.random.default_rng(1)
    real = np.dtype(spec.dtype).kind == "f"
    values = np.round(random.random(shape), 4) if real else random.integers(0, 100, shape)
    return Case(f"{path.stem}, {rows} row{'s' if rows > 1 else ''}", path, values, keras)


def _input_of(path: Path, signature: Signature) -> TensorSpec:
    """The only input. The peers of bench/peers read one list of rows and answer one, and so does every case."""
    if len(signature.inputs) > 1 or len(signature.outputs) > 1:
        counts = f"{len(signature.inputs)} and {len(signature.outputs)}"
        raise CaseError(f"{path}: only models with one input and one output are measured, it has {counts}")
    if signature.batch is Batch.NONE:
        raise CaseError(f"{path}: only models that take rows are measured, dimension 0 of its input is fixed")
    for spec in (*signature.inputs, *signature.outputs):
        if spec.dtype == "string" or np.dtype(spec.dtype).kind not in "fiu":
            raise CaseError(f"{path}: only models of numbers are measured, {spec.name!r} is {spec.dtype}")
    return signature.inputs[0]


def suite() -> list[Case]:
    """The cases of docs/performance.md that this repository has models for."""
    cases = [case_of(MODELS / "mlp.tflite", 1), case_of(MODELS / "mlp.tflite", 256), case_of(MODELS / "cnn.tflite", 1)]
    large = MODELS.parent.parent / "build" / "mobilenet.tflite"
    return [*cases, case_of(large, 1)] if large.exists() else cases
