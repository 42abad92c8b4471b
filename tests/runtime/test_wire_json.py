"""JSON bodies to arrays, and arrays to JSON."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.errors import RefusedError, RequestError, UnsupportedError
from runtime.signature import Batch, TensorSpec
from runtime.wire import json_body, json_reply
from runtime.wire.expected import Decoded, Expected
from tests.runtime.tensors import FLOATS, INTEGERS, expecting, same, tensors

X = TensorSpec("x", "float32", (-1, 3))
ROWS = expecting(X, batch=Batch.DYNAMIC)
TWO = expecting(TensorSpec("a", "float32", (-1, 2)), TensorSpec("b", "int32", (-1, 1)), batch=Batch.DYNAMIC)
NAMED = Expected(ROWS.signature, {"x": ("height", "width", "depth")})


def decode(body: object, expected: Expected = ROWS, **options: Any) -> Decoded:
    return json_body.decode(body if isinstance(body, bytes) else json.dumps(body).encode(), expected, **options)


def as_json(array: NDArray[Any]) -> Any:
    """The array as a client writes it, bytes in base64."""
    if array.dtype == object:
        return _b64(array.tolist())
    return array.tolist()


def _b64(value: Any) -> Any:
    return [_b64(item) for item in value] if isinstance(value, list) else {"b64": base64.b64encode(value).decode()}


@given(tensors())
@settings(max_examples=150, deadline=None)
def test_every_dtype_and_shape_is_read_as_it_was_written(case: tuple[str, NDArray[Any]]) -> None:
    """What a client writes with json.dumps arrives as the same array, to the bit."""
    dtype, array = case
    expected = expecting(TensorSpec("x", dtype, array.shape))
    assert same(decode({"inputs": as_json(array)}, expected).arrays["x"], array)


@given(tensors((*FLOATS, *INTEGERS, "bool")))
@settings(max_examples=150, deadline=None)
def test_every_dtype_and_shape_is_written_so_that_it_reads_back(case: tuple[str, NDArray[Any]]) -> None:
    """The reply's numbers, read as the output's dtype, are the output's, to the bit."""
    dtype, array = case
    written, _ = json_reply.settle({"y": array}, "null")
    told = json.loads(json_reply.encode(Decoded("inputs", {}), written, None))
    assert same(np.array(told["outputs"], dtype).reshape(array.shape), array)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
@settings(max_examples=200, deadline=None)
def test_float32_is_written_in_its_shortest_form(value: float) -> None:
    """No digits of the float64 between."""
    text = orjson.dumps(np.array([value], np.float32), option=orjson.OPT_SERIALIZE_NUMPY).decode()[1:-1]
    shortest = np.format_float_scientific(np.float32(value), unique=True, trim="-")
    mantissa = text.partition("e")[0].replace("-", "").replace(".", "").strip("0")
    assert len(mantissa) <= len(shortest.partition("e")[0].replace("-", "").replace(".", "").strip("0"))


def test_float16_is_written_in_its_shortest_form() -> None:
    """0.1 of float16 is told as 0.1, and 65504 as 65500, which is none other."""
    told, _ = json_reply.settle({"y": np.array([[0.1, 65504.0]], np.float16)}, "null")
    assert json_reply.dumps(told) == b'{"y":[[0.1,65500.0]]}'


def test_what_rounds_to_the_largest_float32_is_taken_and_what_rounds_to_infinity_is_not() -> None:
    """The bound is half a step beyond the largest float32, as the OpenAPI document tells it."""
    largest = float(np.finfo(np.float32).max)
    taken = decode({"instances": [[3.4028235677973362e38, -3.4028235677973362e38, largest]]}).arrays["x"]
    assert taken.tolist() == [[largest, -largest, largest]]
    with pytest.raises(RequestError, match="too large for float32"):
        decode({"instances": [[3.4028235677973366e38, 0.5, 0.5]]})


def test_int64_keeps_every_digit() -> None:
    """Beyond 2**53, both ways."""
    spec = TensorSpec("x", "int64", (-1, 2))
    numbers = [[2**63 - 1, -(2**63)]]
    array = decode({"instances": numbers}, expecting(spec, batch=Batch.DYNAMIC)).arrays["x"]
    assert array.tolist() == numbers
    assert json_reply.dumps(array) == b"[[9223372036854775807,-9223372036854775808]]"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "empty"),
        (b"[1]", "got a list"),
        (b'{"instances": [[1, 2', "not JSON"),
        (b'{"instances": [[1, 2, NaN]]}', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ({"instances": [[1, 2, 3]], "inputs": [[1, 2, 3]]}, "together"),
        ({"rows": [[1, 2, 3]]}, "got the keys 'rows'"),
        ({"instances": [[1, 2, 3]], "extra": 1}, "unknown key 'extra'"),
        ({"instances": []}, "an empty list"),
        ({"instances": 5}, "got a number"),
        ({"instances": [[1, 2, 3], [1, 2]]}, "ragged"),
        ({"instances": [[1, 2, "3"]]}, "got a string"),
        ({"instances": [[1, 2, None]]}, "got null"),
        ({"instances": [[1, 2, True]]}, "true or false"),
        ({"instances": [[1, 2, 1e39]]}, "too large for float32"),
        ({"instances": [[1, 2, 3]], "signature_name": "other"}, 'Serving signature name: "other" not found'),
        ({"instances": [[1, 2, 3]], "signature_name": 1}, "expected a string"),
        ({"instances": [{"x": [1, 2, 3]}, {"y": [1, 2, 3]}]}, "got 'y'"),
        ({"inputs": {"x": [[1, 2, 3]], "y": 1}}, "unknown 'y'"),
        ({"inputs": {"y": 1}}, "missing 'x'"),
        ({"features": [[[1, 2, 3]]]}, "expected one row"),
        (b'{"instances": [[1, 2, 3]], "instances": [[1, 2, 3]]}', "stands twice"),
        (b'{"inputs": {"x": [[1, 2, 3]], "x": [[1, 2, 3]]}}', "stands twice"),
        (b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}", "nested"),
        (b'{"instances": [[1,2,3],' + b"[" * 900 + b"]" * 900 + b"]}", "ragged"),
        (b'{"x":' * 1000 + b"1" + b"}" * 1000, "nested|keys"),
        ({"instances": [{"b64": "!"}]}, "expected base64"),
    ],
)
def test_what_is_wrong_is_told(body: object, told: str) -> None:
    """Each wrong body is refused in words that say what was expected or what came."""
    with pytest.raises(RequestError, match=told):
        decode(body)


def test_a_string_tensor_takes_no_deep_lists() -> None:
    """Whatever the depth and wherever it is, it is an error of the client's and no recursion error."""
    expected = expecting(TensorSpec("x", "string", (-1, 1)), batch=Batch.DYNAMIC)
    for deep in (b"[" * 500 + b"]" * 500, b'["a",' + b"[" * 900 + b"]" * 900 + b"]"):
        with pytest.raises(RequestError):
            decode(b'{"instances": ' + deep + b', "signature_name": ""}', expected)


def test_the_depth_limit_is_the_one_that_was_set() -> None:
    """A body one level over the limit is refused as too deep."""
    json_body.check_depth([[[1]]], 4)
    with pytest.raises(RequestError, match="deeper than 3 levels"):
        json_body.check_depth([[[1]]], 3)


def test_whole_numbers_are_integers_however_they_are_written() -> None:
    """1.0 is 1, as JSON Schema has it, and a float input takes 1; nothing is rounded, and nothing guessed."""
    integers = expecting(TensorSpec("x", "int64", (-1, 2)), batch=Batch.DYNAMIC)
    got = json_body.decode(b'{"instances": [[1.0, -2], [3e2, 9007199254740991.0]]}', integers).arrays["x"]
    assert same(got, np.array([[1, -2], [300, 2**53 - 1]], np.int64))
    exact = json_body.decode(b'{"instances": [[1.0, 9007199254740993]]}', integers).arrays["x"]
    assert exact.tolist() == [[1, 2**53 + 1]]
    for body in (b"[[1.5, 2]]", b"[[1, 9007199254740992.0]]", b"[[1.0, 1e300]]"):
        with pytest.raises(RequestError, match="decimal point"):
            json_body.decode(b'{"instances": ' + body + b"}", integers)
    for dtype, number in (("int8", "128.0"), ("uint8", "-1.0"), ("int64", "18446744073709551615"), ("uint64", "-1")):
        small = expecting(TensorSpec("x", dtype, (-1, 2)), batch=Batch.DYNAMIC)
        with pytest.raises(RequestError, match=f"expected {dtype} from"):
            json_body.decode(f'{{"instances": [[{number}, 1.0]]}}'.encode(), small)
    assert decode({"instances": [[1, 2, 3]]}).arrays["x"].dtype == np.float32


def test_objects_by_input_or_by_feature_name() -> None:
    """A row is an object of inputs, or of the features that the manifest names, in any order."""
    decoded = decode({"instances": [{"a": [1, 2], "b": [3]}, {"b": [6], "a": [4, 5]}]}, TWO)
    assert decoded.arrays["a"].tolist() == [[1, 2], [4, 5]]
    assert decoded.arrays["b"].tolist() == [[3], [6]]
    decoded = decode({"instances": [{"depth": 3, "height": 1, "width": 2}]}, NAMED)
    assert decoded.arrays["x"].tolist() == [[1, 2, 3]]


def test_several_inputs_are_never_guessed_apart() -> None:
    """A bare list for a model with two inputs names what is expected."""
    for body in ({"inputs": [[1, 2]]}, {"instances": [[1, 2]]}):
        with pytest.raises(RequestError, match="'a' and 'b'"):
            decode(body, TWO)


def test_the_serving_dialect_passes_over_names_it_does_not_know() -> None:
    """As TensorFlow Serving does; `features` is no form there."""
    body = {"inputs": {"x": [[1, 2, 3]], "y": 1}, "parameters": {}}
    assert decode(body, dialect=json_body.SERVING).arrays["x"].tolist() == [[1, 2, 3]]
    with pytest.raises(RequestError, match="'instances' or 'inputs'"):
        decode({"features": [1, 2, 3]}, dialect=json_body.SERVING)


def test_a_vector_of_features_is_one_row_and_its_prediction_a_list() -> None:
    """{"features": [...]} answers {"prediction": [...]}, a list of vectors a list of lists."""
    one, many = decode({"features": [1, 2, 3]}), decode({"features": [[1, 2, 3], [4, 5, 6]]})
    assert one.single
    assert one.arrays["x"].shape == (1, 3)
    assert json_reply.encode(one, {"y": np.array([[1, 2]], np.float32)}, 1) == b'{"prediction":[1.0,2.0]}'
    assert json_reply.encode(many, {"y": np.array([[1], [2]], np.float32)}, 2) == b'{"prediction":[[1.0],[2.0]]}'


def test_rows_of_several_outputs_are_objects() -> None:
    """One output loses its name; several are an object a row, or one object of columns."""
    outputs = {"a": np.array([1, 2], np.float32), "b": np.array([[1], [2]], np.int32)}
    rows = json_reply.encode(Decoded("instances", {}), outputs, 2)
    assert json.loads(rows) == {"predictions": [{"a": 1.0, "b": [1]}, {"a": 2.0, "b": [2]}]}
    assert json.loads(json_reply.encode(Decoded("inputs", {}), outputs, 2)) == {
        "outputs": {"a": [1.0, 2.0], "b": [[1], [2]]}
    }
    with pytest.raises(RequestError, match="send 'inputs' instead"):
        json_reply.encode(Decoded("instances", {}), {"a": np.array([1, 2, 3], np.float32)}, 2)


def test_nan_is_never_invalid_json() -> None:
    """null, words, or a refusal; what is finite stays as it is in all of them."""
    outputs = {"y": np.array([[0.1, np.nan], [np.inf, -np.inf]], np.float32), "z": np.array([1], np.int32)}
    told, odd = json_reply.settle(outputs, "null")
    assert odd
    assert json_reply.dumps(told) == b'{"y":[[0.1,null],[null,null]],"z":[1]}'
    told, odd = json_reply.settle(outputs, "string")
    assert json_reply.dumps(told) == b'{"y":[[0.1,"NaN"],["Infinity","-Infinity"]],"z":[1]}'
    with pytest.raises(RefusedError, match="output 'y'"):
        json_reply.settle(outputs, "error")
    assert json_reply.settle({"z": outputs["z"]}, "error") == ({"z": outputs["z"]}, False)


@given(st.floats(width=32), st.sampled_from(["null", "string"]))
@settings(max_examples=100, deadline=None)
def test_every_float_makes_valid_json(value: float, choice: str) -> None:
    """A strict parser reads the reply, whatever float is in it and whatever was chosen."""
    told, odd = json_reply.settle({"y": np.array([value], np.float32)}, choice)
    assert odd != math.isfinite(value)
    orjson.loads(json_reply.dumps(told))


def test_bytes_are_text_or_base64() -> None:
    """UTF-8 as text, other bytes as base64; base64 always where the output's name ends in _bytes."""
    array = np.array([b"caf\xc3\xa9", b"\xff"], object)
    assert json.loads(json_reply.dumps(array)) == ["café", {"b64": "/w=="}]
    told = json.loads(json_reply.encode(Decoded("inputs", {}), {"image_bytes": array}, None))
    assert told == {"outputs": [{"b64": "Y2Fmw6k="}, {"b64": "/w=="}]}


def test_complex_numbers_are_refused_clearly() -> None:
    """JSON has none: 501, in and out."""
    with pytest.raises(UnsupportedError, match="complex64"):
        decode({"inputs": [1.0]}, expecting(TensorSpec("x", "complex64", (1,))))
    with pytest.raises(UnsupportedError, match="complex64"):
        json_reply.settle({"y": np.zeros(2, np.complex64)}, "null")
