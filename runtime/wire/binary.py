"""Tensors as plain bytes: little-endian, in rows; strings each after their length in four bytes.

The form of the Open Inference Protocol's binary extension, and of `application/octet-stream` bodies.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from runtime import strings
from runtime.errors import RequestError
from runtime.signature import Array, Batch, Signature, TensorSpec, convert, describe


def loads(data: bytes | memoryview, dtype: str, shape: tuple[int, ...], what: str) -> Array:
    """The array of that dtype and shape; RequestError unless the bytes are exactly as many as it needs."""
    count = math.prod(shape)
    if dtype == "string":
        return _strings(bytes(data), count, what).reshape(shape)
    kind = np.dtype(dtype)
    if count * kind.itemsize != len(data):
        raise RequestError(
            f"{what}: {dtype} of shape {describe(shape)} takes {count * kind.itemsize} bytes, got {len(data)}"
        )
    array = np.frombuffer(data, kind.newbyteorder("<"))
    if kind.kind == "b":
        # A byte that is neither 0 nor 1 would be neither true nor false to the interpreter.
        array = array.view(np.uint8) != 0
    return array.astype(kind, copy=False).reshape(shape)


def dumps(array: Array) -> bytes:
    """The array as bytes."""
    if array.dtype.kind in "OS":
        return b"".join(struct.pack("<I", len(item)) + item for item in array.ravel().tolist())
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def whole(data: bytes, signature: Signature) -> dict[str, Array]:
    """The one input of a model as bare bytes, its rows counted by their length.

    Raises RequestError where the model has several inputs, or a shape that the length does not tell.
    """
    if len(signature.inputs) > 1:
        raise RequestError("this model has several inputs: raw bytes hold one; send .npz, JSON or /v2 requests")
    spec = signature.inputs[0]
    what = f"input {spec.name!r}"
    return {spec.name: convert(spec, loads(data, spec.client_dtype, _shape(data, spec, signature), what), what)}


def _shape(data: bytes, spec: TensorSpec, signature: Signature) -> tuple[int, ...]:
    shape = spec.shape if signature.batch is Batch.NONE else (-1, *spec.row_shape)
    open_sizes = [index for index, size in enumerate(shape) if size < 0]
    if not open_sizes:
        return shape
    if len(open_sizes) > 1:
        raise RequestError(
            f"input {spec.name!r} is {describe(shape)}: the length of raw bytes does not tell its shape; send .npy"
        )
    if spec.dtype == "string":
        items = _count_strings(data, f"input {spec.name!r}")
    else:
        items = len(data) // np.dtype(spec.client_dtype).itemsize
    step = math.prod(size for size in shape if size >= 0)
    size = max(1, -(-items // step)) if step else 0
    return tuple(size if index == open_sizes[0] else given for index, given in enumerate(shape))


def _strings(data: bytes, count: int, what: str) -> Array:
    strings.check_count(count, what)
    items: list[bytes] = []
    start = 0
    while start < len(data) and len(items) <= count:
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        if start + 4 > len(data) or end > len(data):
            raise RequestError(f"{what}: a string is longer than the bytes that follow")
        items.append(data[start + 4 : end])
        start = end
    if len(items) != count:
        raise RequestError(f"{what}: expected {count} strings, got {'more' if len(items) > count else len(items)}")
    array = np.empty(count, dtype=object)
    array[:] = items
    return array


def _count_strings(data: bytes, what: str) -> int:
    count = start = 0
    while start < len(data):
        start += 4 + int.from_bytes(data[start : start + 4], "little")
        count += 1
    if start != len(data):
        raise RequestError(f"{what}: a string is longer than the bytes that follow")
    return count
