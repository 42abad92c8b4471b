"""Representative data for a model: read, checked against its inputs, and cast to what they take.

    .npy | .npz | .csv | .parquet | folder of images | module:function  ->  Data

Everything is checked here, before the converter sees it: its own messages for wrong data are
obscure, and some wrong data it takes in silence and gives an unquantized file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime.signature import describe
from tools import entry_points, images, right_answers, tables
from tools.arrays import Array
from tools.errors import DataError

FEW = 20  # samples; with fewer, int8 loses accuracy (measured: 5 give .807, 20 .813, 100 the same)


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
    """Arrays by input name, row r of each belonging together, and what else the data told.

    `targets` are the right answers by output name.
    """

    source: str
    inputs: Mapping[str, Array]
    targets: Mapping[str, Array] = field(default_factory=dict)
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


def load(source: str, inputs: list[Input], outputs: Sequence[str], options: Options) -> Data:
    """Read and check the data; DataError says what does not fit and what was expected."""
    path = Path(source)
    if not path.exists() and re.fullmatch(r"[\w.]+:[\w.]+", source):
        raw = _from_function(source, inputs, outputs)
    elif not path.exists():
        raise DataError(f"--data {source}: there is no such file, folder or module:function")
    elif path.is_dir():
        raw = _from_images(path, inputs, outputs, options)
    elif path.suffix in (".csv", ".parquet"):
        raw = _from_table(path, inputs, outputs, options)
    else:
        raw = _from_arrays(path, inputs, outputs)
    if options.normalize not in ("", "none") and not path.is_dir():
        told = "--normalize is what the server does to pictures; the sample data is taken as it is: normalize it before"
        raw = replace(raw, warnings=(*raw.warnings, told))
    return _checked(raw, inputs, options.limit)


def picture(normalize: str, inputs: Iterable[tuple[str, Sequence[int]]]) -> dict[str, Any] | None:
    """What --normalize says of the first input that takes pictures, None where nothing was said.

    `inputs` are names and shapes. DataError where there is no such input: the option would be passed over.
    """
    if not normalize:
        return None
    listed = list(inputs)
    found = (images.meaning(normalize, shape) for _, shape in listed)
    told = next((meaning for meaning in found if meaning), None)
    if told is None:
        shapes = ", ".join(f"{name} {describe(tuple(shape))}" for name, shape in listed)
        raise DataError(
            f"--normalize {normalize} is for pictures, which need an input of height, width and 1, 3 or 4 channels: "
            f"the inputs are {shapes}. Leave it out, and give --data as the model takes it"
        )
    return told


def _from_arrays(path: Path, inputs: list[Input], outputs: Sequence[str]) -> Data:
    try:
        content = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        hint = "arrays of objects are not read: save numbers" if "pickle" in str(error) else error
        raise DataError(f"--data {path}: not .npy, .npz, .csv or a folder ({hint})") from None
    if isinstance(content, np.ndarray):
        return Data(str(path), {"": content})
    return Data(str(path), *_split(str(path), {name: content[name] for name in content.files}, inputs, outputs))


def _from_function(source: str, inputs: list[Input], outputs: Sequence[str]) -> Data:
    """What `module:function` returns: an array, a dict, or (inputs, right answers), each one or a dict."""
    value = entry_points.resolve(source)()
    targets: dict[str, Array] = {}
    if isinstance(value, tuple) and len(value) == 2:
        value, targets = value[0], right_answers.returned(source, value[1], outputs)
    if isinstance(value, Mapping):
        named = {str(name): np.asarray(array) for name, array in value.items()}
        samples, found = _split(source, named, inputs, outputs)
        return Data(source, samples, targets or found)
    return Data(source, {"": np.asarray(value)}, targets)


def _split(
    source: str, arrays: dict[str, Array], inputs: list[Input], outputs: Sequence[str]
) -> tuple[dict[str, Array], dict[str, Array]]:
    return right_answers.split(source, arrays, [spec.name for spec in inputs], outputs)


def _from_table(path: Path, inputs: list[Input], outputs: Sequence[str], options: Options) -> Data:
    named, targets = _columns(path, inputs, outputs, options.target_column)
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


def _columns(
    path: Path, inputs: list[Input], outputs: Sequence[str], target: str
) -> tuple[dict[str, Array], dict[str, Array]]:
    """A table's columns by name: those for the inputs, and the right answers by output."""
    header, columns = tables.read(path)
    answers = right_answers.columns(header, [spec.name for spec in inputs], outputs, target)
    if answers and (not target or target in answers):
        named = dict(zip(header, columns, strict=True))
        return named, {name: named.pop(name) for name in answers}
    named, found = tables.split_target(str(path), header, columns, target)
    if found is None:
        return named, {}
    what = f"--data {path}: the column {next(name for name in header if name not in named)!r}"
    return named, right_answers.of_the_only(what, found, outputs)


def _from_images(path: Path, inputs: list[Input], outputs: Sequence[str], options: Options) -> Data:
    image_inputs = [spec for spec in inputs if len(spec.shape) == 4]
    if len(inputs) != 1 or not image_inputs:
        raise DataError(
            f"--data {path} is a folder of images, but the model's inputs are "
            f"{', '.join(f'{spec.name} {describe(spec.shape)}' for spec in inputs)}: "
            "give .npy or .npz"
        )
    folder = images.load(path, inputs[0].shape[1:], options.normalize, options.limit)
    classes = {} if folder.classes is None else dict.fromkeys(outputs, folder.classes)
    warnings = list(folder.warnings)
    if len(classes) > 1:
        warnings.append(f"the folders' classes are not measured: the model has several outputs, {', '.join(outputs)}")
    return Data(
        str(path),
        {inputs[0].name: folder.pixels},
        classes if len(classes) == 1 else {},
        labels=folder.labels,
        image=folder.meaning,
        warnings=tuple(warnings),
    )


def _checked(data: Data, inputs: list[Input], limit: int) -> Data:
    """The data with every array named, shaped and typed as its input; DataError otherwise."""
    named = _named(dict(data.inputs), inputs)
    arrays = {spec.name: _fit(spec, named[spec.name]) for spec in inputs}
    counts = {name: len(array) for name, array in arrays.items()}
    counts |= {f"the right answers to {name}": len(np.atleast_1d(array)) for name, array in data.targets.items()}
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
        targets={name: np.atleast_1d(array)[picked] for name, array in data.targets.items()},
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
            "name the arrays as the inputs, and right answers as their outputs, or y where there is one output "
            "(numpy.savez(file, name=array, ..., y=answers))"
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
