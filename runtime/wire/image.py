"""Pictures to pixels as the manifest says: JPEG, PNG, WebP and GIF (its first frame), upright, resized, normalized.

Pillow reads them. It is an extra (`requirements-image.txt`) that is imported when the first picture comes. A picture's
size is checked before anything of it is decoded, and what any decoder raises is the client's error: the bytes are his.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from runtime.errors import MediaTypeError, RequestError, TooLargeError
from runtime.manifest import Image
from runtime.signature import Array, TensorSpec, convert, describe
from runtime.wire.expected import Bounds, Expected

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
KINDS = "JPEG, PNG, WebP or GIF"
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")


def looks_like_one(data: bytes) -> bool:
    """Whether the bytes begin as one of the formats does; none of them can begin JSON, NumPy's formats or a number."""
    return data.startswith(_BEGINNINGS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def meaning(expected: Expected, spec: TensorSpec) -> Image:
    """How this input takes pictures; RequestError says how to add that where nothing tells."""
    found = expected.images.get(spec.name)
    if found is None:
        shape = describe(spec.shape)
        if len(spec.shape) >= 3 and spec.shape[-1] in _MODES:
            raise RequestError(
                f"the model does not say how input {spec.name!r} ({spec.client_dtype} {shape}) takes pictures: export "
                "it with tools/export.py and --data IMAGES --normalize ..., or send its numbers as JSON or .npy"
            )
        raise RequestError(f"input {spec.name!r} ({spec.client_dtype} {shape}) takes no pictures")
    return found


def decode(pictures: Sequence[bytes], expected: Expected, spec: TensorSpec) -> Array:
    """The pictures as this input takes them: a row each, or for an input without rows the one tensor.

    Raises RequestError for what is no picture or no picture's input, TooLargeError, MediaTypeError without Pillow.
    """
    wanted = meaning(expected, spec)
    pixels = _stack(pictures, wanted, expected.bounds)
    if pixels.ndim > len(spec.shape):
        pixels = pixels[0]
    plain = wanted.scale == 1 and not wanted.mean and not wanted.std
    if spec.name not in expected.raw and (spec.quantization or not plain):
        pixels = normalize(pixels, wanted)
    return convert(spec, pixels, f"input {spec.name!r}")


def normalize(pixels: Array, wanted: Image) -> Array:
    """Pixels (0..255) times `scale`, then (x - mean) / std a channel, in float32."""
    values = pixels.astype(np.float32) * np.float32(wanted.scale)
    if wanted.mean:
        values -= np.array(wanted.mean, np.float32)
    if wanted.std:
        values /= np.array(wanted.std, np.float32)
    return values


def _stack(pictures: Sequence[bytes], wanted: Image, bounds: Bounds) -> Array:
    """All pictures as rows x height x width x channels of uint8, within the bounds of one request."""
    row_bytes = max(wanted.height, 1) * max(wanted.width, 1) * wanted.channels * 4
    if row_bytes * len(pictures) > bounds.tensor_bytes:
        raise TooLargeError(
            f"{len(pictures)} pictures need more than {bounds.tensor_bytes} bytes of pixels: send fewer"
        )
    left = bounds.pixels
    rows: list[Array] = []
    for index, data in enumerate(pictures):
        pixels, used = _pixels(data, wanted, left, f"picture {index}" if index else "the picture")
        left -= used
        if rows and pixels.shape != rows[0].shape:
            raise RequestError(f"picture {index} is {describe(pixels.shape)}, the first one {describe(rows[0].shape)}")
        rows.append(pixels)
    return np.stack(rows)


def _is_whole(data: bytes) -> bool:
    """Whether the picture ends where its file does: it is not cut off, and no other file hides behind it.

    Cameras append films and thumbnails to a JPEG; there only a ZIP is told, which ends by its own end record.
    """
    if data.startswith(b"\x89PNG"):
        return data.endswith(b"IEND\xaeB`\x82")
    if data.startswith(b"GIF"):
        return data.endswith(b";")
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 in (len(data), len(data) - 1)
    record = data.rfind(b"PK\x05\x06")
    is_zip = record >= 0 and record + 22 + int.from_bytes(data[record + 20 : record + 22], "little") == len(data)
    return b"\xff\xd9" in data and not is_zip


def _pixels(data: bytes, wanted: Image, limit: int, what: str) -> tuple[Array, int]:
    """One picture as height x width x channels of uint8, and how many pixels it had itself."""
    pillow = _pillow()
    if not looks_like_one(data):
        raise RequestError(f"{what} is none that is read here: expected {KINDS}")
    if not _is_whole(data):
        raise RequestError(f"{what} is cut off, or something follows it")
    try:
        with pillow.image.open(io.BytesIO(data), formats=FORMATS) as opened:
            used = opened.width * opened.height
            if used > limit:
                raise TooLargeError(
                    f"{what} has {opened.width} x {opened.height} pixels, {limit} are left of the limit (MAX_PIXELS)"
                )
            upright = _eight_bits(pillow.ops.exif_transpose(opened)).convert(_MODES[wanted.channels])
            width = wanted.width if wanted.width > 0 else upright.width
            height = wanted.height if wanted.height > 0 else upright.height
            if upright.size != (width, height):
                upright = upright.resize((width, height), pillow.image.Resampling.BILINEAR)
            return np.asarray(upright, np.uint8).reshape(height, width, wanted.channels), used
    except RequestError:
        raise
    except Exception:  # noqa: BLE001 - each decoder has errors of its own, and all of them are the picture's
        raise RequestError(f"{what} is damaged, or larger than its file says") from None


def _eight_bits(opened: Any) -> Any:
    """16 bits a pixel as 8: Pillow itself would cut off all that is brighter than 255."""
    if not opened.mode.startswith("I"):
        return opened
    wide = np.array(opened)
    wide >>= 8  # in place: a large picture is a hundred megabytes of these
    return _pillow().image.fromarray(np.clip(wide, 0, 255, out=wide).astype(np.uint8))


class _Pillow:
    """The two modules that are used, prepared."""

    def __init__(self) -> None:
        self.image, self.ops = _module("PIL.Image"), _module("PIL.ImageOps")
        self.image.MAX_IMAGE_PIXELS = None  # checked here, by a setting, before anything is decoded


def _module(name: str) -> Any:
    return importlib.import_module(name)


@cache
def _pillow() -> _Pillow:
    try:
        return _Pillow()
    except ImportError:
        raise MediaTypeError(
            "this server reads no pictures: Pillow is not installed. Add the line `-r requirements-image.txt` to "
            "requirements.txt, or send the pixels' numbers as JSON or .npy"
        ) from None
