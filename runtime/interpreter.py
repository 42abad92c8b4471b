"""The seam to the interpreter packages: the only file that imports tflite_runtime or ai_edge_litert.

A model file becomes a `Signature` and `run(arrays) -> arrays`; foreign exceptions become dynolite's.

What both packages need to be told:
- A signature's names are mapped to tensors by name: the positions of `get_input_details()` are another order.
- The batch is resized only where the signature says -1: a static file resized anyway answers wrong or crashes.
- Variables keep their state between runs, and one client must not see another's. `reset_all_variables` resets those of
  sequence operators but not resource variables (measured on both packages): a model that assigns them is loaded anew.
- An interpreter is not thread-safe, and with more than one thread it does not survive a fork.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import mmap
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from runtime import flatbuffer
from runtime.errors import ArtifactError, PredictError, RefusedError
from runtime.signature import Array, Batch, Signature, TensorSpec, batch_of, describe

PACKAGES = {
    "tflite-runtime": "tflite_runtime.interpreter",
    "ai-edge-litert": "ai_edge_litert.interpreter",
}
# An operator that is missing shows at loading, at allocating or only at the first run.
_LACKING = re.compile(r"unresolved custom op|Select TensorFlow op|Flex")


class Interpreter(Protocol):
    """One loaded model. Not thread-safe."""

    signature: Signature

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Every input by name -> every output by name, as fresh arrays that no later run touches.

        Quantized inputs take float32 (quantized here) or their own integers; quantized outputs are given as float32.
        Raises RefusedError when the model refuses the values, PredictError when the interpreter fails,
        ArtifactError when it lacks an operator of the model.
        """

    def row_bytes(self) -> int:
        """Bytes of the largest tensor that one row needs, as far as the file tells: what chunks of rows are cut by."""


@dataclass(frozen=True, slots=True)
class Package:
    """The interpreter package in use."""

    name: str
    version: str
    module: Any


@cache
def package() -> Package:
    """The interpreter package that is installed; ArtifactError names both when none is."""
    for name, module in PACKAGES.items():
        try:
            return Package(name, importlib.metadata.version(name), importlib.import_module(module))
        except ImportError:
            continue
    raise ArtifactError(f"no interpreter is installed: pip install one of {', '.join(PACKAGES)}")


def load(path: Path, threads: int = 1, batch: bool | None = None) -> Interpreter:
    """Load a .tflite file. `batch` is the manifest's word on dimension 0, None where there is none.

    Raises ArtifactError with the way out when this interpreter cannot run the file.
    """
    try:
        return TfLite(path, threads, batch)
    except (ValueError, RuntimeError, TypeError) as error:
        raise ArtifactError(f"{package().name} {package().version} cannot load it: {explain(str(error))}") from error


def explain(message: str) -> str:
    """Say in one line what an interpreter's message means and what to do about it."""
    operator = re.search(r"opcode '(\w+)' version '(\d+)'", message)
    if operator:
        return (
            f"operator {operator[1]} version {operator[2]} is newer than this interpreter; "
            "export again with tools/export.py for this target, or serve it with a newer interpreter"
        )
    custom = re.search(r"(?:unresolved custom op|custom code|custom op)[: ]+'?(\w+)", message)
    if "Select TensorFlow op" in message or "Flex" in message or (custom and custom[1].startswith("Flex")):
        name = re.search(r"Flex(\w+)", message)
        which = f" ({name[1]})" if name and name[1] != "Delegate" else ""
        return (
            f"it needs TensorFlow's Flex operators{which}, which no small interpreter has: "
            "export with builtin operators only"
        )
    if custom:
        return f"it needs the custom operator {custom[1]}, which this interpreter does not have"
    return " ".join(message.split())[:300] or "no reason given"


class TfLite:
    """The seam over a `tflite_runtime` or `ai_edge_litert` Interpreter."""

    def __init__(self, path: Path, threads: int, batch: bool | None) -> None:
        self._open: Callable[[], Any] = lambda: package().module.Interpreter(model_path=str(path), num_threads=threads)
        self._foreign = self._open()
        self._entry = _entry(self._foreign)
        if not self._entry.inputs or not self._entry.outputs:
            raise ArtifactError("the model has no inputs or no outputs")
        inputs = tuple(_spec(name, detail) for name, detail in sorted(self._entry.inputs.items()))
        outputs = tuple(_spec(name, detail) for name, detail in sorted(self._entry.outputs.items()))
        self.signature = Signature(inputs, outputs, _batch(inputs, batch), self._entry.key)
        self._specs = {spec.name: spec for spec in inputs}
        self._inputs = {name: detail["index"] for name, detail in self._entry.inputs.items()}
        self._outputs = [(spec.name, self._entry.outputs[spec.name]["index"]) for spec in outputs]
        self._quantized = any(spec.quantization for spec in inputs + outputs)
        # Shapes as they stand in the interpreter; None means that tensors must be allocated before a run.
        self._shapes: dict[str, tuple[int, ...]] | None = None
        # Set while tensors are allocated: an interpreter that fails there may be broken for every later shape.
        self._stale = False
        ends = sum(spec.row_bytes() for spec in inputs + outputs)
        inside, self._keeps, self._assigns = _look_inside(path)
        self._row_bytes = max(ends, inside)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `Interpreter.run`."""
        ready = inputs
        if self._quantized:
            ready = {name: _quantize(self._specs[name], array) for name, array in inputs.items()}
        try:
            raw = self._invoke(ready)
        except (ValueError, RuntimeError) as error:
            self._shapes = None
            if _LACKING.search(str(error)):
                raise ArtifactError(explain(str(error))) from error
            raise RefusedError(self._refusal(str(error), ready)) from error
        except MemoryError as error:
            self._shapes = None
            raise PredictError("the interpreter ran out of memory") from error
        if self._quantized:
            return {spec.name: _dequantize(spec, raw[spec.name]) for spec in self.signature.outputs}
        return raw

    def _refusal(self, message: str, inputs: Mapping[str, Array]) -> str:
        """Why the model refuses, for the client; its cause has the interpreter's own words."""
        if self._stale:
            shapes = ", ".join(f"{name!r} of shape {describe(array.shape)}" for name, array in inputs.items())
            return f"the model cannot take {shapes}: a dimension is too small or too large for it"
        if re.search(r"out.of.(bounds|range)|index", message, re.IGNORECASE):
            return "the model refuses these values: an index is out of its range"
        return "the model refuses these values"

    def row_bytes(self) -> int:
        """See `Interpreter.row_bytes`."""
        return self._row_bytes

    def _invoke(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if self._stale or (self._assigns and self._shapes is not None):
            self._foreign, self._shapes, self._stale = self._open(), None, False
        foreign = self._foreign
        if not self._entry.main_graph:
            self._shapes = {}
            given = self._entry.call(foreign, inputs)
            return {name: given[name] for name, _ in self._outputs}
        shapes = {name: array.shape for name, array in inputs.items()}
        if shapes != self._shapes:
            self._allocate(shapes)
        if self._keeps:
            foreign.reset_all_variables()
        for name, array in inputs.items():
            foreign.set_tensor(self._inputs[name], array)
        foreign.invoke()
        return {name: foreign.get_tensor(index) for name, index in self._outputs}

    def _allocate(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self._shapes, self._stale = None, True
        for name, shape in shapes.items():
            detail = self._entry.inputs[name]
            if -1 in detail["shape_signature"]:
                self._foreign.resize_tensor_input(detail["index"], shape)
        self._foreign.allocate_tensors()
        self._shapes, self._stale = shapes, False


@dataclass(frozen=True)
class _Entry:
    """A signature's tensors by name, and whether plain `invoke` runs its graph.

    The package's own runner is not kept: while one lives, its interpreter refuses to allocate tensors.
    """

    key: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    main_graph: bool

    def call(self, foreign: Any, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run the signature's own subgraph; the outputs are copies."""
        outputs: dict[str, Array] = foreign.get_signature_runner(self.key)(**inputs)
        return outputs


def _entry(foreign: Any) -> _Entry:
    """The default signature, else the first; the graph's own tensor names for a file without signatures."""
    keys = list(foreign.get_signature_list())
    inputs, outputs = foreign.get_input_details(), foreign.get_output_details()
    if not keys:
        by_name = [{detail["name"]: detail for detail in details} for details in (inputs, outputs)]
        return _Entry("serving_default", by_name[0], by_name[1], main_graph=True)
    key = "serving_default" if "serving_default" in keys else keys[0]
    runner = foreign.get_signature_runner(key)
    given, result = runner.get_input_details(), runner.get_output_details()
    main_graph = sorted(d["name"] for d in given.values()) == sorted(d["name"] for d in inputs)
    return _Entry(key, given, result, main_graph)


def _spec(name: str, detail: Mapping[str, Any]) -> TensorSpec:
    signature = detail["shape_signature"]
    shape = signature if len(signature) else detail["shape"]
    scale, zero_point = detail["quantization"]
    quantized = np.dtype(detail["dtype"]).kind in "iu" and scale > 0
    return TensorSpec(
        name,
        _dtype_name(detail["dtype"]),
        tuple(int(size) for size in shape),
        (float(scale), int(zero_point)) if quantized else None,
    )


def _batch(inputs: tuple[TensorSpec, ...], told: bool | None) -> Batch:
    """Dimension 0 by the manifest where it speaks, else by the rule."""
    if told is False:
        return Batch.NONE
    return batch_of(inputs)


def _dtype_name(dtype: Any) -> str:
    kind = np.dtype(dtype).kind
    return "string" if kind in "SUO" else np.dtype(dtype).name


def _look_inside(path: Path) -> tuple[int, bool, bool]:
    """Bytes of a row's largest tensor; whether a tensor keeps its value; whether a run assigns resource variables."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            has, assigns = flatbuffer.has_variables(content), flatbuffer.assigns_variables(content)
            return flatbuffer.row_bytes(content), has, assigns
        except (struct.error, IndexError) as error:
            raise ArtifactError("the model's flatbuffer is damaged") from error


def _quantize(spec: TensorSpec, array: Array) -> Array:
    """Real values to the tensor's integers, saturating; integers go in as they are."""
    if spec.quantization is None or array.dtype.kind != "f":
        return array
    scale, zero_point = spec.quantization
    bounds = np.iinfo(spec.dtype)
    with np.errstate(over="ignore"):  # what is past the largest float32 saturates like the rest
        scaled = np.rint(array / np.float32(scale)) + zero_point
    raw: Array = np.clip(scaled, bounds.min, bounds.max).astype(spec.dtype)
    return raw


def _dequantize(spec: TensorSpec, array: Array) -> Array:
    if spec.quantization is None:
        return array
    scale, zero_point = spec.quantization
    real: Array = (array.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    return real
