"""A folder of images as sample data: decoded, resized to the input, normalized.

photos/cat/1.jpg, photos/dog/2.png ...   subfolders are classes, in alphabetical order
photos/1.jpg ...                         no classes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tools.arrays import Array
from tools.errors import DataError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_DEFAULT = 224  # pixels a side, where the input's size is variable
PRESETS = {
    "none": (1.0, (), ()),
    "0..1": (1 / 255, (), ()),
    "-1..1": (1 / 127.5, (1.0,), (1.0,)),
    "imagenet": (1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@dataclass(frozen=True)
class Folder:
    """The images as rows x height x width x channels in float32, and what the folder told."""

    pixels: Array
    classes: Array | None
    labels: tuple[str, ...]
    meaning: Mapping[str, Any]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Normalization:
    """Pixels (0..255) times `scale`, then (x - mean) / std a channel."""

    scale: float
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def apply(self, pixels: Array) -> Array:
        """The input's values for pixels of 0..255."""
        scaled = pixels.astype(np.float32) * np.float32(self.scale)
        if self.mean:
            scaled -= np.array(self.mean, np.float32)
        if self.std:
            scaled /= np.array(self.std, np.float32)
        return scaled


def normalization(text: str, channels: int) -> Normalization:
    """Read --normalize: a preset, or `scale`, `scale/mean/std` with commas between channels."""
    if text in PRESETS:
        scale, mean, std = PRESETS[text]
    else:
        try:
            fields = [tuple(float(x) for x in part.split(",")) for part in text.split("/")]
            (scale,), mean, std = (*fields, (), ())[:3] if len(fields) < 3 else fields
        except ValueError:
            raise DataError(
                f"--normalize {text}: expected one of {', '.join(PRESETS)}, or SCALE/MEAN/STD "
                "such as 0.00392/0.5,0.5,0.5/0.5,0.5,0.5"
            ) from None
    for values in (mean, std):
        if len(values) not in (0, 1, channels):
            raise DataError(f"--normalize {text}: {len(values)} values for {channels} channels")
    if 0 in std or scale == 0:
        raise DataError(f"--normalize {text}: scale and std cannot be 0")
    return Normalization(scale, _each(mean, channels), _each(std, channels))


def meaning(normalize: str, shape: Sequence[int]) -> dict[str, Any] | None:
    """The manifest's image for an input of `shape` (batch first); None where it is no image."""
    if len(shape) != 4 or shape[3] not in _MODES:
        return None
    height, width = (size if size > 0 else _DEFAULT for size in shape[1:3])
    return _told(normalization(normalize, shape[3]), height, width, shape[3])


def load(path: Path, shape: tuple[int, ...], normalize: str, limit: int) -> Folder:
    """The images under `path` for an input of `shape` (height, width, channels)."""
    height, width = (size if size > 0 else _DEFAULT for size in shape[:2])
    channels = shape[2]
    if channels not in _MODES:
        raise DataError(f"--data {path}: images have 1, 3 or 4 channels, the input has {channels}")
    warnings = []
    if not normalize:
        normalize = "0..1"
        warnings.append(
            "--normalize was not given: pixels are divided by 255; "
            "say --normalize none if the model rescales them itself"
        )
    values = normalization(normalize, channels)
    files, labels = _find(path)
    if not files:
        raise DataError(f"--data {path}: no images in it ({', '.join(sorted(_SUFFIXES))})")
    picked = np.unique(np.linspace(0, len(files) - 1, min(len(files), limit)).astype(int))
    chosen = [files[index] for index in picked]
    pixels = np.stack([_read(file, height, width, channels) for file, _ in chosen])
    classes = np.array([number for _, number in chosen]) if labels else None
    told = _told(values, height, width, channels)
    return Folder(values.apply(pixels), classes, labels, told, tuple(warnings))


def _told(values: Normalization, height: int, width: int, channels: int) -> dict[str, Any]:
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "scale": values.scale,
        "mean": list(values.mean),
        "std": list(values.std),
    }


def _find(path: Path) -> tuple[list[tuple[Path, int]], tuple[str, ...]]:
    """Every image with its class number, and the classes' names."""
    folders = sorted(item for item in path.iterdir() if item.is_dir())
    classes = [folder for folder in folders if any(_images(folder))]
    if not classes:
        return [(file, 0) for file in _images(path)], ()
    files = [(file, number) for number, folder in enumerate(classes) for file in _images(folder)]
    return files, tuple(folder.name for folder in classes)


def _images(folder: Path) -> list[Path]:
    return sorted(item for item in folder.rglob("*") if item.suffix.lower() in _SUFFIXES)


def _read(file: Path, height: int, width: int, channels: int) -> Array:
    from PIL import Image, ImageOps  # noqa: PLC0415 - not needed for other data

    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image).convert(_MODES[channels])
            resized = upright.resize((width, height), Image.Resampling.BILINEAR)
            return np.asarray(resized, np.uint8).reshape(height, width, channels)
    except (OSError, ValueError) as error:
        raise DataError(f"--data: {file} cannot be read as an image: {error}") from None


def _each(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * channels if len(values) == 1 else values
