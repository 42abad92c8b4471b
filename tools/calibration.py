"""Representative data for a model: read, checked against its inputs, and cast to what they take.

    .npy | .npz | .csv | .parquet | folder of images | module:function  ->  Data

Everything is checked here, before the converter sees it: its own messages for wrong data are
obscure, and some wrong data it takes in silence and gives an unquantized file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime.signature import describe
from tools import entry_points, images, tables
from tools.arrays import Array
from tools.errors import DataError

FEW = 20  # samples; with fewer, int8 loses accuracy (measured: 5 give .807, 20 .813, 100 the same)
_TARGETS = ("y", "labels", "label", "targets", "target", "y_test", "y_train")


@dataclass(frozen=True)
class Input:
    """What the model takes: shape with dimension 0 for the batch, -1 where variable."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Options:
    """How to read the data: see export.py --help."""

    target_column: str = ""
    normalize: str = ""
    limit: int = 1000


@dataclass(frozen=True)
class Data:
    """Arrays by input name, row r of each belonging together, and what else the data told."""

    source: str
    inputs: Mapping[str, Array]
    targets: Array | None = None
    features: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    image: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """All but the arrays, as plain JSON values."""
        return {
            "source": self.source,
            "rows": len(next(iter(self.inputs.values()))),
            "features": list(self.features),
            "labels": list(self.labels),
            "image": dict(self.image),
            "warnings": list(self.warnings),
        }


def load(source: str, inputs: list[Input], options: Options) -> Data:
    """Read and check the data; DataError says what does not fit and what was expected."""
    path = Path(source)
    if not path.exists() and re.fullmatch(r"[\w.]+:[\w.]+", source):
        raw = _from_function(source)
    elif not path.exists():
        raise DataError(f"--data {source}: there is no such file, folder or module:function")
    elif path.is_dir():
        raw = _from_images(path, inputs, options)
    elif path.suffix in (".csv", ".parquet"):
        raw = _from_table(path, inputs, options)
    else:
        raw = _from_arrays(path)
    return _checked(raw, inputs, options.limit)


def _from_arrays(path: Path) -> Data:
    try:
        content = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        hint = "arrays of objects are not read: save numbers" if "pickle" in str(error) else error
        raise DataError(f"--data {path}: not .npy, .npz, .csv or a folder ({hint})") from None
    if isinstance(content, np.ndarray):
        return Data(str(path), {"": content})
    return _split(str(path), {name: content[name] for name in content.files})


def _from_function(source: str) -> Data:
    """What `module:function` returns: an array, a dict, or (inputs, targets)."""
    value = entry_points.resolve(source)()
    targets = None
    if isinstance(value, tuple) and len(value) == 2:
        value, targets = value[0], np.asarray(value[1])
    if isinstance(value, Mapping):
        data = _split(source, {str(name): np.asarray(array) for name, array in value.items()})
        return data if targets is None else Data(source, data.inputs, targets)
    return Data(source, {"": np.asarray(value)}, targets)


def _split(source: str, arrays: dict[str, Array]) -> Data:
    """Tell the targets from the inputs by their usual names."""
    found = [name for name in arrays if name in _TARGETS]
    targets = arrays[found[0]] if found else None
    return Data(source, {k: v for k, v in arrays.items() if k not in found}, targets)


def _from_table(path: Path, inputs: list[Input], options: Options) -> Data:
    header, columns = tables.read(path)
    named, targets = tables.split_target(str(path), header, columns, options.target_column)
    wanted = [spec.name for spec in inputs]
    if len(inputs) == 1 and wanted[0] not in named and len(inputs[0].shape) == 2:
        width = inputs[0].shape[1]
        stacked = tables.stack(str(path), named, wanted[0], width)
        return Data(str(path), {wanted[0]: stacked}, targets, features=tuple(named))
    arrays = {
        spec.name: named[spec.name].reshape(-1, *spec.shape[1:])
        for spec in inputs
        if spec.name in named and spec.shape[1:] in ((), (1,))
    }
    return Data(str(path), arrays, targets)


def _from_images(path: Path, inputs: list[Input], options: Options) -> Data:
    image_inputs = [spec for spec in inputs if len(spec.shape) == 4]
    if len(inputs) != 1 or not image_inputs:
        raise DataError(
            f"--data {path} is a folder of images, but the model's inputs are "
            f"{', '.join(f'{spec.name} {describe(spec.shape)}' for spec in inputs)}: "
            "give .npy or .npz"
        )
    folder = images.load(path, inputs[0].shape[1:], options.normalize, options.limit)
    return Data(
        str(path),
        {inputs[0].name: folder.pixels},
        folder.classes,
        labels=folder.labels,
        image=folder.meaning,
        warnings=folder.warnings,
    )


def _checked(data: Data, inputs: list[Input], limit: int) -> Data:
    """The data with every array named, shaped and typed as its input; DataError otherwise."""
    named = _named(dict(data.inputs), inputs)
    arrays = {spec.name: _fit(spec, named[spec.name]) for spec in inputs}
    counts = {name: len(array) for name, array in arrays.items()}
    if data.targets is not None:
        counts["the targets"] = len(data.targets)
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise DataError(f"--data: the arrays differ in their number of rows: {told}")
    count = next(iter(counts.values()))
    if count == 0:
        raise DataError("--data holds no rows")
    warnings = list(data.warnings) + _doubts(arrays, count)
    picked = np.unique(np.linspace(0, count - 1, min(count, limit)).astype(int))
    return replace(
        data,
        inputs={name: array[picked] for name, array in arrays.items()},
        targets=None if data.targets is None else data.targets[picked],
        warnings=tuple(warnings),
    )


def _named(arrays: dict[str, Array], inputs: list[Input]) -> dict[str, Array]:
    names = [spec.name for spec in inputs]
    if len(arrays) == 1 and len(names) == 1:
        return {names[0]: next(iter(arrays.values()))}
    missing = [name for name in names if name not in arrays]
    unknown = [name for name in arrays if name not in names]
    if missing or unknown:
        raise DataError(
            f"--data has the arrays {_list(list(arrays))}, the model the inputs {_list(names)}: "
            "name the arrays as the inputs (numpy.savez(file, name=array, ..., y=targets))"
        )
    return arrays


def _fit(spec: Input, array: Array) -> Array:
    """The array with a dimension for the rows, in the input's dtype."""
    rank = len(spec.shape)
    if array.ndim == rank - 1 and _matches(array.shape, spec.shape[1:]):
        array = array[np.newaxis]
    elif array.ndim == rank - 1 and spec.shape[-1] == 1 and _matches(array.shape, spec.shape[:-1]):
        array = array[..., np.newaxis]
    if array.ndim != rank or not _matches(array.shape[1:], spec.shape[1:]):
        raise DataError(
            f"--data: input {spec.name} needs arrays of shape {describe((-1, *spec.shape[1:]))}, "
            f"got {describe(array.shape)}"
        )
    return _cast(spec, array)


def _cast(spec: Input, array: Array) -> Array:
    if spec.dtype == "string":
        if array.dtype.kind not in "USO":
            raise DataError(f"--data: input {spec.name} needs strings, got {array.dtype}")
        return np.array([_bytes(item) for item in array.ravel()], object).reshape(array.shape)
    if array.dtype.kind not in "biuf":
        raise DataError(f"--data: input {spec.name} needs {spec.dtype} numbers, got {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))[0])
        raise DataError(f"--data: input {spec.name} holds NaN or an infinity, first in row {bad}")
    target = np.dtype(np.float32 if spec.dtype == "bfloat16" else spec.dtype)
    if target.kind in "iu" and array.size:
        bounds = np.iinfo(target)
        if array.dtype.kind == "f" and (array != np.rint(array)).any():
            raise DataError(f"--data: input {spec.name} needs {spec.dtype} integers, got fractions")
        if array.min() < bounds.min or array.max() > bounds.max:
            raise DataError(
                f"--data: input {spec.name} needs {spec.dtype} from {bounds.min} to {bounds.max}, "
                f"got {array.min()} to {array.max()}"
            )
    return np.ascontiguousarray(array, target)


def _doubts(arrays: dict[str, Array], count: int) -> list[str]:
    found = []
    if count < FEW:
        found.append(f"only {count} samples: give {FEW} or more (100 are plenty)")
    for name, array in arrays.items():
        if array.dtype.kind != "f" or array.size == 0:
            continue
        low, high = float(array.min()), float(array.max())
        if low == high:
            found.append(f"input {name} is {low:g} everywhere")
    return found


def _matches(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(want in (-1, size) for size, want in zip(shape, wanted, strict=True))


def _bytes(item: object) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode()


def _list(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:20]) or "none"
