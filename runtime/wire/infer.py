"""The Open Inference Protocol's infer request and reply, as JSON and with its binary tensor extension.

    body = JSON [+ the tensors' bytes, in the order of the JSON's inputs]
    `Inference-Header-Content-Length`: the JSON's length; 0: the body is the only input's bytes, every output comes so

Source: kserve/open-inference-protocol, `inference_rest.md`; Triton, `extension_binary_data.md` and
`extension_classification.md`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.errors import RequestError, UnsupportedError
from runtime.signature import Array, Signature, TensorSpec, check_names, coerce, convert, describe
from runtime.wire import binary, image, json_body, json_reply, ranking
from runtime.wire.expected import Expected
from runtime.wire.json_body import either, kind_of

DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
}
_DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}
_MOST_DIMENSIONS = 32  # as many as NumPy 1 has
# Sizes are multiplied also where one of them is 0, which leaves nothing to send.
_MOST_ITEMS = 1 << 40


@dataclass(frozen=True, slots=True)
class Wanted:
    """One output of the reply: as bytes or JSON; `classes` of the best in the place of the scores (0: the scores)."""

    name: str
    binary: bool
    classes: int


@dataclass(frozen=True, slots=True)
class Infer:
    """A decoded request."""

    id: str
    arrays: dict[str, Array]
    wanted: tuple[Wanted, ...]


def decode(body: bytes, header_length: str | None, expected: Expected) -> Infer:
    """Read a request. `header_length` is the header's value, None where there is none. Raises RequestError."""
    signature = expected.signature
    if header_length is None:
        size = len(body)
    elif not re.fullmatch(r"[0-9]{1,15}", header_length) or int(header_length) > len(body):
        told = f"the JSON's length, at most {len(body)}, got {header_length[:40]!r}"
        raise RequestError(f"Inference-Header-Content-Length: expected {told}")
    else:
        size = int(header_length)
        if size == 0:
            outputs = tuple(Wanted(spec.name, binary=True, classes=0) for spec in signature.outputs)
            return Infer("", binary.whole(body, signature), outputs)
    try:
        value = json_body.parse(body[:size])
        given = value.get("id", "")
        if not isinstance(given, str):
            raise RequestError(f"'id': expected a string, got {kind_of(given)}")
        arrays = _Inputs(expected, memoryview(body)[size:]).read(value.get("inputs"))
        return Infer(given, arrays, _wanted(value, signature))
    except RecursionError:
        raise RequestError("the body is nested too deeply") from None


def encode(
    infer: Infer,
    outputs: Mapping[str, Array],
    written: Mapping[str, Any],
    head: Mapping[str, Any],
    labels: Callable[[str], tuple[str, ...]],
) -> tuple[bytes, int]:
    """The reply's body, and the length of its JSON, 0 where it is nothing but JSON.

    `written` are the outputs as `json_reply.settle` has them told, but for those that go as bytes; `head` begins the
    object; `labels` gives an output's class names.
    """
    tensors: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for wanted in infer.wanted:
        array = outputs[wanted.name]
        datatype = DATATYPES.get("string" if array.dtype.kind in "OS" else array.dtype.name)
        if wanted.classes:
            array, datatype = _classify(array, written[wanted.name], wanted, labels(wanted.name)), "BYTES"
        if datatype is None:
            raise UnsupportedError(f"output {wanted.name!r} is {array.dtype.name}, which this protocol does not carry")
        told: dict[str, Any] = {"name": wanted.name, "datatype": datatype, "shape": array.shape}
        if wanted.binary:
            tail.append(binary.dumps(array))
            told["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            told["data"] = _texts(array, wanted.name) if datatype == "BYTES" else written[wanted.name].ravel()
        tensors.append(told)
    told_id = {"id": infer.id} if infer.id else {}
    json = json_reply.dumps({**head, **told_id, "outputs": tensors})
    return b"".join((json, *tail)), len(json) if tail else 0


class _Inputs:
    """The inputs of one request, whose bytes stand one after the other behind its JSON."""

    def __init__(self, expected: Expected, tail: memoryview) -> None:
        self._expected, self._tail, self._at = expected, tail, 0

    def read(self, entries: object) -> dict[str, Array]:
        """Every input by name."""
        if not isinstance(entries, list) or not entries:
            raise RequestError(f"'inputs': expected a list of tensors, got {kind_of(entries)}")
        arrays: dict[str, Array] = {}
        signature = self._expected.signature
        names = {spec.name: spec for spec in signature.inputs}
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                raise RequestError("'inputs': expected objects with name, shape, datatype and data")
            name = entry["name"]
            if name in arrays:
                raise RequestError(f"the input {name[:80]!r} stands twice")
            if name not in names:
                check_names(signature, {**arrays, name: entry})
                raise RequestError(f"there is no input {name[:80]!r}")
            arrays[name] = self._tensor(entry, names[name])
        if self._at != len(self._tail):
            raise RequestError(f"{len(self._tail) - self._at} bytes follow the last input")
        check_names(signature, arrays)
        return arrays

    def _tensor(self, entry: dict[str, Any], spec: TensorSpec) -> Array:
        what = f"input {spec.name!r}"
        shape, datatype = _shape(entry.get("shape"), what), entry.get("datatype")
        if not isinstance(datatype, str) or datatype not in _DTYPES:
            raise RequestError(f"{what}: expected a datatype such as FP32, got {str(datatype)[:40]!r}")
        parameters = _object(entry, "parameters", what)
        if "shared_memory_region" in parameters:
            raise RequestError(f"{what}: shared memory is not read here, send the data itself")
        if "binary_data_size" in parameters:
            if "data" in entry:
                raise RequestError(f"{what}: has both 'data' and 'binary_data_size'")
            array = binary.loads(self._take(parameters["binary_data_size"], what), _DTYPES[datatype], shape, what)
        else:
            array = self._listed(entry, TensorSpec(spec.name, _DTYPES[datatype], shape), what)
        if datatype == "BYTES" and spec.dtype != "string":  # pictures, one an element
            return image.decode(array.ravel().tolist(), self._expected, spec)
        return convert(spec, array, what)

    def _take(self, size: object, what: str) -> memoryview:
        left = len(self._tail) - self._at
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= left:
            raise RequestError(f"{what}: 'binary_data_size' is {str(size)[:40]}, {left} bytes are there")
        start, self._at = self._at, self._at + size
        return self._tail[start : self._at]

    def _listed(self, entry: dict[str, Any], spec: TensorSpec, what: str) -> Array:
        """`data`, nested as `shape` says or flat."""
        if not isinstance(entry.get("data"), list):
            raise RequestError(f"{what}: expected 'data' to be a list, got {kind_of(entry.get('data'))}")
        json_body.check_depth(entry["data"], self._expected.bounds.depth)
        array = coerce(spec, entry["data"], what)
        if array.shape != spec.shape:
            if array.ndim != 1 or array.size != math.prod(spec.shape):
                raise RequestError(f"{what}: its shape is {describe(spec.shape)}, its data {describe(array.shape)}")
            array = array.reshape(spec.shape)
        return array


def _wanted(value: dict[str, Any], signature: Signature) -> tuple[Wanted, ...]:
    names = tuple(spec.name for spec in signature.outputs)
    default = _switch(_object(value, "parameters", "the request"), "binary_data_output", preset=False)
    entries = value.get("outputs")
    if not isinstance(entries, list | None):
        raise RequestError(f"'outputs': expected a list, got {kind_of(entries)}")
    entries = entries or [{"name": name} for name in names]
    wanted: dict[str, Wanted] = {}
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        if name not in names:
            raise RequestError(f"there is no output {str(name)[:80]!r}, this model gives {either(names, 'and')}")
        if name in wanted:
            raise RequestError(f"the output {name!r} stands twice")
        parameters = _object(entry, "parameters", f"output {name!r}")
        if "shared_memory_region" in parameters:
            raise RequestError(f"output {name!r}: shared memory is not written here")
        classes = parameters.get("classification", 0)
        if not isinstance(classes, int) or isinstance(classes, bool) or classes < 0:
            raise RequestError(f"output {name!r}: 'classification': expected a number, got {str(classes)[:40]}")
        wanted[name] = Wanted(name, _switch(parameters, "binary_data", preset=default), classes)
    return tuple(wanted.values())


def _classify(scores: Array, written: Array, wanted: Wanted, labels: tuple[str, ...]) -> Array:
    """`score:index` or `score:index:label` as bytes, best first; NaN and infinities in the words of `written`."""
    indices = ranking.order(scores, wanted.classes, f"output {wanted.name!r}")
    best, words = np.take_along_axis(scores, indices, -1), np.take_along_axis(written, indices, -1)
    told = np.empty(indices.shape, dtype=object)
    for place in np.ndindex(indices.shape):
        index = int(indices[place])
        told[place] = ":".join((_score(best[place], words[place]), str(index), *labels[index : index + 1])).encode()
    return told


def _score(score: np.generic, word: object) -> str:
    """A score as Triton writes it; what JSON has no number for as the operator chose."""
    if score.dtype.kind != "f":
        return str(score)
    if np.isfinite(score):
        return f"{score:f}"
    return word if isinstance(word, str) else "null"


def _texts(array: Array, name: str) -> list[str]:
    try:
        return [item.decode() for item in array.ravel().tolist()]
    except UnicodeDecodeError:
        raise RequestError(f"output {name!r} holds bytes that are no text: ask for it with binary_data") from None


def _shape(shape: object, what: str) -> tuple[int, ...]:
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise RequestError(f"{what}: expected 'shape' to be a list of sizes")
    if len(shape) > _MOST_DIMENSIONS or math.prod(max(size, 1) for size in shape) >= _MOST_ITEMS:
        raise RequestError(f"{what}: 'shape' is larger than any tensor here")
    return tuple(shape)


def _object(value: dict[str, Any], key: str, what: str) -> dict[str, Any]:
    found = value.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RequestError(f"{what}: expected {key!r} to be an object, got {kind_of(found)}")
    return found


def _switch(parameters: dict[str, Any], key: str, *, preset: bool) -> bool:
    value = parameters.get(key, preset)
    if not isinstance(value, bool):
        raise RequestError(f"{key!r}: expected true or false, got {kind_of(value)}")
    return value
