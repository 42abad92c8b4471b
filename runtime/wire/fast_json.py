"""A JSON body that is one tensor of plain numbers, read without making a Python object of each number.

    {"instances": [[0.1, 0.2], [0.3, 0.4]]}  --simdjson--> doubles, flat
    {"instancs" :[ [   ,   ],[   ,   ] ]}   --without what numbers are made of--> the shape, if lists are regular

Used where pysimdjson is installed (`json_body` reads everything without it), and only where its answer is beyond doubt:
`decode` gives None, and `json_body` decides, for any other key, string, true, null or object in the body, for lists of
unequal length, for integers that a double does not hold exactly, for what simdjson refuses, and for every error.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from runtime.errors import RequestError
from runtime.signature import Array, Batch, TensorSpec, all_below, check_inputs, convert
from runtime.wire.expected import Decoded, Expected

try:
    import simdjson

    Parser: Any = simdjson.Parser
except ImportError:  # there is no wheel for every Python and machine
    Parser = None

_FORMS = ("instances", "inputs", "features")
# All that numbers and the space between them are made of. What is left of a body without them is its skeleton.
_NUMBERS = b"0123456789+-.eE \t\r\n"
_OPENINGS = {form: b'{"' + form.encode().translate(None, _NUMBERS) + b'":' for form in _FORMS}
# Tensors are nowhere deeper.
_DEEPEST = 8
_REALS = ("float32", "float64")
_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")
# From here on integers and doubles part ways.
_EXACT = 2.0**53
# Of bodies with a longer skeleton the shape is found each time: that is quick beside all the rest, and keeps no memory.
_FAMILIAR_BYTES = 2048
# A parser keeps memory of thirteen times its largest body: after a larger one than this it is let go.
LARGE_BYTES = 2 << 20
_PARSERS: list[Any] = []


def decode(body: bytes, expected: Expected) -> Decoded | None:
    """What the body holds, or None where this reader is not sure."""
    inputs, batch = expected.signature.inputs, expected.signature.batch
    if Parser is None or len(inputs) != 1:
        return None
    spec, skeleton = inputs[0], body.translate(None, _NUMBERS)
    layout = layout_of(skeleton) if len(skeleton) <= _FAMILIAR_BYTES else _layout_of(skeleton)
    if layout is None or (batch is Batch.NONE and layout[0] != "inputs"):
        return None
    form, shape = layout
    if len(body) > LARGE_BYTES:
        _foresee(expected, spec, form, shape)
    try:
        if len(shape) >= expected.bounds.depth:
            raise ValueError("nested too deeply")
        array = _tensor(body, form, shape, spec)
    except (ValueError, RuntimeError, LookupError, RequestError):  # `json_body` says what it is
        return None
    if form != "features" or array.ndim == len(spec.shape):
        return Decoded(form, {spec.name: array})
    if array.ndim == len(spec.row_shape):
        return Decoded(form, {spec.name: array[None]}, single=True)
    return None


def _foresee(expected: Expected, spec: TensorSpec, form: str, shape: tuple[int, ...]) -> None:
    """Raise the RequestError that a body of this shape ends in whatever its numbers are, before they take memory."""
    if form == "features" and len(shape) == len(spec.row_shape):
        shape = (1, *shape)
    array = np.broadcast_to(np.zeros((), spec.client_dtype), shape)
    check_inputs(expected.signature, {spec.name: array}, expected.bounds.tensor_bytes)
    if expected.signature.batch is not Batch.NONE:
        expected.bounds.check_rows(shape[0])


def _tensor(body: bytes, form: str, shape: tuple[int, ...], spec: TensorSpec) -> Array:
    """The value under the only key; ValueError and its like where this reader is not sure of it.

    The skeleton leaves open where in the body the numbers stand: simdjson refuses them anywhere but in the lists.
    """
    kind = _kind(body, spec)
    flat = _flat(body, form, kind)
    if flat.size != math.prod(shape):
        raise ValueError("a list is empty")
    if kind == "i":
        return convert(spec, flat.reshape(shape), form)
    if not all_below(flat, _EXACT):
        raise ValueError("large numbers")
    # Every number so small fits either width.
    return flat.reshape(shape).astype(spec.client_dtype, copy=False)


def _kind(body: bytes, spec: TensorSpec) -> str:
    """What simdjson is to make of the body's numbers: `d` doubles, `i` integers. ValueError for neither."""
    if spec.dtype in _REALS:
        # NumPy would make integers of whole numbers first: the same, as long as a double holds them.
        return "d"
    text = body[body.index(b"[") :]
    whole = not (b"." in text or b"e" in text or b"E" in text)
    if spec.dtype in _INTEGERS and (whole or spec.quantization):
        # Of a quantized input, numbers with a point are real values, and integers the tensor's own.
        return "i" if whole else "d"
    raise ValueError("not for this input")


@lru_cache(maxsize=128)
def layout_of(skeleton: bytes) -> tuple[str, tuple[int, ...]] | None:
    """`_layout_of`, with a memory: clients send the same few shapes again and again."""
    return _layout_of(skeleton)


def _layout_of(skeleton: bytes) -> tuple[str, tuple[int, ...]] | None:
    """The form and the shape of a body with this skeleton; None if it is no object of one regular nesting of lists."""
    for form, opening in _OPENINGS.items():
        if skeleton.startswith(opening) and skeleton.endswith(b"}"):
            shape = shape_of(skeleton[len(opening) : -1])
            return (form, shape) if shape else None
    return None


def shape_of(skeleton: bytes) -> tuple[int, ...] | None:
    """The shape whose nested lists have these brackets and commas; None if they are no regular nesting.

    An empty list looks like one of one item: the number of numbers tells them apart.
    """
    depth = len(skeleton) - len(skeleton.lstrip(b"["))
    if not 0 < depth <= _DEEPEST:
        return None
    sizes: list[int] = []
    length = 0  # of the skeleton of one item of the list that is looked at
    for level in range(1, depth + 1):
        end = skeleton.find(b"]" * level)
        size, rest = divmod(end + level - (depth - level) - 1, length + 1)
        if end < 0 or rest or size < 1:
            return None
        sizes.append(size)
        length = size * (length + 1) + 1
    if length != len(skeleton):
        return None
    built = b""
    for size in sizes:
        # Not `join`: that takes a hundred bytes for each item.
        built = b"[" + (size * (built + b","))[:-1] + b"]"
    return tuple(reversed(sizes)) if built == skeleton else None


def _flat(body: bytes, form: str, kind: str) -> Array:
    """Every number under the key, in order: float64 for `d`, int64 for `i`. Raises ValueError, RuntimeError."""
    parser: Any = _PARSERS.pop() if _PARSERS else Parser()
    numbers = parser.parse(body)[form].as_buffer(of_type=kind)
    if len(body) <= LARGE_BYTES:
        _PARSERS.append(parser)
    return np.frombuffer(numbers, np.float64 if kind == "d" else np.int64)


def forget() -> None:
    """Let the kept parsers go, and their memory with them."""
    _PARSERS.clear()
