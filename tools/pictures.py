"""Small pictures for the report, as SVG and PNG inside the page: no library, no network."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from tools.arrays import Array

_WIDTH, _HEIGHT, _MARGIN = 640, 320, 50
_THUMBNAIL = 64  # pixels a side


@dataclass(frozen=True)
class Point:
    """A mode in the picture: CPU ms, SQNR in dB, bytes."""

    name: str
    x: float
    y: float
    size: int
    chosen: bool


def scatter(points: Sequence[Point]) -> str:
    """CPU time across (logarithmic), SQNR up, the file's size as the disc's area."""
    xs = [math.log10(max(point.x, 1e-6)) for point in points]
    ys = [min(point.y, 150.0) for point in points]
    largest = max(point.size for point in points)
    left, right = min(xs) - 0.1, max(xs) + 0.1
    top = max(*ys, 40.0)
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="CPU time against SQNR">']
    parts.append(_axes("CPU ms for one prediction", "SQNR dB"))
    for point, x, y in zip(points, xs, ys, strict=True):
        across = _MARGIN + (x - left) / (right - left) * (_WIDTH - 3 * _MARGIN)
        down = _HEIGHT - _MARGIN - max(y, 0) / top * (_HEIGHT - 2 * _MARGIN)
        radius = 4 + 14 * math.sqrt(point.size / max(largest, 1))
        color = "#1a7f37" if point.chosen else "#4472c4"
        told = f"{escape(point.name)} {point.x:.3g} ms"
        parts.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="{radius:.1f}" fill="{color}" fill-opacity=".6"/>')
        parts.append(f'<text x="{across + radius + 3:.1f}" y="{down + 4:.1f}" font-size="12">{told}</text>')
    return "".join([*parts, "</svg>"])


def histogram(values: Array, bins: int = 41) -> str:
    """How often each error occurs, around zero; the bars' heights are logarithmic."""
    limit = max(float(np.abs(values).max(initial=0.0)), 1e-12)
    counts, _ = np.histogram(values, bins=bins, range=(-limit, limit))
    heights = np.log1p(counts) / max(float(np.log1p(counts).max(initial=0)), 1e-12)
    width = (_WIDTH - 2 * _MARGIN) / bins
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="histogram of errors">']
    parts.append(_axes(f"error, from {-limit:.2g} to {limit:.2g}", "how often (log)"))
    for index, height in enumerate(heights):
        tall = float(height) * (_HEIGHT - 2 * _MARGIN)
        x, y = _MARGIN + index * width, _HEIGHT - _MARGIN - tall
        parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{tall:.1f}" fill="#4472c4"/>')
    return "".join([*parts, "</svg>"])


def thumbnail(pixels: Array) -> str:
    """An image row (height x width x 1 or 3, any range) as a small PNG in an <img>."""
    step = max(1, -(-max(pixels.shape[:2]) // _THUMBNAIL))
    small = pixels[::step, ::step]
    low, high = float(small.min()), float(small.max())
    scaled = ((small - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    data = base64.b64encode(png(scaled)).decode("ascii")
    return f'<img alt="the sample" width="{_THUMBNAIL}" src="data:image/png;base64,{data}">'


def png(pixels: Array) -> bytes:
    """A PNG file of height x width x channels (1 or 3) bytes. Source: the PNG specification."""
    height, width, channels = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _axes(across: str, up: str) -> str:
    bottom, right = _HEIGHT - _MARGIN, _WIDTH - _MARGIN
    return (
        f'<path d="M{_MARGIN} {_MARGIN}V{bottom}H{right}" fill="none" stroke="#888"/>'
        f'<text x="{_WIDTH / 2:.0f}" y="{_HEIGHT - 15}" font-size="12" text-anchor="middle">{escape(across)}</text>'
        f'<text x="{_MARGIN}" y="{_MARGIN - 10}" font-size="12">{escape(up)}</text>'
    )
