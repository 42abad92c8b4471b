"""What is asked in a benchmark: a model and a body, the same for every server."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from runtime import model as runtime_model
from runtime.errors import DynoliteError
from runtime.signature import Batch, Signature, TensorSpec
from runtime.wire.infer import DATATYPES
from tools.arrays import Array

MODELS = Path(__file__).resolve().parent.parent / "tests" / "models"


class CaseError(DynoliteError):
    """The model is none that can be asked here."""


class Sent(NamedTuple):
    """What the load is made of."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Case:
    """One benchmark: `rows` is what the body holds, in whichever of the `BODIES`."""

    name: str
    model: Path
    rows: Array
    spec: TensorSpec
    keras: Path | None = None
    kind: str = "json"

    @property
    def body(self) -> bytes:
        """The rows as JSON, numbers with four decimals, without spaces."""
        return json.dumps({"instances": self.rows.tolist()}, separators=(",", ":")).encode()

    @property
    def sent(self) -> Sent:
        """The request of the load."""
        return BODIES[self.kind](self)


def _npy(case: Case) -> Sent:
    stream = io.BytesIO()
    np.save(stream, case.rows.astype(case.spec.dtype))
    return Sent("/predict", {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}, stream.getvalue())


def _v2(case: Case) -> Sent:
    """The Open Inference Protocol with its binary extension, in both directions."""
    content = case.rows.astype(case.spec.dtype).tobytes()
    asked = {
        "inputs": [
            {
                "name": case.spec.name,
                "datatype": DATATYPES[case.spec.dtype],
                "shape": list(case.rows.shape),
                "parameters": {"binary_data_size": len(content)},
            }
        ],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(asked).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Sent(f"/v2/models/{quote(case.model.stem)}/infer", headers, head + content)


def _jpeg(case: Case) -> Sent:
    """One picture, as smooth as photographs are; the model's manifest must say that its input is one."""
    from PIL import Image  # noqa: PLC0415 - for this kind alone

    height, width = case.rows.shape[1:3]
    noise = np.random.default_rng(1).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return Sent("/predict", {"Content-Type": "image/jpeg"}, stream.getvalue())


BODIES: dict[str, Callable[[Case], Sent]] = {
    "json": lambda case: Sent("/predict", {"Content-Type": "application/json"}, case.body),
    "npy": _npy,
    "v2": _v2,
    "jpeg": _jpeg,
}


def case_of(path: Path, rows: int, keras: Path | None = None) -> Case:
    """A case of a model with one input and one output: random numbers of its shape and dtype.

    Raises CaseError for any other, ArtifactError for what is no model.
    """
    spec = _input_of(path, runtime_model.load(path).signature)
    shape = (rows, *(max(size, 1) for size in spec.row_shape))
    random = np.random.default_rng(1)
    real = np.dtype(spec.dtype).kind == "f"
    values = np.round(random.random(shape), 4) if real else random.integers(0, 100, shape)
    return Case(f"{path.stem}, {rows} row{'s' if rows > 1 else ''}", path, values, spec, keras)


def as_body(case: Case, kind: str) -> Case:
    """The same rows in another kind of body."""
    return case if kind == case.kind else replace(case, name=f"{case.name} as {kind}", kind=kind)


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
    if large.exists():
        picture = case_of(large, 1)
        cases += [picture, *(as_body(picture, kind) for kind in ("npy", "v2"))]
    return cases
