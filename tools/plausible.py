"""Made-up values for a model's inputs, where nobody gave data: the same ones each time.

They show that a file runs and answers what Keras answers; they say little about real data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tools.arrays import Array
from tools.calibration import Input

ROWS = 32
_SEQUENCE, _PIXELS = 16, 64  # for dimensions that are variable
_WORDS = (b"alpha", b"beta", b"gamma", b"delta")


@dataclass(frozen=True)
class Range:
    """What values an input takes.

    `index`: whole numbers below `high`; `pixels`: 0 to `high`; `normal`: by `mean` and `std`.
    """

    kind: str = "normal"
    high: float = 1.0
    mean: Any = 0.0
    std: Any = 1.0


def draw(inputs: Sequence[Input], ranges: Mapping[str, Range], rows: int = ROWS, longer: int = 0) -> dict[str, Array]:
    """`rows` rows for each input from a fixed seed; variable sizes are made `longer`."""
    generator = np.random.default_rng(20)
    return {spec.name: _draw(spec, ranges[spec.name], rows, longer, generator) for spec in inputs}


def default_range(spec: Input) -> Range:
    """What the dtype and shape alone say of an input's values."""
    if spec.dtype == "uint8":
        return Range("index", high=256)
    if is_integer(spec.dtype):
        return Range("index", high=10)
    return Range("pixels") if is_image(spec.shape) else Range()


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether rows of this shape look like pictures: height, width and 1, 3 or 4 channels."""
    return len(shape) == 4 and shape[3] in (1, 3, 4)


def is_integer(dtype: str) -> bool:
    """Whether the dtype holds whole numbers."""
    return dtype.startswith(("int", "uint"))


def _draw(spec: Input, values: Range, rows: int, longer: int, generator: np.random.Generator) -> Array:
    size = (_PIXELS if is_image(spec.shape) else _SEQUENCE) + longer
    shape = (rows, *(size if dim < 0 else dim for dim in spec.shape[1:]))
    if spec.dtype == "string":
        return generator.choice(np.array(_WORDS, dtype=object), shape)
    if spec.dtype == "bool":
        return generator.random(shape) < 0.5
    dtype = np.dtype(np.float32 if spec.dtype == "bfloat16" else spec.dtype)
    if values.kind == "index":
        return generator.integers(0, max(1, int(values.high)), shape).astype(dtype)
    if values.kind == "pixels":
        return _pictures(shape, generator, values.high).astype(dtype)
    drawn = generator.standard_normal(shape) * values.std + values.mean
    return np.reshape(drawn, shape).astype(dtype)


def _pictures(shape: tuple[int, ...], generator: np.random.Generator, high: float) -> Array:
    """Soft blobs with some noise: nearer to photographs than noise alone."""
    rows, height, width, channels = shape
    coarse = generator.random((rows, 5, 5, channels))
    down = np.linspace(0, 4.999, height).astype(int)
    across = np.linspace(0, 4.999, width).astype(int)
    soft = coarse[:, down][:, :, across]
    mixed: Array = (0.8 * soft + 0.2 * generator.random(shape)) * high
    return mixed
