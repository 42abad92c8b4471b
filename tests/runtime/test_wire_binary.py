"""Tensors as bytes: raw bodies and .npy, and the codings they come in."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.errors import MediaTypeError, RequestError, TooLargeError
from runtime.signature import Batch, Signature, TensorSpec
from runtime.wire import binary, encoding, npy
from tests.runtime.tensors import DTYPES, FLOATS, INTEGERS, same, tensors


def signature(*specs: TensorSpec, batch: Batch = Batch.DYNAMIC) -> Signature:
    return Signature(specs, (), batch)


@given(tensors())
@settings(max_examples=150, deadline=None)
def test_every_dtype_and_shape_goes_there_and_back(case: tuple[str, NDArray[Any]]) -> None:
    """What is written as bytes is read as the same array, to the bit; NaN and -0.0 too."""
    dtype, array = case
    assert same(binary.loads(binary.dumps(array), dtype, array.shape, "x"), array)


@given(tensors(), st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_bytes_of_another_length_are_refused(case: tuple[str, NDArray[Any]], more: int) -> None:
    """Too many or too few bytes are an error, whatever the dtype; nothing is cut or filled up."""
    dtype, array = case
    data = binary.dumps(array)
    for wrong in (data + b"\xff" * more, data[:-more]):
        with pytest.raises(RequestError):
            binary.loads(wrong, dtype, (*array.shape, 1)[:-1], "x")


def test_strings_have_their_length_in_front() -> None:
    """Four bytes, little-endian, as in the protocol's description."""
    words = np.array([b"ab", b"", b"\0\xff"], object)
    assert binary.dumps(words) == b"\2\0\0\0ab\0\0\0\0\2\0\0\0\0\xff"
    with pytest.raises(RequestError, match="longer than the bytes"):
        binary.loads(b"\xff\xff\xff\xffab", "string", (1,), "x")


def test_a_byte_that_is_not_0_is_true() -> None:
    """The interpreter never sees a boolean of 2."""
    assert binary.loads(b"\0\1\2", "bool", (3,), "x").view(np.uint8).tolist() == [0, 1, 1]


def test_raw_bytes_are_as_many_rows_as_they_hold() -> None:
    """One input whose rows have one size: the length tells the number."""
    spec = TensorSpec("x", "float32", (-1, 2, 2))
    array = np.arange(12, dtype="<f4")
    assert same(binary.whole(array.tobytes(), signature(spec))["x"], array.reshape(3, 2, 2))
    with pytest.raises(RequestError, match="NaN"):
        binary.whole(b"\xff" * 16, signature(spec))
    with pytest.raises(RequestError, match="takes 32 bytes, got 20"):
        binary.whole(array.tobytes()[:20], signature(spec))
    words = signature(TensorSpec("x", "string", (-1, 1)))
    assert binary.whole(b"\1\0\0\0a\1\0\0\0b", words)["x"].tolist() == [[b"a"], [b"b"]]


def test_raw_bytes_never_guess_a_shape() -> None:
    """Two sizes that vary, or two inputs, are refused with what to send instead."""
    with pytest.raises(RequestError, match=r"send \.npy"):
        binary.whole(b"1234", signature(TensorSpec("x", "float32", (-1, -1))))
    two = signature(TensorSpec("x", "float32", (-1,)), TensorSpec("y", "float32", (-1,)))
    with pytest.raises(RequestError, match="several inputs"):
        binary.whole(b"1234", two)


@given(tensors((*FLOATS, *INTEGERS, "bool"), least=0), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_npy_goes_there_and_back(case: tuple[str, NDArray[Any]], fortran: bool, swapped: bool) -> None:
    """Any layout and byte order that NumPy writes is read as the same array; what we write NumPy reads."""
    _, array = case
    written = np.array(array, order="F") if fortran else array
    if swapped:
        written = written.astype(written.dtype.newbyteorder(">"))
    stream = io.BytesIO()
    np.save(stream, written)
    assert same(np.array(npy.loads(stream.getvalue()), order="C"), array)
    assert same(np.load(io.BytesIO(npy.dumps(array)), allow_pickle=False), array)


@given(st.lists(tensors((*FLOATS, *INTEGERS)), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_npz_goes_there_and_back(cases: list[tuple[str, NDArray[Any]]]) -> None:
    """Names and arrays survive, compressed by NumPy or by us."""
    arrays = {f"input {index}": array for index, (_, array) in enumerate(cases)}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    for data in (stream.getvalue(), npy.dumps_npz(arrays)):
        found = npy.loads_npz(data, 1 << 20)
        assert found.keys() == arrays.keys()
        assert all(same(np.array(found[name]), array) for name, array in arrays.items())


def test_npy_is_never_unpickled_and_claims_nothing_it_does_not_bring() -> None:
    """Objects, a header that promises too much and a bomb in a .npz are each refused before anything is allocated."""
    stream = io.BytesIO()
    np.save(stream, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="not read"):
        npy.loads(stream.getvalue())
    honest = npy.dumps(np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="promises 4000000000 bytes"):
        npy.loads(honest.replace(b"(4,), }         ", b"(1000000000,), }"))
    for wrong in (b"'descr': 1", b"'descr': '<f4', 'descr': '<f4'", b"(", b"'descr': [('a', '<f4')]", b"\xff" * 40):
        with pytest.raises(ValueError, match="header"):
            npy.loads(honest.replace(b"'descr': '<f4'", wrong))
    bomb = io.BytesIO()
    np.savez_compressed(bomb, x=np.zeros(1 << 20))
    with pytest.raises(ValueError, match="more bytes than allowed"):
        npy.loads_npz(bomb.getvalue(), 1 << 20)


@given(st.binary(max_size=200), st.sampled_from(["npy", "npz", *DTYPES]))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_array_or_an_error_of_ours(data: bytes, kind: str) -> None:
    """No other exception comes out of a reader, whatever goes in."""
    try:
        if kind == "npy":
            npy.loads(b"\x93NUMPY" + data)
        elif kind == "npz":
            npy.loads_npz(b"PK\x03\x04" + data, 1000)
        else:
            binary.whole(data, signature(TensorSpec("x", kind, (-1, 2))))
    except (ValueError, RequestError):
        pass


@given(st.binary(max_size=2000))
@settings(max_examples=50, deadline=None)
def test_each_coding_goes_there_and_back(body: bytes) -> None:
    """gzip, deflate in zlib's form and deflate in the bare form."""
    bare = zlib.compressobj(wbits=-15)
    assert encoding.inflate(bare.compress(body) + bare.flush(), "deflate", 2000) == body
    for coding in encoding.CODINGS:
        packed, name = encoding.pack(body, coding)
        assert name == coding
        assert encoding.inflate(packed, coding.upper(), 2000) == body
    assert encoding.inflate(gzip.compress(body) + gzip.compress(b"more"), "x-gzip", 2004) == body + b"more"


def test_replies_are_packed_only_for_who_asks_for_nothing_else() -> None:
    """A browser's list of codings is no wish; Triton's client names the one it wants."""
    assert encoding.pack(b"{}", "gzip, deflate, br") == (b"{}", "")
    assert encoding.pack(b"{}", "") == (b"{}", "")


def test_a_decompression_bomb_stops_at_the_limit() -> None:
    """A hundred megabytes in a hundred kilobytes: 413 after the first megabyte."""
    for coding, bomb in (("gzip", gzip.compress(bytes(100 << 20))), ("deflate", zlib.compress(bytes(100 << 20)))):
        with pytest.raises(TooLargeError, match="MAX_INFLATED_BYTES"):
            encoding.inflate(bomb, coding, 1 << 20)


@pytest.mark.parametrize(
    ("body", "coding", "error"),
    [
        (b"{}", "br", MediaTypeError),
        (b"{}", "gzip, gzip", MediaTypeError),
        (b"{}", "gzip", RequestError),
        (gzip.compress(b"{}")[:-4], "gzip", RequestError),
        (gzip.compress(b"{}") + b"more", "gzip", RequestError),
        (zlib.compress(b"{}") + b"more", "deflate", RequestError),
        (zlib.compress(b"{}" * 100)[:-9], "deflate", RequestError),
        (b"", "gzip", RequestError),
        (gzip.compress(b"") * 200, "gzip", RequestError),
    ],
)
def test_damaged_or_unknown_codings_are_refused(body: bytes, coding: str, error: type[RequestError]) -> None:
    """415 for a coding that is not read, 400 for data that is not what it says or that is cut off."""
    with pytest.raises(error):
        encoding.inflate(body, coding, 1000)
