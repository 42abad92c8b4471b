"""The two readers of JSON agree: whatever the quick one takes, the other takes too, with the same arrays to the bit."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.errors import RequestError, TooLargeError
from runtime.signature import Batch, Signature, TensorSpec
from runtime.wire import fast_json, json_body
from runtime.wire.expected import Decoded, Expected

DTYPES = ("float32", "float64", "float16", "int8", "uint8", "int32", "int64", "uint64", "bool", "string")
needs_simdjson = pytest.mark.skipif(fast_json.Parser is None, reason="pysimdjson has no wheel for this Python")


def model(dtype: str, shape: tuple[int, ...], batch: Batch = Batch.DYNAMIC, *, quantized: bool = False) -> Expected:
    """What a model with one input expects."""
    spec = TensorSpec("x", dtype, shape, (0.5, 3) if quantized else None)
    return Expected(Signature((spec,), (TensorSpec("y", "float32", (-1, 1)),), batch))


def slowly(body: bytes, expected: Expected) -> Decoded | None:
    """What `json_body` reads without the quick reader; None where it refuses."""
    try:
        return json_body.decode_whole(body, expected, json_body.PREDICT)
    except RequestError:
        return None


def agree(body: bytes, expected: Expected) -> bool:
    """Compare both; whether the quick one took it."""
    quick = fast_json.decode(body, expected)
    if quick is None:
        return False
    slow = slowly(body, expected)
    assert slow is not None, "the quick reader takes what the other refuses"
    assert (quick.form, quick.single) == (slow.form, slow.single)
    (got,), (want,) = quick.arrays.values(), slow.arrays.values()
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    assert got.tobytes() == want.tobytes()
    return True


number = st.one_of(
    st.integers(-300, 300).map(str),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(
        ["-0", "-0.0", "0.1", "1e3", "1E-3", "1e400", "-1e39", "3.4028236e38", "9007199254740993", "1e-310"]
    ),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
)
odd = st.sampled_from(
    ["true", "null", '"1"', "NaN", "Infinity", "01", "+1", ".5", "1.", "--1", "{}", '{"b64": "AA=="}', ""]
)
space = st.sampled_from(["", "", " ", "\n", "\t "])


@st.composite
def nested(draw: st.DrawFn, item: st.SearchStrategy[str], shape: tuple[int, ...]) -> str:
    """A tensor of this shape, as text with odd spaces."""
    if not shape:
        return draw(space) + draw(item) + draw(space)
    inner = [draw(nested(item, shape[1:])) for _ in range(shape[0])]
    return f"{draw(space)}[{','.join(inner)}]"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Bodies that are mostly tensors, some of them spoilt."""
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=0, max_size=4)))
    item = draw(st.sampled_from([number, st.integers(0, 100).map(str), st.one_of(number, number, number, odd)]))
    text = draw(nested(item, shape))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 1))
        text = text[:at] + draw(st.sampled_from(["", "[", "]", ",", "[]", "1", " ", "é", ":"])) + text[at + cut :]
    key = draw(
        st.sampled_from(
            [
                '"instances"',
                '"inputs"',
                '"features"',
                '"x"',
                "'inputs'",
                '"in\\u0070uts"',
                '"in1puts"',
                '1"inputs"',
                '"inputs"2',
            ]
        )
    )
    tail = draw(
        st.sampled_from(
            ["}", "}\n", "}", ', "signature_name": "x"}', ', "inputs": [[1]]}', "", "}}", "} x", "}5", "5}", "}.e"]
        )
    )
    return f"{draw(space)}{{{draw(space)}{key}{draw(space)}:{text}{tail}".encode()


@needs_simdjson
@given(
    bodies(),
    st.sampled_from(DTYPES),
    st.sampled_from([(-1, 4), (-1, 2, 2), (-1,), (1, 3), (2, 3), ()]),
    st.sampled_from(list(Batch)),
    st.booleans(),
)
@example(b'{"instances": [[1], []]}', "float32", (-1, 1), Batch.DYNAMIC, False)
@example(b'{"instances": [[], [1, 2]]}', "float32", (-1, 1), Batch.DYNAMIC, False)
@example(b'{"inputs": [9007199254740993]}', "int64", (-1,), Batch.NONE, False)
@example(b'{"inputs": [1.0]}', "int32", (-1,), Batch.NONE, False)
@example(b'{"inputs": [1, 2.5]}', "int8", (-1,), Batch.NONE, True)
@example(b'{"inputs": [[1, 2], [3]]}', "float32", (-1, 2), Batch.NONE, False)
@example(b'{"inputs": [-0, -0.0]}', "float32", (-1,), Batch.NONE, False)
@example(b'{"inputs": [1], "inputs": [2]}', "float32", (-1,), Batch.NONE, False)
@example(b'{"in1puts": [1]}', "float32", (-1,), Batch.NONE, False)
@example(b'{"inputs": [1]5}', "float32", (-1,), Batch.NONE, False)
@example(b'{"inputs": 5[1]}', "float32", (-1,), Batch.NONE, False)
@example(b'{"inputs": [1]} 5', "float32", (-1,), Batch.NONE, False)
@example(b'5{"inputs": [1]}', "float32", (-1,), Batch.NONE, False)
@example(b'{"inputs"5: [1]}', "float32", (-1,), Batch.NONE, False)
@example(b'{5"inputs": [1]}', "float32", (-1,), Batch.NONE, False)
@example(b'{"inputs": [1 2]}', "float32", (-1,), Batch.NONE, False)
def test_what_the_quick_reader_takes_the_other_takes_alike(
    body: bytes, dtype: str, shape: tuple[int, ...], batch: Batch, quantized: bool
) -> None:
    """No body is accepted by one reader and refused by the other, or read as other values."""
    agree(body, model(dtype, shape, batch, quantized=quantized and dtype in ("int8", "uint8")))


@needs_simdjson
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.random.default_rng(1).random((7, 4)).tolist(), "float32"),
        (np.random.default_rng(2).random((3, 5, 5, 2)).tolist(), "float32"),
        (np.arange(12).reshape(3, 4).tolist(), "float32"),
        (np.arange(12).reshape(3, 4).tolist(), "int32"),
        ([[255, 0], [1, 2]], "uint8"),
        ([[1.5]], "float64"),
    ],
)
def test_the_quick_reader_takes_the_bodies_it_is_there_for(value: Any, dtype: str) -> None:
    """Plain tensors do not fall back to the other reader."""
    shape = (-1, *np.shape(value)[1:])
    for form in ("instances", "inputs", "features"):
        for text in (
            json.dumps({form: value}),
            json.dumps({form: value}, indent=1),
            json.dumps({form: value}).replace(" ", ""),
        ):
            assert agree(text.encode(), model(dtype, shape))


def test_a_body_is_read_whether_or_not_the_quick_reader_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pysimdjson the same bodies give the same arrays."""
    body = json.dumps({"instances": np.random.default_rng(3).random((50, 20)).tolist()}).encode()
    with_it = json_body.decode(body, model("float32", (-1, 20)))
    monkeypatch.setattr(fast_json, "Parser", None)
    without = json_body.decode(body, model("float32", (-1, 20)))
    np.testing.assert_array_equal(with_it.arrays["x"], without.arrays["x"])


@pytest.mark.parametrize(
    ("skeleton", "shape"),
    [
        (b"[]", (1,)),
        (b"[,,]", (3,)),
        (b"[[,],[,]]", (2, 2)),
        (b"[[[]],[[]]]", (2, 1, 1)),
        (b"[[,],[]]", None),
        (b"[[],[,]]", None),
        (b"[,[]]", None),
        (b"[[],]", None),
        (b"[[]", None),
        (b"[]]", None),
        (b"", None),
        (b",", None),
        (b"]", None),
        (b"[" * 9 + b"]" * 9, None),
    ],
)
def test_a_shape_is_read_off_brackets_and_commas(skeleton: bytes, shape: tuple[int, ...] | None) -> None:
    """Regular nesting has a shape, anything else has none."""
    assert fast_json.shape_of(skeleton) == shape


@pytest.mark.parametrize(
    "skeleton", [b"[" + b"," * 999_999 + b"]", b"[" + b"[,,,]," * 200_000 + b"[]]", b"[[" + b"a" * 1_000_000 + b"]]"]
)
def test_finding_a_shape_takes_no_more_than_a_few_times_the_body(skeleton: bytes) -> None:
    """A list of a million commas is a short body: what it makes the server hold is bounded by it."""
    tracemalloc.start()
    try:
        fast_json.shape_of(skeleton)
        assert tracemalloc.get_traced_memory()[1] < 5 * len(skeleton)
    finally:
        tracemalloc.stop()


@needs_simdjson
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"instances": [[' + b"1," * 2_000_000 + b"1]]}", r"shape \[2\], got \[2000001\]"),
        (b'{"instances": [' + b"1," * 2_000_000 + b"1]}", "shape"),
        (b'{"inputs": [' + b"[1,2]," * 500_000 + b"[1,2]]}", "MAX_INSTANCES"),
        (b'{"features": [' + b"1," * 2_000_000 + b"1]}", r"shape \[2\], got \[2000001\]"),
    ],
    ids=["a long row", "no rows", "too many rows", "one long row"],
)
def test_a_large_body_is_refused_by_its_shape_before_its_numbers_are_read(
    body: bytes, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading takes ten times the body's memory: not for one that cannot be answered."""
    monkeypatch.setattr(fast_json, "Parser", lambda: pytest.fail("its numbers were read"))
    with pytest.raises(RequestError, match=problem):
        json_body.decode(body, model("float32", (-1, 2)))


def test_values_that_take_much_memory_are_counted_before_they_are_read() -> None:
    """Millions of short strings in a body of some megabytes."""
    body = b'{"instances": [' + b'"a",' * 2_500_000 + b'"a"]}'
    with pytest.raises(TooLargeError, match="too many values"):
        json_body.decode(body, model("string", (-1,)))
