"""Tables of sample data: .csv, and .parquet where pyarrow is installed.

The header names the columns. They go to the input of the same name, or side by side into the one
input of a model, whose features they name.
"""

from __future__ import annotations

import csv
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from tools.arrays import Array
from tools.errors import DataError

_LAST_RESORT = ("y", "label", "labels", "target", "targets", "class")


def read(path: Path) -> tuple[list[str], list[Array]]:
    """The names of the columns and the columns, as numbers where every value is one."""
    if path.suffix == ".parquet":
        return _parquet(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [line for line in csv.reader(stream) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"--data {path}: cannot be read as CSV: {error}") from None
    if len(lines) < 2:
        raise DataError(f"--data {path}: needs a header and at least one row")
    header, body = [name.strip() for name in lines[0]], lines[1:]
    uneven = next((i for i, line in enumerate(body, 2) if len(line) != len(header)), None)
    if uneven is not None:
        got = len(body[uneven - 2])
        raise DataError(f"--data {path}: line {uneven} has {got} values, not {len(header)}")
    if all(_is_number(name) for name in header):
        raise DataError(f"--data {path}: the first line is numbers; a header must name the columns")
    return header, [_column([line[i].strip() for line in body]) for i in range(len(header))]


def split_target(
    path: str, header: list[str], columns: list[Array], target: str
) -> tuple[dict[str, Array], Array | None]:
    """The feature columns by name, and the target column if one is named or has a usual name."""
    named = dict(zip(header, columns, strict=True))
    if target and target not in named:
        raise DataError(f"--target-column {target}: {path} has the columns {', '.join(header)}")
    found = target or next((name for name in header if name.lower() in _LAST_RESORT), "")
    targets = named.pop(found) if found else None
    return named, targets


def stack(path: str, columns: dict[str, Array], name: str, width: int) -> Array:
    """The columns side by side for one input of `width` numbers a row."""
    if width not in (-1, len(columns)):
        raise DataError(
            f"--data {path} has {len(columns)} columns ({', '.join(list(columns)[:8])} ...), input "
            f"{name} takes {width}: name the column of the answers with --target-column"
        )
    texts = [column for column, values in columns.items() if values.dtype.kind not in "biuf"]
    if texts:
        raise DataError(f"--data {path}: column {texts[0]} holds text, the input needs numbers")
    return np.stack(list(columns.values()), axis=1)


def _parquet(path: Path) -> tuple[list[str], list[Array]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise DataError(f"--data {path}: reading Parquet needs pyarrow: pip install it") from None
    table = parquet.read_table(path)
    columns: list[Any] = [table.column(name).to_numpy() for name in table.column_names]
    return list(table.column_names), columns


def _column(texts: list[str]) -> Array:
    try:
        return np.array([float(text) for text in texts])
    except ValueError:
        return np.array(texts)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
