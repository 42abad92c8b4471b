"""A small grey image in a terminal: half-block characters, two pixels in each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

_BLOCKS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def draw(image: NDArray[Any], *, shades: bool) -> Text:
    """Draw an image [height, width] of 0 (dark) to 1 (bright), in shades of grey or in plain characters.

    It is drawn at twice its size, `2 x width` characters wide and `height` lines high.
    """
    larger = enlarge(image)
    lines = []
    for upper, lower in zip(larger[::2], larger[1::2], strict=True):
        line = Text()
        for above, below in zip(upper, lower, strict=True):
            if shades:
                line.append("▀", Style(color=_grey(above), bgcolor=_grey(below)))
            else:
                line.append(_BLOCKS[bool(above >= 0.5), bool(below >= 0.5)])
        lines.append(line)
    return Text("\n").join(lines)


def enlarge(image: NDArray[Any]) -> NDArray[Any]:
    """An image [height, width] at twice its size, interpolated between the pixels' middles."""
    for axis in (0, 1):
        size = image.shape[axis]
        at = (np.arange(2 * size) + 0.5) / 2 - 0.5
        low = np.clip(np.floor(at).astype(int), 0, size - 1)
        high = np.clip(low + 1, 0, size - 1)
        share = np.clip(at - low, 0, 1).reshape((-1, 1) if axis == 0 else (1, -1))
        image = image.take(low, axis) * (1 - share) + image.take(high, axis) * share
    return image


def _grey(value: float) -> Color:
    level = round(255 * min(max(float(value), 0.0), 1.0))
    return Color.from_rgb(level, level, level)
