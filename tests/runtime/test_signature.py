"""What a model takes: the check of names, shapes, rows and dtypes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import RequestError, TooLargeError, UnsupportedError
from runtime.signature import Batch, Signature, TensorSpec, all_below, batch_of, check_inputs, coerce, convert
from tests.runtime.tensors import NUMBERS, Array

X, Y = TensorSpec("x", "float32", (-1, 2, 3)), TensorSpec("y", "int64", (-1, -1))
OUT = TensorSpec("out", "float32", (-1, 4))
TWO = Signature((X, Y), (OUT,), Batch.DYNAMIC)
BUDGET = 1 << 20


def test_rows_are_counted_over_all_inputs() -> None:
    """Every input has the same number of rows; sizes that vary may be any."""
    inputs: dict[str, Array] = {"x": np.zeros((5, 2, 3), np.float32), "y": np.zeros((5, 7), np.int64)}
    assert check_inputs(TWO, inputs, BUDGET) == 5
    with pytest.raises(RequestError, match="same number of rows, got 'x' 5, 'y' 4"):
        check_inputs(TWO, {**inputs, "y": np.zeros((4, 7), np.int64)}, BUDGET)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((5, 2, 4), r"each row of shape \[2, 3\], got \[2, 4\]"),
        ((5, 2), r"got \[2\]"),
        ((5, 2, 3, 1), r"got \[2, 3, 1\]"),
        ((0, 2, 3), "is empty"),
        ((), "got one value"),
    ],
)
def test_a_wrong_shape_is_told_as_rows(shape: tuple[int, ...], told: str) -> None:
    """What a row should be, and what it was."""
    signature = Signature((X,), (OUT,), Batch.ROW)
    with pytest.raises(RequestError, match=told):
        check_inputs(signature, {"x": np.zeros(shape, np.float32)}, BUDGET)


def test_whole_tensors_are_one_run() -> None:
    """Without a batch dimension 0 is a size like the others."""
    signature = Signature((TensorSpec("x", "float32", (2, 3)),), (OUT,), Batch.NONE)
    assert check_inputs(signature, {"x": np.zeros((2, 3), np.float32)}, BUDGET) == 1
    with pytest.raises(RequestError, match=r"expected shape \[2, 3\], got \[3, 3\]"):
        check_inputs(signature, {"x": np.zeros((3, 3), np.float32)}, BUDGET)


def test_the_budget_counts_what_comes_back_too() -> None:
    """Refused before the interpreter allocates the outputs."""
    signature = Signature(
        (TensorSpec("x", "float32", (-1, 1)),), (TensorSpec("y", "float32", (-1, 1000)),), Batch.DYNAMIC
    )
    rows = np.zeros((100, 1), np.float32)
    assert check_inputs(signature, {"x": rows}, 100 * 1001 * 4) == 100
    with pytest.raises(TooLargeError, match="needs 400400 bytes"):
        check_inputs(signature, {"x": rows}, 100 * 1001 * 4 - 1)


@given(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), st.integers(-200, 300), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_conversion_keeps_the_value_or_is_refused(given_dtype: str, wanted: str, number: int, half: bool) -> None:
    """Between any two dtypes: integers stay what they are, decimals never become integers."""
    low, high = (-255, 255) if np.dtype(given_dtype).kind == "f" else _ends(given_dtype)
    array = np.array([min(max(number, low), high) + (0.5 if half and low == -255 else 0)]).astype(given_dtype)
    try:
        got = convert(TensorSpec("x", wanted, (1,)), array, "x")
    except RequestError:
        fits = np.dtype(wanted).kind == "f" or (
            array.dtype.kind != "f" and _ends(wanted)[0] <= array[0] <= _ends(wanted)[1]
        )
        assert not fits
    else:
        assert got.dtype == np.dtype(wanted)
        assert float(got[0]) == float(array[0])


def _ends(dtype: str) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def test_a_quantized_input_takes_real_values_or_its_own_integers() -> None:
    """Floats are left for the interpreter to quantize; integers are raw, within the tensor's range."""
    spec = TensorSpec("x", "int8", (-1,), (0.5, 3))
    assert spec.client_dtype == "float32"
    assert convert(spec, np.array([1.5]), "x").dtype == np.float32
    assert convert(spec, np.array([-128, 127]), "x").dtype == np.int8
    with pytest.raises(RequestError, match="from -128 to 127"):
        convert(spec, np.array([128]), "x")


def test_booleans_are_no_numbers() -> None:
    """In neither direction, and not hidden among numbers."""
    flags, numbers = TensorSpec("x", "bool", (-1,)), TensorSpec("x", "int32", (-1,))
    assert coerce(flags, [True, False], "x").tolist() == [True, False]
    for spec, value in ((flags, [1, 0]), (numbers, [True, False]), (numbers, [1, True])):
        with pytest.raises(RequestError):
            coerce(spec, value, "x")


def test_dtypes_that_no_protocol_has_are_501() -> None:
    """Complex tensors exist in TensorFlow Lite, but no client can send them."""
    with pytest.raises(UnsupportedError, match="complex64"):
        convert(TensorSpec("x", "complex64", (1,)), np.zeros(1), "x")


@pytest.mark.parametrize(
    ("shapes", "batch"),
    [
        ([(-1, 3)], Batch.DYNAMIC),
        ([(1, 3)], Batch.ROW),
        ([(-1, 3), (1, 3)], Batch.ROW),
        ([(5, 3)], Batch.NONE),
        ([()], Batch.NONE),
        ([(-1, 3), (5, 3)], Batch.NONE),
    ],
)
def test_the_batch_is_what_dimension_0_says(shapes: list[tuple[int, ...]], batch: Batch) -> None:
    """-1 is any number of rows, 1 is one at a time, anything else is no batch."""
    assert batch_of(tuple(TensorSpec(str(index), "float32", shape) for index, shape in enumerate(shapes))) is batch


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_are_below_a_bound_or_not_whatever_their_size(dtype: str) -> None:
    """Exact at the bound, without a warning where squares overflow; NaN and infinities are below nothing."""
    largest = float(np.finfo(dtype).max)
    for values, bound, below in [
        ([largest, -largest], np.inf, True),
        ([1.0, np.nan], np.inf, False),
        ([1.0, -np.inf], np.inf, False),
        ([8.0, -15.0], 16.0, True),
        ([8.0, -16.0], 16.0, False),
        ([[0.5], [-largest]], largest, False),
        ([], 1.0, True),
    ]:
        assert all_below(np.array(values, dtype), bound) is below
