"""Which reader a body is for, forms, the reply's form, and the best classes."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from runtime.errors import MediaTypeError, NotAcceptableError, RequestError, TooLargeError
from runtime.manifest import Image
from runtime.signature import Batch, TensorSpec
from runtime.wire import accept, bodies, npy, ranking
from runtime.wire.expected import Bounds, Expected
from tests.runtime.tensors import expecting, same

ROWS = expecting(TensorSpec("x", "float32", (-1, 3)), batch=Batch.DYNAMIC)
WHOLE = expecting(TensorSpec("x", "float32", (2, 3)))
TWO = expecting(TensorSpec("a", "float32", (-1, 2)), TensorSpec("b", "int32", (-1, 1)), batch=Batch.DYNAMIC)
SPEC = TensorSpec("photo", "uint8", (-1, 2, 2, 3))
PHOTO = Expected(expecting(SPEC, batch=Batch.DYNAMIC).signature, images={"photo": Image(2, 2, 3)})
ARRAY = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


def picture(value: int) -> bytes:
    stream = io.BytesIO()
    Pillow.new("RGB", (2, 2), (value, value, value)).save(stream, "PNG")
    return stream.getvalue()


def form(*parts: tuple[str, str, bytes]) -> tuple[bytes, str]:
    """A form of (name, media type, content), and its Content-Type."""
    body = b""
    for name, media_type, content in parts:
        told = f'Content-Disposition: form-data; name="{name}"; filename="f"\r\n'
        told += f"Content-Type: {media_type}\r\n" if media_type else ""
        body += b"--edge\r\n" + told.encode() + b"\r\n" + content + b"\r\n"
    return body + b"--edge--\r\n", 'multipart/form-data; boundary="edge"'


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (json.dumps({"instances": ARRAY.tolist()}).encode(), "application/json; charset=utf-8"),
        (json.dumps({"instances": ARRAY.tolist()}).encode(), "application/vnd.api+json"),
        (json.dumps({"instances": ARRAY.tolist()}).encode(), "application/x-www-form-urlencoded"),
        (json.dumps({"instances": ARRAY.tolist()}).encode(), ""),
        (npy.dumps(ARRAY), "application/x-npy"),
        (npy.dumps(ARRAY), "Application/NPY"),
        (npy.dumps(ARRAY.astype(">f8")), "application/octet-stream"),
        (npy.dumps(ARRAY), ""),
        (npy.dumps_npz({"x": ARRAY}), "application/x-npz"),
        (npy.dumps_npz({"arr_0": ARRAY}), "application/octet-stream"),
        (ARRAY.astype("<f4").tobytes(), "application/octet-stream"),
        (b"1,2,3\n4,5,6\n", "text/csv"),
        form(("x", "", json.dumps(ARRAY.tolist()).encode())),
        form(("anything", "", npy.dumps(ARRAY))),
    ],
)
def test_one_array_in_many_bodies(body: bytes, media_type: str) -> None:
    """Whatever the media type, the same array; a model without rows answers with whole tensors."""
    decoded = bodies.read(body, media_type, ROWS)
    assert same(np.array(decoded.arrays["x"], order="C"), ARRAY)
    assert decoded.form == "instances"
    if not body.startswith((b"{", b"1")):
        assert bodies.read(body, media_type, WHOLE).form == "inputs"


@pytest.mark.parametrize("media_type", ["image/png", "image/*", "", "application/x-www-form-urlencoded"])
def test_a_picture_is_told_by_its_type_or_its_first_bytes(media_type: str) -> None:
    """`curl --data-binary @cat.png` without a header works too."""
    assert bodies.read(picture(7), media_type, PHOTO).arrays["photo"].tolist() == np.full((1, 2, 2, 3), 7).tolist()


def test_pictures_in_a_form_are_rows() -> None:
    """`curl -F image=@a.png -F image=@b.png`, under any one name."""
    array = bodies.read(*form(("image", "image/png", picture(1)), ("image", "", picture(2))), PHOTO).arrays["photo"]
    assert array[:, 0, 0, 0].tolist() == [1, 2]
    with pytest.raises(RequestError, match="unknown 'file'"):
        bodies.read(*form(("photo", "", picture(1)), ("file", "", picture(2))), PHOTO)


def test_several_inputs_are_parts_by_their_names() -> None:
    """.npy in one, JSON in the other; each exactly once."""
    body = form(("b", "", b"[[3]]"), ("a", "", npy.dumps(np.array([[1, 2]]))))
    arrays = bodies.read(*body, TWO).arrays
    assert arrays["a"].tolist() == [[1, 2]]
    assert arrays["b"].tolist() == [[3]]
    with pytest.raises(RequestError, match="missing 'b'"):
        bodies.read(*form(("a", "", b"[[1, 2]]")), TWO)
    with pytest.raises(RequestError, match="only pictures can be several"):
        bodies.read(*form(("a", "", b"[[1, 2]]"), ("b", "", b"[[1]]"), ("b", "", b"[[1]]")), TWO)


def test_npz_holds_several_inputs_by_name() -> None:
    """No name may lack or be left over."""
    arrays = {"a": np.array([[1.0, 2]]), "b": np.array([[3]])}
    assert bodies.read(npy.dumps_npz(arrays), "application/x-npz", TWO).arrays["b"].dtype == np.int32
    for wrong in ({"a": arrays["a"]}, {**arrays, "c": arrays["b"]}):
        with pytest.raises(RequestError, match="this model's inputs are 'a', 'b'"):
            bodies.read(npy.dumps_npz(wrong), "application/x-npz", TWO)


def test_a_string_tensor_takes_numpys_strings() -> None:
    """Fixed width, of bytes or of text."""
    words = expecting(TensorSpec("x", "string", (-1,)), batch=Batch.DYNAMIC)
    for array in (np.array([b"ant", b"bee"]), np.array(["ant", "bee"])):
        assert bodies.read(npy.dumps(array), "application/x-npy", words).arrays["x"].tolist() == [b"ant", b"bee"]


@pytest.mark.parametrize("character", [0xD800, 0xDFFF, 0x110000, 0xFFFFFFFF])
@pytest.mark.parametrize("order", ["<", ">"])
def test_text_that_is_none_is_refused(character: int, order: str) -> None:
    """Half a character, and numbers that are none, which NumPy's files may hold: 400 in either byte order."""
    words = expecting(TensorSpec("x", "string", (-1,)), batch=Batch.DYNAMIC)
    array = np.frombuffer(np.array([65, character], f"{order}u4").tobytes(), f"{order}U1")
    for body in (npy.dumps(array), npy.dumps_npz({"x": array})):
        with pytest.raises(RequestError, match="Unicode"):
            bodies.read(body, "application/octet-stream", words)


def test_strings_are_counted_before_they_are_made() -> None:
    """Millions of them take little in a body, and much as Python's objects."""
    words = expecting(TensorSpec("x", "string", (-1,)), batch=Batch.DYNAMIC)
    for body in (npy.dumps(np.zeros(3_000_001, "S1")), bytes(4 * 3_000_001)):
        with pytest.raises(TooLargeError, match="3000000 strings"):
            bodies.read(body, "application/octet-stream", words)


def test_an_archive_that_unpacks_to_too_much_is_too_large() -> None:
    """413, as any other body over a limit; a damaged one is 400."""
    bounded = replace(ROWS, bounds=Bounds(tensor_bytes=1000))
    with pytest.raises(TooLargeError, match="more than 1000 bytes"):
        bodies.read(npy.dumps_npz({"x": np.zeros((1000, 3), np.float32)}), "application/x-npz", bounded)


@pytest.mark.parametrize("media_type", ["video/mp4", "text/html", "multipart/mixed; boundary=x", "application/pdf"])
def test_other_media_types_are_refused(media_type: str) -> None:
    """415, before the body is looked at."""
    with pytest.raises(MediaTypeError):
        bodies.read(b"{}", media_type, ROWS)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary="),
        (b"x", "multipart/form-data; boundary=edge"),
        (form(("x", "", b"[]"))[0][:-10], "multipart/form-data; boundary=edge"),
        (b"--edge--\r\n", "multipart/form-data; boundary=edge"),
        (b"--edge\r\nContent-Disposition: form-data\r\n\r\n1\r\n--edge--\r\n", "multipart/form-data; boundary=edge"),
        (form(*[("x", "", b"1")] * 300)[0], "multipart/form-data; boundary=edge"),
        (form(("x", "", b"\x00"))[0], "multipart/form-data; boundary=edge"),
        (npy.dumps(ARRAY), "application/json"),
        (npy.dumps(ARRAY)[:-1], "application/x-npy"),
        (npy.dumps(ARRAY.astype("datetime64[s]")), "application/x-npy"),
        (npy.dumps(ARRAY.astype(complex)), "application/x-npy"),
        (npy.dumps(ARRAY.astype("S")), "application/x-npy"),
        (npy.dumps(np.array([[np.nan, 1, 2]])), "application/x-npy"),
        (b"PK\x03\x04", "application/x-npz"),
        (picture(1), "image/png"),
    ],
)
def test_damaged_bodies_are_refused(body: bytes, media_type: str) -> None:
    """400, and no exception of NumPy's, Werkzeug's or zipfile's."""
    with pytest.raises(RequestError):
        bodies.read(body, media_type, ROWS)


@given(st.binary(max_size=120), st.sampled_from([b"", b"--edge\r\n", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"GIF89a"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_of_any_type_are_arrays_or_an_error_of_ours(data: bytes, start: bytes) -> None:
    """No reader lets another exception out."""
    for media_type in ("", "application/octet-stream", "text/csv", "image/png", 'multipart/form-data; boundary="edge"'):
        with contextlib.suppress(RequestError):
            bodies.read(start + data, media_type, PHOTO)


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        ("", accept.JSON),
        ("*/*", accept.JSON),
        ("text/html, */*;q=0.8", accept.JSON),
        ("application/x-npy", accept.NPY),
        ("application/json;q=0.5, application/x-npz", accept.NPZ),
        ("application/x-npy;q=0, application/json", accept.JSON),
        ("APPLICATION/NPY; q=0.1", accept.NPY),
    ],
)
def test_the_reply_is_what_the_client_likes_best(header: str, media_type: str) -> None:
    """By the weights of its Accept header."""
    assert accept.choose(header) == media_type


@pytest.mark.parametrize("header", ["text/html", "application/json;q=0", "application/x-npy;q=x", "image/*"])
def test_a_reply_that_the_client_does_not_take_is_refused(header: str) -> None:
    """406, with what there is."""
    with pytest.raises(NotAcceptableError, match="application/x-npz"):
        accept.choose(header)


def test_replies_in_numpys_formats_read_back() -> None:
    """Text becomes NumPy's strings of fixed width."""
    words = np.array([[b"ant"], [b"bumblebee"]], object)
    assert np.load(io.BytesIO(accept.write(accept.NPY, {"y": words}, 99))).tolist() == [[b"ant"], [b"bumblebee"]]
    found = np.load(io.BytesIO(accept.write(accept.NPZ, {"y": words, "z": ARRAY}, 99)))
    assert same(found["z"], ARRAY)


def test_strings_that_numpys_formats_do_not_hold_are_told() -> None:
    """They lose NULs at the end, and take the longest one's width for each."""
    with pytest.raises(NotAcceptableError, match="'y' has a string that ends in NUL"):
        accept.write(accept.NPY, {"y": np.array([b"ant", b"bee\0"], object)}, 99)
    with pytest.raises(TooLargeError, match="unequal length"):
        accept.write(accept.NPZ, {"y": np.array([b"", b"", b"x" * 40], object)}, 99)
    empty = accept.write(accept.NPY, {"y": np.array([b"", b""], object)}, 99)
    assert np.load(io.BytesIO(empty)).tolist() == [b"", b""]


@given(st.lists(st.floats(width=32), min_size=1, max_size=8), st.integers(1, 10))
@settings(max_examples=100, deadline=None)
def test_the_best_classes_come_first(scores: list[float], count: int) -> None:
    """As sorted() has them: of equal ones the first, NaN at the end."""
    array = np.array([scores], np.float32)
    numbers: list[float] = array[0].tolist()
    want = sorted(range(len(scores)), key=lambda index: (numbers[index] != numbers[index], -numbers[index]))
    assert ranking.order(array, count, "y")[0].tolist() == want[:count]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_the_best_integers_come_first(dtype: str) -> None:
    """Exactly: neighbours beyond 2**53, the ends of each dtype, and the first of equal ones."""
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    scores = [low, high - 1, high, low + 1, high]
    assert ranking.order(np.array([scores], dtype), 5, "y")[0].tolist() == [2, 4, 1, 3, 0]


def test_classes_are_told_with_their_labels() -> None:
    """Label, score and index; no label where there is none."""
    scores = np.array([[0.25, 0.75]], np.float32)
    ranked: NDArray[Any] = ranking.top(scores, ranking.order(scores, 2, "output 'y'"), ("cat",))
    assert ranked.tolist() == [[{"score": 0.75, "index": 1}, {"label": "cat", "score": 0.25, "index": 0}]]
    with pytest.raises(RequestError, match="no classes"):
        ranking.order(np.array([b"a"], object), 1, "output 'y'")


@pytest.mark.parametrize("media_type", ["", "application/x-www-form-urlencoded"])
def test_a_body_of_no_said_kind_that_does_not_begin_as_json_is_told_to_name_it(media_type: str) -> None:
    """Rows of CSV, or a picture of a kind that is not known by its beginning."""
    for body in (b"1,2,3\n4,5,6\n", b"BM\x9a\x00\x00\x00", b"5.1\n4.9\n"):
        with pytest.raises(RequestError, match=r"^the body is not JSON: .*; .* name its kind with Content-Type$"):
            bodies.read(body, media_type, ROWS)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(b"1,2,3", "application/json"), (b"1,2,3", "text/plain"), (b'{"instances": [', ""), (b"", "")],
)
def test_a_body_that_is_meant_as_json_is_not(body: bytes, media_type: str) -> None:
    """It was called JSON (or something), or begins so: what is wrong is the JSON alone."""
    with pytest.raises(RequestError) as caught:
        bodies.read(body, media_type, ROWS)
    assert "Content-Type" not in str(caught.value)


@pytest.mark.parametrize("media_type", ["application/octet-stream", "image/bmp"])
def test_a_picture_of_another_kind_is_told_which_are_read(media_type: str) -> None:
    """`curl -F image=@six.bmp`: curl knows no media type for it."""
    stream = io.BytesIO()
    Pillow.new("RGB", (2, 2)).save(stream, "BMP")
    with pytest.raises(RequestError, match="JPEG, PNG, WebP or GIF"):
        bodies.read(*form(("photo", media_type, stream.getvalue())), PHOTO)
