"""CSV rows to arrays."""

from __future__ import annotations

import contextlib
import csv
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.errors import RequestError
from runtime.signature import Batch, TensorSpec
from runtime.wire import csv_rows
from runtime.wire.expected import Expected
from tests.runtime.tensors import DTYPES, NUMBERS, expecting, same, values

ROWS = expecting(TensorSpec("x", "float32", (-1, 3)), batch=Batch.DYNAMIC)
NAMED = Expected(ROWS.signature, {"x": ("height", "width", "depth")})
TWO = expecting(TensorSpec("age", "int32", (-1, 1)), TensorSpec("city", "string", (-1,)), batch=Batch.DYNAMIC)


def read(body: str | bytes, expected: Expected = ROWS, header: str = "") -> NDArray[Any]:
    data = body if isinstance(body, bytes) else body.encode()
    return csv_rows.decode(data, header, expected).arrays["x"]


def written(array: NDArray[Any], quoting: int) -> str:
    """As Python's csv module writes it."""
    stream = io.StringIO()
    rows = [[cell.decode() if isinstance(cell, bytes) else cell for cell in row] for row in array.tolist()]
    csv.writer(stream, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return stream.getvalue()


@given(st.data(), st.sampled_from([dtype for dtype in DTYPES if dtype != "string"]))
@settings(max_examples=100, deadline=None)
def test_every_dtype_is_read_as_it_was_written(data: st.DataObject, dtype: str) -> None:
    """Any rows and columns, quoted or not, to the bit."""
    array = data.draw(values(dtype, data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))))
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    expected = expecting(TensorSpec("x", dtype, (-1, array.shape[1])), batch=Batch.DYNAMIC)
    assert same(read(written(array, quoting), expected), array)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_text_keeps_its_commas_quotes_and_lines(words: list[str]) -> None:
    """A string tensor's cells are what the csv module wrote, less the blanks around them."""
    expected = expecting(TensorSpec("x", "string", (-1, 1)), batch=Batch.DYNAMIC)
    array = np.array([[word.encode()] for word in words], object)
    got = read(written(array, csv.QUOTE_ALL), expected, "absent")
    assert got.ravel().tolist() == [word.strip().encode() for word in words]


@given(st.text(alphabet='0123456789.,-+e"\n\r x', max_size=60), st.sampled_from(["", "present", "absent"]))
@settings(max_examples=150, deadline=None)
def test_any_text_is_rows_or_an_error_of_ours(text: str, header: str) -> None:
    """Ragged, empty or senseless lines raise nothing else; what is read has three columns."""
    with contextlib.suppress(RequestError):
        assert read(text, header=header).shape[1] == 3


def test_a_line_of_names_orders_the_columns() -> None:
    """Names are the manifest's; any order will do, but no other names."""
    assert read("depth,height,width\n3,1,2\n", NAMED).tolist() == [[1, 2, 3]]
    assert read("1,2,3\n", NAMED).tolist() == [[1, 2, 3]]
    with pytest.raises(RequestError, match="expected 'height', 'width' and 'depth'"):
        read("depth,height,other\n3,1,2\n", NAMED)


def test_a_line_of_unknown_names_is_passed_over_where_none_are_known() -> None:
    """As pandas writes it, with a byte order mark and lines of Windows."""
    assert read(b"\xef\xbb\xbfa,b,c\r\n1,2,3\r\n4,5,6\r\n").tolist() == [[1, 2, 3], [4, 5, 6]]


def test_the_media_type_may_say_whether_there_are_names() -> None:
    """`header=present` and `header=absent` are believed."""
    assert read("1,2,3\n4,5,6\n", header="present").tolist() == [[4, 5, 6]]
    with pytest.raises(RequestError, match="row 1, column 1"):
        read("a,b,c\n1,2,3\n", header="absent")


def test_several_inputs_are_a_column_each() -> None:
    """By the names in the first line; text and numbers side by side."""
    arrays = csv_rows.decode(b'city,age\n"Rome, IT",3\nOslo,4\n', "", TWO).arrays
    assert arrays["age"].tolist() == [[3], [4]]
    assert arrays["city"].tolist() == [b"Rome, IT", b"Oslo"]
    with pytest.raises(RequestError, match="needs a first line with 'age' and 'city'"):
        csv_rows.decode(b"1,2\n", "", TWO)


def test_a_picture_of_numbers_is_a_line_of_its_pixels() -> None:
    """As digits are passed around: 4 columns fill 2 x 2 x 1."""
    expected = expecting(TensorSpec("x", "float32", (-1, 2, 2, 1)), batch=Batch.DYNAMIC)
    assert read("1,2,3,4\n", expected).shape == (1, 2, 2, 1)


def test_columns_that_fill_an_open_size_are_rows_and_others_are_refused() -> None:
    """A row of any number of pairs: four columns are two of them, three are none."""
    expected = expecting(TensorSpec("x", "float32", (-1, -1, 2)), batch=Batch.DYNAMIC)
    assert read("1,2,3,4\n", expected).shape == (1, 2, 2)
    with pytest.raises(RequestError, match="3 columns, input 'x' takes a multiple of 2"):
        read("1,2,3\n", expected)


def test_a_column_is_no_input_of_open_sizes() -> None:
    """Two sizes that are open multiply to one, and are not one."""
    specs = TensorSpec("x", "float32", (-1, -1, -1)), TensorSpec("y", "float32", (-1, 1))
    with pytest.raises(RequestError, match="'x' has more than one value a row"):
        read("x,y\n1,2\n", expecting(*specs, batch=Batch.DYNAMIC))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "no rows"),
        ("\n\n", "no rows"),
        ("1,2\n", "2 columns, input 'x' takes 3"),
        ("1,2,3\n1,2\n", "row 2 of the CSV has 2 columns"),
        ("1,2,3\n1,,3\n", "row 2, column 2 of the CSV: expected float32, got ''"),
        ("1,2,3\n1,two,3\n", "got 'two'"),
        ("1,2,nan\n", "NaN"),
        ("1,2,1e39\n", "too large"),
        ("1,2,1_0\n", "got '1_0'"),
        ('1,2,"3\n', "damaged"),
        (b"\xff,1,2\n", "not UTF-8"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(body: str | bytes, told: str) -> None:
    """The row and the column, what was expected and what stands there."""
    with pytest.raises(RequestError, match=told):
        read(body)


@pytest.mark.parametrize("dtype", [dtype for dtype in NUMBERS if "int" in dtype])
def test_integers_are_exact_and_bounded(dtype: str) -> None:
    """The ends of the range are read to the last digit, one more is refused; so are decimals."""
    expected = expecting(TensorSpec("x", dtype, (-1, 1)), batch=Batch.DYNAMIC)
    bounds = np.iinfo(dtype)
    assert read(f"{bounds.min}\n{bounds.max}\n", expected).tolist() == [[bounds.min], [bounds.max]]
    for wrong in (bounds.min - 1, bounds.max + 1, "1.0", "1e0"):
        with pytest.raises(RequestError):
            read(f"0\n{wrong}\n", expected)


def test_ten_thousand_lines_are_the_same_by_both_ways() -> None:
    """NumPy's reader, and cell by cell what it does not read."""
    table = np.random.default_rng(0).random((10_000, 3), np.float32)
    body = "\n".join(",".join(map(str, row)) for row in table.tolist())
    quoted = body.replace(",", '","').replace("\n", '"\n"').join('""')
    assert same(read(body), table)
    assert same(read(quoted), table)
