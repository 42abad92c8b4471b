"""The seam of `runtime.interpreter` over ONNX Runtime: the only file that imports it, and only for an ONNX model.

A file that is ONNX by its content goes through the same signature, checks, routes and trial as a .tflite. It has no
manifest: its name is the file's, and a URL needs a digest (or MODEL_PLAIN=allow).
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import ArtifactError, PredictError, RefusedError
from runtime.interpreter import Package
from runtime.signature import Array, Batch, Signature, TensorSpec, batch_of

NAME = "onnxruntime"
_DTYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "bool": "bool",
    "string": "string",
    **{name: name for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}
# Fields of a ModelProto that may follow its first, the version: numbers and kinds as they are in protobuf's tags.
_TAGS = {0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2}


def is_onnx(front: bytes) -> bool:
    """Whether a file that begins so is an ONNX model: a protobuf whose first field is a small IR version."""
    return len(front) > 2 and front[0] == 0x08 and 0 < front[1] < 0x80 and front[2] in _TAGS


@cache
def package() -> Package:
    """ONNX Runtime; ArtifactError says how to get it when it is not installed."""
    try:
        return Package(NAME, importlib.metadata.version(NAME), importlib.import_module(NAME))
    except ImportError:
        raise ArtifactError(
            "the file is an ONNX model, and onnxruntime is not installed: "
            "pip install -r requirements-onnx.txt (on a dyno, add that line to requirements.txt), or export a .tflite"
        ) from None


def load(path: Path, threads: int = 1, batch: bool | None = None) -> Onnx:
    """Load an ONNX file, as `runtime.interpreter.load` does a .tflite. Raises ArtifactError."""
    foreign = package().module
    options = foreign.SessionOptions()
    # With one thread there are no pools, and a session that is made before the fork works after it (tried).
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    # A large request must not leave its tensors' memory behind in the worker.
    options.enable_cpu_mem_arena = False
    try:
        session = foreign.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ArtifactError(f"{NAME} {package().version} cannot load it: {_brief(error)}") from error
    return Onnx(session, batch)


class Onnx:
    """The `Interpreter` over an ONNX Runtime session."""

    def __init__(self, session: Any, batch: bool | None) -> None:
        self._session = session
        inputs = tuple(sorted((_spec(found) for found in session.get_inputs()), key=lambda spec: spec.name))
        outputs = tuple(sorted((_spec(found) for found in session.get_outputs()), key=lambda spec: spec.name))
        if not inputs or not outputs:
            raise ArtifactError("the model has no inputs or no outputs")
        self.signature = Signature(inputs, outputs, Batch.NONE if batch is False else batch_of(inputs))
        self._names = [spec.name for spec in outputs]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `Interpreter.run`."""
        ready = {name: _decoded(array) if array.dtype.kind == "O" else array for name, array in inputs.items()}
        try:
            raw = self._session.run(self._names, ready)
        except MemoryError as error:
            raise PredictError("the interpreter ran out of memory") from error
        except Exception as error:
            # Most are a value that an operator does not take (an index out of range, a shape that does not fit).
            raise RefusedError("the model refuses these values") from error
        return {name: _encoded(array) for name, array in zip(self._names, raw, strict=True)}

    def row_bytes(self) -> int:
        """Bytes of one row's inputs and outputs; of the tensors between them the file tells nothing here."""
        return sum(spec.row_bytes() for spec in self.signature.inputs + self.signature.outputs)


def _spec(found: Any) -> TensorSpec:
    kind = found.type
    dtype = _DTYPES.get(kind.removeprefix("tensor(").removesuffix(")")) if kind.startswith("tensor(") else None
    if dtype is None:
        hint = ": convert it with zipmap=False" if "map(" in kind else ""
        raise ArtifactError(f"tensor {found.name!r} is of type {kind}, which is not served{hint}")
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in found.shape or ())
    return TensorSpec(found.name, dtype, shape)


def _decoded(array: Array) -> Array:
    """Byte strings as the text that ONNX Runtime takes."""
    try:
        texts = [item.decode() for item in array.ravel()]
    except UnicodeDecodeError:
        raise RefusedError("an ONNX model takes strings of UTF-8 only") from None
    told = np.empty(len(texts), dtype=object)
    told[:] = texts
    return told.reshape(array.shape)


def _encoded(array: Array) -> Array:
    if array.dtype.kind not in "OU":
        return array
    told = np.empty(array.size, dtype=object)
    told[:] = [str(item).encode() for item in array.ravel()]
    return told.reshape(array.shape)


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
