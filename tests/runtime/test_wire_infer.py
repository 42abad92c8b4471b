"""The Open Inference Protocol's requests and replies."""

from __future__ import annotations

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

from runtime.errors import RequestError, UnsupportedError
from runtime.manifest import Image
from runtime.signature import Batch, TensorSpec
from runtime.wire import binary, infer
from runtime.wire.expected import Expected
from runtime.wire.infer import DATATYPES, Infer, Wanted
from tests.runtime.tensors import FLOATS, INTEGERS, expecting, same, tensors

X = TensorSpec("x", "float32", (-1, 2))
ROWS = expecting(X, batch=Batch.DYNAMIC, outputs=(TensorSpec("y", "float32", (-1, 3)), TensorSpec("z", "int8", (-1,))))


def body_of(arrays: dict[str, tuple[str, NDArray[Any]]], *, as_bytes: bool = True) -> tuple[bytes, str | None]:
    """A request's body and its header's value."""
    inputs: list[dict[str, Any]] = []
    tail = b""
    for name, (dtype, array) in arrays.items():
        entry: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": DATATYPES[dtype]}
        if as_bytes:
            data = binary.dumps(array)
            entry["parameters"] = {"binary_data_size": len(data)}
            tail += data
        else:
            entry["data"] = array.tolist()
        inputs.append(entry)
    head = json.dumps({"inputs": inputs}).encode()
    return head + tail, str(len(head)) if as_bytes else None


@given(st.lists(tensors(), min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_inputs_as_bytes_are_read_as_they_were_written(cases: list[tuple[str, NDArray[Any]]]) -> None:
    """Several inputs of any datatype and shape, one behind the other."""
    given_inputs = {f"input {index}": case for index, case in enumerate(cases)}
    expected = expecting(*(TensorSpec(name, dtype, array.shape) for name, (dtype, array) in given_inputs.items()))
    found = infer.decode(*body_of(given_inputs), expected)
    assert all(same(found.arrays[name], array) for name, (_, array) in given_inputs.items())


@given(tensors((*FLOATS, *INTEGERS, "bool")), st.booleans())
@settings(max_examples=100, deadline=None)
def test_inputs_as_json_are_nested_or_flat(case: tuple[str, NDArray[Any]], flat: bool) -> None:
    """Either way the same array, to the bit."""
    dtype, array = case
    data = array.ravel().tolist() if flat else array.tolist()
    entry = {"name": "x", "shape": array.shape, "datatype": DATATYPES[dtype], "data": data}
    found = infer.decode(json.dumps({"inputs": [entry]}).encode(), None, expecting(TensorSpec("x", dtype, array.shape)))
    assert same(found.arrays["x"], array)


@given(tensors((*FLOATS, *INTEGERS, "bool", "string")), st.text(max_size=5))
@settings(max_examples=100, deadline=None)
def test_outputs_as_bytes_read_back(case: tuple[str, NDArray[Any]], request_id: str) -> None:
    """The length in the header cuts the JSON from the bytes, and the JSON tells what they are."""
    dtype, array = case
    wish = Infer(request_id, {}, (Wanted("y", binary=True, classes=0),))
    body, length = infer.encode(wish, {"y": array}, {}, {"model_name": "m"}, lambda _: ())
    told = json.loads(body[:length])
    (output,) = told["outputs"]
    assert told.get("id", "") == request_id
    assert output["datatype"] == DATATYPES[dtype]
    assert output["parameters"] == {"binary_data_size": len(body) - length}
    assert same(binary.loads(body[length:], dtype, tuple(output["shape"]), "y"), array)


def test_a_length_of_zero_is_the_only_input_itself() -> None:
    """The body is its bytes, and every output is wanted as bytes."""
    found = infer.decode(np.array([1, 2, 3, 4], "<f4").tobytes(), "0", ROWS)
    assert found.arrays["x"].tolist() == [[1, 2], [3, 4]]
    assert found.wanted == (Wanted("y", binary=True, classes=0), Wanted("z", binary=True, classes=0))


def test_wanted_outputs_may_be_told_each_its_own_way() -> None:
    """One by its own parameter, the other by the request's."""
    head = {
        "id": "7",
        "parameters": {"binary_data_output": True},
        "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}],
        "outputs": [{"name": "z"}, {"name": "y", "parameters": {"binary_data": False, "classification": 2}}],
    }
    found = infer.decode(json.dumps(head).encode(), None, ROWS)
    assert found.id == "7"
    assert found.wanted == (Wanted("z", binary=True, classes=0), Wanted("y", binary=False, classes=2))


def test_classes_are_told_best_first() -> None:
    """`score:index:label`, the label where there is one; equal scores in the order of the classes."""
    wish = Infer("", {}, (Wanted("y", binary=False, classes=2),))
    outputs = {"y": np.array([[0.25, 0.5, 0.25], [1, 1, 3]], np.float32)}
    body, length = infer.encode(wish, outputs, outputs, {}, lambda _: ("cat", "dog"))
    (output,) = json.loads(body)["outputs"]
    assert length == 0
    assert output["shape"] == [2, 2]
    assert output["data"] == ["0.500000:1:dog", "0.250000:0:cat", "3.000000:2", "1.000000:0:cat"]


def test_integers_are_converted_where_they_lose_nothing() -> None:
    """FP64 and INT64, as clients in Python send them; not decimals into integers."""
    found = infer.decode(*body_of({"x": ("int64", np.array([[1, 2]]))}), ROWS)
    assert found.arrays["x"].dtype == np.float32
    with pytest.raises(RequestError, match="decimal point"):
        infer.decode(*body_of({"x": ("float64", np.array([[1.0]]))}), expecting(TensorSpec("x", "int8", (1, 1))))


@pytest.mark.parametrize("datatype", ["INT32", "FP64"])
def test_whole_numbers_in_json_are_integers(datatype: str) -> None:
    """`/v2` takes 2.0 for an integer as `/predict` does, if it is said to be one."""
    entry = {"name": "x", "shape": [1, 2], "datatype": datatype, "data": [2.0, -7.0]}
    body = json.dumps({"inputs": [entry]}).encode()
    expected = expecting(TensorSpec("x", "int32", (1, 2)))
    if datatype == "INT32":
        assert infer.decode(body, None, expected).arrays["x"].tolist() == [[2, -7]]
    else:
        with pytest.raises(RequestError, match="decimal point"):
            infer.decode(body, None, expected)


GOOD = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "expected a list of tensors"),
        ({"inputs": []}, "expected a list of tensors"),
        ({"inputs": [1]}, "expected objects"),
        ({"inputs": [GOOD, GOOD]}, "stands twice"),
        ({"inputs": [GOOD, {**GOOD, "name": "w"}]}, "unknown 'w'"),
        ({"inputs": [{**GOOD, "name": "w"}]}, "missing 'x'"),
        ({"inputs": [{**GOOD, "shape": [2, 2]}]}, "its data"),
        ({"inputs": [{**GOOD, "shape": [-1, 2]}]}, "list of sizes"),
        ({"inputs": [{**GOOD, "shape": [True, 2]}]}, "list of sizes"),
        ({"inputs": [{**GOOD, "shape": [1] * 40}]}, "larger than any"),
        ({"inputs": [{**GOOD, "shape": [0, 2**39, 2**39], "data": []}]}, "larger than any"),
        ({"inputs": [{**GOOD, "shape": [2**31, 2**31, 0], "data": []}]}, "larger than any"),
        ({"inputs": [{**GOOD, "shape": "1,2"}]}, "list of sizes"),
        ({"inputs": [{**GOOD, "datatype": "FLOAT"}]}, "such as FP32"),
        ({"inputs": [{**GOOD, "datatype": ["FP32"]}]}, "such as FP32"),
        ({"inputs": [{**GOOD, "datatype": "BYTES", "data": ["1", "2"]}]}, "takes no pictures"),
        ({"inputs": [{**GOOD, "data": [1, "2"]}]}, "got a string"),
        ({"inputs": [{**GOOD, "data": 1}]}, "to be a list"),
        ({"inputs": [{**GOOD, "data": [[1], [2, 3]]}]}, "ragged"),
        ({"inputs": [{**GOOD, "parameters": {"binary_data_size": 8}}]}, "has both"),
        ({"inputs": [{**GOOD, "parameters": {"shared_memory_region": "r"}}]}, "shared memory"),
        ({"inputs": [{**GOOD, "parameters": []}]}, "an object"),
        ({"inputs": [GOOD], "id": 1}, "expected a string"),
        ({"inputs": [GOOD], "outputs": [{"name": "w"}]}, "there is no output 'w'"),
        ({"inputs": [GOOD], "outputs": [{"name": "y"}, {"name": "y"}]}, "stands twice"),
        ({"inputs": [GOOD], "outputs": {"name": "y"}}, "expected a list"),
        ({"inputs": [GOOD], "outputs": 0}, "expected a list"),
        ({"inputs": [GOOD], "outputs": ""}, "expected a list"),
        ({"inputs": [GOOD], "outputs": [{"name": ["y"]}]}, "there is no output"),
        ({"inputs": [GOOD], "outputs": [{"name": "y", "parameters": {"classification": -1}}]}, "classification"),
        ({"inputs": [GOOD], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, "true or false"),
        ({"inputs": [GOOD], "parameters": {"binary_data_output": "yes"}}, "true or false"),
    ],
)
def test_what_is_wrong_is_told(body: dict[str, Any], told: str) -> None:
    """Each wrong request is refused in words that say what was expected or what came."""
    with pytest.raises(RequestError, match=told):
        infer.decode(json.dumps(body).encode(), None, ROWS)


@pytest.mark.parametrize("outputs", [{}, {"outputs": None}, {"outputs": []}])
def test_who_names_no_outputs_gets_all(outputs: dict[str, Any]) -> None:
    """Clients write it in three ways."""
    found = infer.decode(json.dumps({"inputs": [GOOD], **outputs}).encode(), None, ROWS)
    assert [wanted.name for wanted in found.wanted] == ["y", "z"]


@pytest.mark.parametrize("shape", [[0, 2**39, 2**39], [2**31, 2**31, 0]])
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_no_bytes_are_no_tensor_of_impossible_shape(shape: list[int], datatype: str) -> None:
    """Nothing follows, as a size of 0 says; but NumPy has no such shape."""
    entry = {"name": "x", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": 0}}
    body = json.dumps({"inputs": [entry]}).encode()
    with pytest.raises(RequestError, match="larger than any"):
        infer.decode(body, str(len(body)), ROWS)


@pytest.mark.parametrize(
    ("size", "tail", "told"),
    [
        (8, b"1234", "4 bytes are there"),
        (-1, b"12345678", "8 bytes are there"),
        (2**40, b"12345678", "8 bytes are there"),
        (True, b"1", "1 bytes are there"),
        ("8", b"12345678", "8 bytes are there"),
        (4, b"1234", "takes 8 bytes, got 4"),
        (8, b"123456789", "1 bytes follow"),
    ],
)
def test_bytes_and_sizes_must_agree(size: object, tail: bytes, told: str) -> None:
    """What the JSON says of the bytes is checked before they are read."""
    entry = {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [entry]}).encode()
    with pytest.raises(RequestError, match=told):
        infer.decode(head + tail, str(len(head)), ROWS)


@pytest.mark.parametrize("length", ["-1", "x", "99999", "1" * 50, "", "²"])
def test_the_header_must_be_a_length_that_the_body_has(length: str) -> None:
    """Anything else is refused before it is used."""
    with pytest.raises(RequestError, match="Inference-Header-Content-Length"):
        infer.decode(b"{}", length, ROWS)


def test_pictures_are_bytes_for_an_input_that_takes_pictures() -> None:
    """One an element, each a row."""
    stream = io.BytesIO()
    Pillow.new("L", (2, 2), 7).save(stream, "PNG")
    pictures = np.array([stream.getvalue()] * 3, object)
    spec = TensorSpec("x", "float32", (-1, 2, 2, 1))
    photo = Expected(replace(ROWS.signature, inputs=(spec,)), images={"x": Image(2, 2, 1)})
    found = infer.decode(*body_of({"x": ("string", pictures)}), photo).arrays["x"]
    assert found.shape == (3, 2, 2, 1)
    assert found.dtype == np.float32
    assert found.max() == found.min() == 7


def test_what_the_protocol_has_no_name_for_is_501() -> None:
    """Complex outputs have no datatype."""
    wish = Infer("", {}, (Wanted("y", binary=True, classes=0),))
    with pytest.raises(UnsupportedError, match="complex64"):
        infer.encode(wish, {"y": np.zeros(2, np.complex64)}, {}, {}, lambda _: ())


def test_bytes_that_are_no_text_are_told_as_bytes_only() -> None:
    """JSON cannot hold them: the error says how to ask."""
    outputs = {"y": np.array([b"\xff"], object)}
    wish = Infer("", {}, (Wanted("y", binary=False, classes=0),))
    with pytest.raises(RequestError, match="binary_data"):
        infer.encode(wish, outputs, outputs, {}, lambda _: ())
