"""What a model takes and gives: names, dtypes and shapes, and the check of what a client sent against them.

    JSON value --coerce--> array of the right kind --check_inputs--> arrays the interpreter can take, and how many rows

A dtype is a NumPy name (`float32`, `int64`, `bool`, ...) or `string`. A shape holds -1 where a dimension is variable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime import strings
from runtime.errors import RequestError, TooLargeError, UnsupportedError

Array = NDArray[Any]
_FEW = 32
# From here on a float may stand for a neighbour of the number that was written.
_EXACT = 2.0**53
# What is nearer to zero rounds to a finite number of that type.
FLOAT_BOUND = {"float16": 65520.0, "float32": 3.4028235677973366e38, "float64": float("inf")}


class Batch(Enum):
    """What dimension 0 of every input means."""

    DYNAMIC = "dynamic"  # -1: any number of rows in one run
    ROW = "row"  # 1: one run a row
    NONE = "none"  # not a batch: the client sends whole tensors


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output: the tensor's own dtype, and (scale, zero point) if it is quantized."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    quantization: tuple[float, int] | None = None

    @property
    def client_dtype(self) -> str:
        """The dtype that clients see: a quantized tensor is float32 to them."""
        return "float32" if self.quantization else self.dtype

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row: without dimension 0."""
        return self.shape[1:]

    def row_bytes(self) -> int:
        """Bytes of one row as the client sees it, variable dimensions counted as 1."""
        return _elements(self.row_shape) * item_bytes(self.client_dtype)


@dataclass(frozen=True, slots=True)
class Signature:
    """A model's inputs and outputs, in alphabetical order as TensorFlow Serving has them."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batch: Batch
    name: str = "serving_default"


def item_bytes(dtype: str) -> int:
    """Bytes of one element (a string counts as a pointer's size)."""
    return 8 if dtype == "string" else np.dtype(dtype).itemsize


def batch_of(inputs: tuple[TensorSpec, ...]) -> Batch:
    """The rule where no manifest says more: all -1 is a dynamic batch, a mix of -1 and 1 one run a row."""
    firsts = {spec.shape[0] if spec.shape else 0 for spec in inputs}
    if firsts == {-1}:
        return Batch.DYNAMIC
    return Batch.ROW if firsts and firsts <= {-1, 1} else Batch.NONE


def coerce(spec: TensorSpec, value: object, what: str, *, plain: bool = False) -> Array:
    """Turn a parsed JSON value into an array that fits `spec`'s dtype, guessing nothing.

    `what` names the value in messages. `plain` promises that it holds no text, true, false or null, which spares a
    walk. Raises RequestError on ragged lists, mixed kinds and values out of range.
    """
    try:
        if spec.dtype == "string":
            return _strings(value, what)
        # Before NumPy sees it: of one long string among many it makes a table as wide as the longest, and it takes
        # `[1, true]` for integers.
        kinds = {int} if plain else _leaf_types(value)
        if not (kinds <= {int, float} or kinds == {bool}):
            raise RequestError(f"{what}: expected {spec.client_dtype} numbers, got {_culprit(value)}")
        array: Array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise RequestError(f"{what}: expected {spec.client_dtype} numbers, got {_culprit(value)}")
        if array.dtype.kind == "f" and not spec.quantization and spec.dtype.lstrip("u").startswith("int"):
            return _integers(_whole_numbers(value, array), np.dtype(spec.dtype), what)
    except (ValueError, OverflowError):
        raise RequestError(f"{what}: the lists are ragged; every row must have the same length") from None
    except RecursionError:
        raise RequestError(f"{what}: the lists are nested too deeply") from None
    return convert(spec, array, what)


def convert(spec: TensorSpec, array: Array, what: str) -> Array:
    """Cast an array (of numbers, or of text for a string tensor) to what `spec` takes if no value changes its meaning.

    Raises RequestError otherwise, UnsupportedError for dtypes that no protocol carries. For a quantized input floats
    stay float32 (the interpreter quantizes them) and integers are taken as raw values.
    """
    if spec.dtype == "string":
        return strings.from_array(array, what)
    kind, name = array.dtype.kind, spec.dtype
    if spec.quantization and kind == "f":
        name = "float32"
    target = np.dtype(name)
    if target.kind not in "biuf":
        raise UnsupportedError(f"{what}: is {spec.dtype}, which no protocol here carries")
    if kind not in "biuf":
        raise RequestError(f"{what}: expected {spec.client_dtype} numbers, got {array.dtype.name[:40]}")
    if kind == "b" or target.kind == "b":
        if kind == target.kind:
            return array
        raise RequestError(f"{what}: expected {spec.client_dtype} values, got {_kind_word(kind)}")
    if target.kind in "iu":
        return _integers(array, target, what)
    if kind == "f" or target.itemsize == 2:  # any integer fits float32
        wide = array if kind == "f" else array.astype(np.float64)
        # Asked before the cast, which would warn; NaN is not less than anything.
        if not all_below(wide, FLOAT_BOUND[name]):
            raise RequestError(f"{what}: holds NaN, an infinity or a number too large for {name}")
    return array.astype(target, copy=False)


def check_inputs(signature: Signature, arrays: Mapping[str, Array], budget: int) -> int:
    """Check the arrays against the signature: names, shapes, rows, and `budget` bytes for inputs and outputs together.

    With a batch, dimension 0 of each array counts the rows; their number is returned (1 without a batch).
    Raises RequestError, TooLargeError.
    """
    check_names(signature, arrays)
    rows = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    for spec in signature.inputs:
        _check_shape(signature, spec, arrays[spec.name].shape)
    count = 1
    if signature.batch is not Batch.NONE:
        if len(set(rows.values())) > 1:
            told = ", ".join(f"{name!r} {number}" for name, number in rows.items())
            raise RequestError(f"every input needs the same number of rows, got {told}")
        count = next(iter(rows.values()))
    expected = sum(spec.row_bytes() for spec in signature.outputs) * count
    size = sum(array.nbytes for array in arrays.values()) + expected
    if size > budget:
        raise TooLargeError(
            f"the request needs {size} bytes of tensors, the limit is {budget}: send fewer rows at a time"
        )
    return count


def all_below(array: Array, bound: float) -> bool:
    """Whether every number of a float array is nearer to zero than `bound`: with `inf`, whether all are finite."""
    # The root of the sum of the squares takes one quick pass and no copy (`dot` would warn of an overflow), and few
    # numbers not even a pass of NumPy's. Where it does not decide, each number is looked at.
    norm = math.hypot(*array.ravel().tolist()) if array.size <= _FEW else math.sqrt(np.vdot(array, array))
    return norm < bound / 2 or float(np.abs(array).max()) < bound


def check_names(signature: Signature, given: Mapping[str, object]) -> None:
    """Every input is given, and nothing else; RequestError otherwise."""
    names = [spec.name for spec in signature.inputs]
    missing = [name for name in names if name not in given]
    unknown = [name for name in given if name not in names]
    if missing or unknown:
        problem = f"missing {_names(missing)}" if missing else f"unknown {_names(unknown)}"
        raise RequestError(f"{problem}: this model's inputs are {_names(names)}")


def has_rows(spec: TensorSpec, array: Array, rows: int) -> bool:
    """Whether dimension 0 of this output counts the rows: declared as -1 or 1 (or not at all), of the rows' number."""
    return (not spec.shape or spec.shape[0] in (-1, 1)) and array.ndim > 0 and array.shape[0] == rows


def describe(shape: tuple[int, ...]) -> str:
    """A shape for a reader: `[any, 28, 28]`."""
    return "[" + ", ".join("any" if size < 0 else str(size) for size in shape) + "]"


def _check_shape(signature: Signature, spec: TensorSpec, shape: tuple[int, ...]) -> None:
    rows = signature.batch is not Batch.NONE
    want, came = (spec.row_shape, shape[1:]) if rows else (spec.shape, shape)
    fits = len(want) == len(came) and all(w in (-1, c) for w, c in zip(want, came, strict=True))
    if rows and not shape:
        raise RequestError(f"input {spec.name!r}: expected a list of rows of shape {describe(want)}, got one value")
    if not fits:
        each = "each row of shape" if rows else "shape"
        raise RequestError(f"input {spec.name!r}: expected {each} {describe(want)}, got {describe(came)}")
    if 0 in shape:
        raise RequestError(f"input {spec.name!r}: is empty (shape {describe(shape)})")


def _integers(array: Array, target: np.dtype[Any], what: str) -> Array:
    if array.dtype.kind == "f" and array.size:
        raise RequestError(f"{what}: expected {target.name} integers, got numbers with a decimal point")
    if array.dtype == target:
        return array
    bounds = np.iinfo(target)
    if array.size and not (bounds.min <= int(array.min()) and int(array.max()) <= bounds.max):
        raise RequestError(f"{what}: expected {target.name} from {bounds.min} to {bounds.max}, got a value outside")
    return array.astype(target)


def _whole_numbers(value: object, array: Array) -> Array:
    """What JSON writes as 2.0 is an integer too, and integers from 2**63 on are floats to NumPy beside smaller ones.

    The array as it is if it holds anything else, or a float so large that it may not be the number that was written.
    """
    if not (array == np.trunc(array)).all():
        return array
    if float(np.abs(array).max(initial=0)) < _EXACT:
        return array.astype(np.int64)
    items = np.array(value, dtype=object)
    for place, item in np.ndenumerate(items):
        if isinstance(item, float) and abs(item) >= _EXACT:
            return array
        items[place] = int(item)
    return items


def _strings(value: object, what: str) -> Array:
    """Nested lists of str or bytes to an object array of bytes."""
    shape: list[int] = []
    probe = value
    while isinstance(probe, list):
        shape.append(len(probe))
        probe = probe[0] if probe else None
    flat: list[bytes] = []
    _flatten(value, tuple(shape), flat, what)
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(shape)


def _flatten(value: object, shape: tuple[int, ...], flat: list[bytes], what: str) -> None:
    if shape:
        if not isinstance(value, list) or len(value) != shape[0]:
            raise RequestError(f"{what}: the lists are ragged; every row must have the same length")
        for item in value:
            _flatten(item, shape[1:], flat, what)
    elif isinstance(value, str):
        flat.append(value.encode())
    elif isinstance(value, bytes):
        flat.append(value)
    else:
        raise RequestError(f"{what}: expected strings, got {_culprit(value)}")


def _leaf_types(value: object) -> set[type]:
    """The types of everything in nested lists but the lists."""
    found: set[type] = set()
    lists = [value] if isinstance(value, list) else []
    if not lists:
        return {type(value)}
    while lists:
        items = lists.pop()
        types = set(map(type, items))
        if list in types:
            lists.extend(item for item in items if type(item) is list)
        found |= types
    return found - {list}


def _culprit(value: object) -> str:
    """Name, in JSON's words, the first thing in `value` that is no number."""
    if isinstance(value, list):
        found = [_culprit(item) for item in value[:1000]]
        return next((word for word in found if word != "a number"), found[0] if found else "an empty list")
    words = {str: "a string", dict: "an object", bool: "true or false", type(None): "null", bytes: "bytes"}
    return words.get(type(value), "a number")


def _kind_word(kind: str) -> str:
    return {"b": "true or false", "f": "numbers with a decimal point"}.get(kind, "integers")


def _names(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:20])


def _elements(shape: tuple[int, ...]) -> int:
    return math.prod(max(size, 1) for size in shape)
