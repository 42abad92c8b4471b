"""The few fields of a .tflite flatbuffer that dynolite looks at itself: operators, tensor types, sizes of a row.

The interpreter packages tell them too, but not those of all subgraphs, and tflite-runtime crashes when it is asked for
the details of a sparse tensor. Source: tensorflow/lite/schema/schema.fbs, version 3, and the FlatBuffers binary format.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass

Content = bytes | mmap.mmap

_TYPES = [
    "FLOAT32",
    "FLOAT16",
    "INT32",
    "UINT8",
    "INT64",
    "STRING",
    "BOOL",
    "INT16",
    "COMPLEX64",
    "INT8",
    "FLOAT64",
    "COMPLEX128",
    "UINT64",
    "RESOURCE",
    "VARIANT",
    "UINT32",
    "UINT16",
    "INT4",
    "BFLOAT16",
]
_BYTES = [4, 2, 4, 1, 8, 8, 1, 2, 8, 1, 8, 16, 8, 0, 0, 4, 2, 1, 2]
_CUSTOM = 32
_CALL_ONCE, _ASSIGN_VARIABLE = 129, 144


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator code of the model: its builtin number, its version, and its name if custom."""

    code: int
    version: int
    custom: str = ""


def operators(content: Content) -> list[Operator]:
    """Every operator code that the model declares."""
    return [_operator(content, table) for table in _vector(content, _root(content), 1)]


def tensor_types(content: Content) -> set[str]:
    """The dtypes of all tensors of all subgraphs, as the schema names them."""
    found = set()
    for subgraph in _vector(content, _root(content), 2):
        for tensor in _vector(content, subgraph, 0):
            at = _field(content, tensor, 1)
            number = content[at] if at else 0
            found.add(_TYPES[number] if number < len(_TYPES) else str(number))
    return found


def row_bytes(content: Content) -> int:
    """Bytes of the largest activation of one row: dimension 0 counts as 1, and so does any other that varies."""
    root, largest = _root(content), 0
    constant = [_field(content, buffer, 0) != 0 for buffer in _vector(content, root, 4)]
    for subgraph in _vector(content, root, 2):
        for tensor in _vector(content, subgraph, 0):
            # Not every converter writes the signature of an inner tensor: its shape for one row is there always.
            shape = _ints(content, tensor, 7) or _ints(content, tensor, 0)
            if shape and shape[0] in (-1, 1) and not constant[_int(content, _field(content, tensor, 2))]:
                at = _field(content, tensor, 1)
                number = content[at] if at else 0
                size = _BYTES[number] if number < len(_BYTES) else 4
                largest = max(largest, size * math.prod(max(extent, 1) for extent in shape[1:]))
    return largest


def has_variables(content: Content) -> bool:
    """Whether any tensor keeps its value from one run to the next (those of sequence operators do)."""
    fields = (
        _field(content, tensor, 5) for sub in _vector(content, _root(content), 2) for tensor in _vector(content, sub, 0)
    )
    return any(at and content[at] for at in fields)


def assigns_variables(content: Content) -> bool:
    """Whether a run may leave resource variables changed: any assignment but those that CALL_ONCE begins with."""
    codes = [operator.code for operator in operators(content)]
    initializers, assigning = set(), set()
    for index, subgraph in enumerate(_vector(content, _root(content), 2)):
        for node in _vector(content, subgraph, 3):
            code = codes[_int(content, _field(content, node, 0))]
            if code == _ASSIGN_VARIABLE:
                assigning.add(index)
            elif code == _CALL_ONCE:
                options = _field(content, node, 4)
                initializers.add(_int(content, _field(content, options + _uint(content, options), 0)))
    return bool(assigning - initializers)


def _operator(content: Content, table: int) -> Operator:
    old, name, version, new = (_field(content, table, index) for index in range(4))
    code = max(
        struct.unpack_from("<b", content, old)[0] if old else 0,
        struct.unpack_from("<i", content, new)[0] if new else 0,
    )
    number = struct.unpack_from("<i", content, version)[0] if version else 1
    custom = _string(content, name) if name and code == _CUSTOM else ""
    return Operator(code, number, custom)


def _root(content: Content) -> int:
    return _uint(content, 0)


def _uint(content: Content, at: int) -> int:
    value: int = struct.unpack_from("<I", content, at)[0]
    return value


def _int(content: Content, at: int) -> int:
    """A signed number at a field's place; 0 where the field is left out."""
    value: int = struct.unpack_from("<i", content, at)[0] if at else 0
    return value


def _ints(content: Content, table: int, index: int) -> tuple[int, ...]:
    """A vector of signed numbers; empty where it is left out."""
    field = _field(content, table, index)
    if not field:
        return ()
    start = field + _uint(content, field)
    return struct.unpack_from(f"<{_uint(content, start)}i", content, start + 4)


def _field(content: Content, table: int, index: int) -> int:
    """Where a table's field lies, 0 where it is left out."""
    vtable = table - struct.unpack_from("<i", content, table)[0]
    if 4 + 2 * index >= struct.unpack_from("<H", content, vtable)[0]:
        return 0
    offset: int = struct.unpack_from("<H", content, vtable + 4 + 2 * index)[0]
    return table + offset if offset else 0


def _vector(content: Content, table: int, index: int) -> Iterator[int]:
    """Where each table of a vector of tables lies."""
    field = _field(content, table, index)
    if not field:
        return
    start = field + _uint(content, field)
    for item in range(_uint(content, start)):
        at = start + 4 + 4 * item
        yield at + _uint(content, at)


def _string(content: Content, field: int) -> str:
    start = field + _uint(content, field)
    return content[start + 4 : start + 4 + _uint(content, start)].decode("utf-8", "replace")
