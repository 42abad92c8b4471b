"""Named arrays as a folder of .npy files: how they pass from one process to the next.

Row r of every array belongs together. Strings are kept as fixed-width bytes, never pickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_INDEX = "arrays.json"


def save(folder: Path, arrays: Mapping[str, Array]) -> None:
    """Write the arrays; what was in the folder under the same names is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, array in enumerate(arrays.values()):
        plain = array.astype("S") if array.dtype.kind in "OU" else array
        np.save(folder / f"{index}.npy", plain, allow_pickle=False)
    (folder / _INDEX).write_text(json.dumps(list(arrays)), "utf-8")


def load(folder: Path) -> dict[str, Array]:
    """The arrays, mapped into memory and read-only; strings as objects that are bytes."""
    names = json.loads((folder / _INDEX).read_text("utf-8"))
    return {name: _load(folder / f"{index}.npy") for index, name in enumerate(names)}


def rows(arrays: Mapping[str, Array]) -> int:
    """How many rows the arrays hold, 0 without any."""
    return min((len(array) for array in arrays.values()), default=0)


def take(arrays: Mapping[str, Array], which: slice | Array) -> dict[str, Array]:
    """Some of the rows."""
    return {name: array[which] for name, array in arrays.items()}


def join(parts: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """Rows that came in parts, in one."""
    listed = list(parts)
    return {name: np.concatenate([part[name] for part in listed]) for name in listed[0]}


def _load(path: Path) -> Array:
    array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array.astype(object) if array.dtype.kind == "S" else array
