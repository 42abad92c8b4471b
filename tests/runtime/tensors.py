"""Signatures and strategies for the tests of the wire formats: any dtype, any small shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from runtime.signature import Batch, Signature, TensorSpec
from runtime.wire.expected import Expected

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
NUMBERS = (*FLOATS, *INTEGERS)
DTYPES = (*NUMBERS, "bool", "string")

Array = NDArray[Any]


def shapes(least: int = 1, most: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of some dimensions, none of them 0."""
    return arrays.array_shapes(min_dims=least, max_dims=most, max_side=4)


def values(dtype: str, shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    """Arrays of finite numbers, booleans, or (as objects) byte strings."""
    if dtype == "string":
        return arrays.arrays(object, shape, elements=st.binary(max_size=6))
    if dtype in FLOATS:
        width = np.dtype(dtype).itemsize * 8
        return arrays.arrays(dtype, shape, elements=st.floats(allow_nan=False, allow_infinity=False, width=width))  # type: ignore[arg-type]
    return arrays.arrays(dtype, shape)


@st.composite
def tensors(draw: st.DrawFn, dtypes: tuple[str, ...] = DTYPES, least: int = 1) -> tuple[str, Array]:
    """A dtype's name and an array of it."""
    dtype = draw(st.sampled_from(dtypes))
    return dtype, draw(values(dtype, draw(shapes(least))))


def expecting(*specs: TensorSpec, batch: Batch = Batch.NONE, outputs: tuple[TensorSpec, ...] = ()) -> Expected:
    """What is expected by a model with these inputs."""
    return Expected(Signature(specs, outputs or (TensorSpec("y", "float32", (-1, 2)),), batch))


def same(got: Array, want: Array) -> bool:
    """Whether dtype, shape and every bit are the same (NaN apart, -0.0 included)."""
    if want.dtype == object:
        return got.dtype == object and got.shape == want.shape and got.tolist() == want.tolist()
    return got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes()
