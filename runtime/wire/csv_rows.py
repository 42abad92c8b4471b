"""`text/csv` to named arrays: a row a line, its columns the values of one input, or one column an input.

A first line of names is told by `; header=present` (RFC 4180), or by its not being numbers where numbers are expected.
With names the order of the columns is free; they are the manifest's features, or the inputs' own names.
"""

from __future__ import annotations

import csv
import io
import math
import re

import numpy as np

from runtime.errors import RequestError, TooLargeError
from runtime.signature import Array, Batch, TensorSpec, convert
from runtime.wire.expected import Decoded, Expected
from runtime.wire.json_body import either

# Cells that are read one by one are Python's objects, of some hundred bytes each.
_MOST_CELLS = 1_000_000
_LARGE = re.compile(r"[0-9]{19}|[^\x00-\x7f]")
_BOOLS = {"true": True, "false": False, "1": True, "0": False}


def decode(body: bytes, header: str, expected: Expected) -> Decoded:
    """Read the lines. `header` is the media type's parameter: `present`, `absent` or nothing. Raises RequestError."""
    signature = expected.signature
    if signature.batch is Batch.NONE:
        raise RequestError("this model has no batch: CSV holds rows; send JSON or .npy")
    try:
        content = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RequestError("the CSV is not UTF-8") from None
    names, content = _split_names(content, header, expected)
    if len(signature.inputs) == 1:
        spec = signature.inputs[0]
        return Decoded("instances", {spec.name: _one_input(spec, names, content, expected)})
    return Decoded("instances", _column_each(names, content, expected))


def _split_names(content: str, header: str, expected: Expected) -> tuple[list[str], str]:
    """The names in the first line, if that is what it holds, and the lines after it."""
    stream = io.StringIO(content)
    try:
        first = next(csv.reader(iter(stream.readline, ""), strict=True), [])
    except csv.Error as error:
        raise RequestError(f"line 1 of the CSV is damaged: {error}") from None
    names = [cell.strip() for cell in first]
    if header == "present" or (header != "absent" and _are_names(names, expected)):
        return names, stream.read()
    return [], content


def _are_names(cells: list[str], expected: Expected) -> bool:
    known = {spec.name for spec in expected.signature.inputs}.union(*expected.features.values())
    if cells and set(cells) <= known:
        return True
    texts = any(spec.dtype == "string" for spec in expected.signature.inputs)
    return not texts and bool(cells) and not any(_is_value(cell) for cell in cells)


def _is_value(cell: str) -> bool:
    if cell.lower() in _BOOLS or not cell:
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _one_input(spec: TensorSpec, names: list[str], content: str, expected: Expected) -> Array:
    if -1 in spec.row_shape[1:] or spec.row_shape.count(-1) > 1:
        raise RequestError(f"input {spec.name!r}: a line of CSV does not tell the shape of a row; send JSON or .npy")
    columns = expected.features.get(spec.name, ())
    table = _table(content, spec, first_line=2 if names else 1)
    if names and columns:
        table = table[:, _order(names, columns, table.shape[1])]
    want, came = math.prod(spec.row_shape), table.shape[1]
    if want >= 0 and came != want:
        told = f" ({either(columns, 'and')})" if columns else ""
        raise RequestError(f"the CSV has {came} columns, input {spec.name!r} takes {want}{told}")
    if want < 0 and came % -want:
        raise RequestError(f"the CSV has {came} columns, input {spec.name!r} takes a multiple of {-want}")
    return table.reshape(len(table), *spec.row_shape)


def _column_each(names: list[str], content: str, expected: Expected) -> dict[str, Array]:
    """Several inputs of one value a row: each is the column of its name."""
    specs = expected.signature.inputs
    wide = [spec.name for spec in specs if any(size != 1 for size in spec.row_shape)]
    if wide:
        raise RequestError(f"input {wide[0]!r} has more than one value a row: send .npz or JSON for several inputs")
    if not names:
        wanted = either(tuple(spec.name for spec in specs), "and")
        raise RequestError(f"this model has several inputs: the CSV needs a first line with {wanted}")
    lines = _lines(content, 2)
    order = _order(names, tuple(spec.name for spec in specs), len(lines[0]))
    arrays = {}
    for spec, column in zip(specs, order, strict=True):
        cells = _cells([[line[column]] for line in lines], spec, 2)
        arrays[spec.name] = cells.reshape(len(lines), *spec.row_shape)
    return arrays


def _order(names: list[str], wanted: tuple[str, ...], width: int) -> list[int]:
    """Where each wanted column stands."""
    if sorted(names) != sorted(wanted):
        raise RequestError(f"the CSV's first line has {either(tuple(names), 'and')}, expected {either(wanted, 'and')}")
    if len(names) != width:
        raise RequestError(f"the CSV's first line has {len(names)} columns, the next one {width}")
    return [names.index(name) for name in wanted]


def _table(content: str, spec: TensorSpec, first_line: int) -> Array:
    """The lines as rows x columns in the input's dtype."""
    kind = "O" if spec.dtype == "string" else np.dtype(spec.client_dtype).kind
    # NumPy reads 1.0 as an integer, quotes not at all.
    odd = '"' if kind == "f" else '".eEnN'
    large = kind in "iu" and _LARGE.search(content)
    if kind in "fiu" and content.strip() and not large and not any(mark in content for mark in odd):
        # NumPy 1 reads an integer that its dtype does not hold as another one: int64 holds all of 18 digits.
        target = np.dtype(np.float64 if kind == "f" else np.int64)
        try:
            table = np.loadtxt(io.StringIO(content), target, delimiter=",", comments=None, ndmin=2)
            return convert(spec, table, "the CSV")
        except (ValueError, OverflowError):
            pass  # told below, with the line and what stands there
    return _cells(_lines(content, first_line), spec, first_line)


def _lines(content: str, first_line: int) -> list[list[str]]:
    if content.count(",") + content.count("\n") > _MOST_CELLS:
        raise TooLargeError(f"the CSV has more than {_MOST_CELLS} cells that are not plain numbers: send fewer rows")
    try:
        lines = [line for line in csv.reader(io.StringIO(content), strict=True) if line]
    except csv.Error as error:
        raise RequestError(f"the CSV is damaged: {error}") from None
    if not lines:
        raise RequestError("the CSV has no rows")
    for number, line in enumerate(lines, first_line):
        if len(line) != len(lines[0]):
            raise RequestError(f"row {number} of the CSV has {len(line)} columns, the first one {len(lines[0])}")
    return lines


def _cells(lines: list[list[str]], spec: TensorSpec, first_line: int) -> Array:
    cells = np.empty((len(lines), len(lines[0])), dtype=object)
    for row, line in enumerate(lines):
        for column, cell in enumerate(line):
            try:
                cells[row, column] = _value(cell.strip(), spec)
            except (ValueError, KeyError):
                raise RequestError(
                    f"row {row + first_line}, column {column + 1} of the CSV: expected {spec.client_dtype}, "
                    f"got {cell[:40]!r}"
                ) from None
    if spec.dtype == "string":
        return cells
    target = np.float64 if np.dtype(spec.client_dtype).kind == "f" else spec.client_dtype
    return convert(spec, cells.astype(target), "the CSV")


def _value(cell: str, spec: TensorSpec) -> object:
    if spec.dtype == "string":
        return cell.encode()
    kind = np.dtype(spec.client_dtype).kind
    if kind == "b":
        return _BOOLS[cell.lower()]
    if "_" in cell or not cell.isascii():  # Python's own way to group digits, and digits of other scripts
        raise ValueError(cell)
    if kind == "f":
        return float(cell)
    number, bounds = int(cell), np.iinfo(spec.client_dtype)
    if not bounds.min <= number <= bounds.max:
        raise ValueError(cell)
    return number
