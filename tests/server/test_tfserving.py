"""TensorFlow Serving's REST API on a real server, KServe's V1 where it is the same, and OpenVINO's client of it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from runtime import model
from tests import models
from tests.server.conftest import PATIENCE, Server, Start

ROW = [0.1, 0.2, 0.3, 0.4]


@pytest.fixture(scope="module", params=["fast", pytest.param("threads", marks=pytest.mark.slow)])
def serve(start_shared: Start, request: pytest.FixtureRequest) -> Callable[[str], Server]:
    """`serve("mlp") -> Server`, in both ways of serving."""
    running: dict[str, Server] = {}

    def begin(name: str) -> Server:
        if name not in running:
            running[name] = start_shared(models.path(name), WORKER_CLASS=str(request.param))
        return running[name]

    return begin


@pytest.fixture
def mlp(serve: Callable[[str], Server]) -> Server:
    """The small classifier."""
    return serve("mlp")


def want(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """What the model gives without HTTP, as lists."""
    arrays = {key: np.array(value, models.MODELS[name].inputs[key].dtype) for key, value in inputs.items()}
    return {key: array.tolist() for key, array in model.load(models.path(name)).predict(arrays).items()}


def close(got: Any, expected: Any) -> bool:
    return bool(np.allclose(np.array(got, np.float64), np.array(expected), rtol=1e-6))


def test_rows_and_columns(mlp: Server) -> None:
    """`instances` answers `predictions`, `inputs` answers `outputs`; the only output loses its name."""
    expected = want("mlp", {"features": [ROW, ROW]})["probabilities"]
    for body, key in (
        ({"instances": [ROW, ROW]}, "predictions"),
        ({"instances": [{"features": ROW}, {"features": ROW}], "signature_name": "serving_default"}, "predictions"),
        ({"inputs": [ROW, ROW]}, "outputs"),
        ({"inputs": {"features": [ROW, ROW]}}, "outputs"),
    ):
        reply = mlp.post("/v1/models/mlp:predict", json=body)
        assert reply.status_code == 200, reply.text
        assert list(reply.json()) == [key]
        assert close(reply.json()[key], expected)


def test_several_inputs_and_outputs(serve: Callable[[str], Server]) -> None:
    """A row is an object of both inputs and answers one of both outputs; columns answer one object."""
    server = serve("two_inputs")
    a, b = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[1.0, 2.0], [3.0, 4.0]]
    expected = want("two_inputs", {"a": a, "b": b})
    rows = server.post(
        "/v1/models/two_inputs:predict", json={"instances": [{"a": a[0], "b": b[0]}, {"a": a[1], "b": b[1]}]}
    )
    assert [close(row["sum"], expected["sum"][index]) for index, row in enumerate(rows.json()["predictions"])] == [
        True
    ] * 2
    columns = server.post("/v1/models/two_inputs:predict", json={"inputs": {"a": a, "b": b, "ignored": 1}})
    assert close(columns.json()["outputs"]["product"], expected["product"])
    for wrong in ({"instances": [[1, 2, 3]]}, {"inputs": [[1, 2, 3]]}, {"inputs": {"a": a}}):
        assert server.post("/v1/models/two_inputs:predict", json=wrong).status_code == 400


def test_string_tensors_take_text_and_base64(serve: Callable[[str], Server]) -> None:
    """{"b64": ...} is the same word as the text, in rows, in objects and in columns."""
    server = serve("string_lookup")
    for body in (
        {"instances": [["bee"], [{"b64": "YmVl"}]]},
        {"instances": [{"word": ["bee"]}, {"word": [{"b64": "YmVl"}]}]},
        {"inputs": [["bee"], [{"b64": "YmVl"}]]},
    ):
        reply = server.post("/v1/models/string_lookup:predict", json=body)
        assert reply.status_code == 200, reply.text
        (values,) = reply.json().values()
        assert values == [[2], [2]]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/mlp:predict",
        "/v1/models/mlp/versions/1:predict",
        "/V1/MODELS/mlp:PREDICT",
        "/v1/Models/mlp/Versions/1:Predict",
        "/v1/models/%6dlp:predict",
    ],
)
def test_paths_of_any_case(path: str, mlp: Server) -> None:
    """Only the model's name has a case."""
    assert mlp.post(path, json={"instances": [ROW]}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("POST", "/v1/models/mlp", 405, "Malformed request: POST /v1/models/mlp"),
        ("POST", "/v1/models/mlp:guess", 400, "Malformed request: POST /v1/models/mlp:guess"),
        ("POST", "/v1/models/mlp/versions/x:predict", 400, "Failed to convert version: x to numeric."),
        ("GET", "/v1/models/mlp:predict", 405, "Malformed request: GET /v1/models/mlp:predict"),
        ("GET", "/v1/models/mlp/versions/x", 400, "Malformed request: GET /v1/models/mlp/versions/x"),
        ("GET", "/v1/nothing", 400, "Malformed request: GET /v1/nothing"),
        ("POST", "/v1/models/other:predict", 404, "Servable not found for request: Latest(other)"),
        ("POST", "/v1/models/mlp/versions/7:predict", 404, "Servable not found for request: Specific(mlp, 7)"),
        ("POST", "/v1/models/mlp/labels/stable:predict", 404, "Servable not found for request: Latest(mlp)"),
        ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
        ("GET", "/v1/models/mlp/versions/7", 404, "Could not find version 7 of model mlp"),
        ("GET", "/v1/models/other/metadata", 404, "Servable not found for request: Latest(other)"),
        ("POST", "/v1/models/mlp:classify", 501, ":classify is not implemented here"),
        ("POST", "/v1/models/mlp/versions/1:regress", 501, ":regress is not implemented here"),
        ("DELETE", "/v1/models/mlp", 405, "takes"),
    ],
)
def test_errors_have_tensorflow_servings_words_and_codes(
    method: str, path: str, status: int, error: str, mlp: Server
) -> None:
    """{"error": "..."} and the status that its clients know."""
    reply = mlp.request(method, path, data=json.dumps({"instances": [ROW]}))
    assert reply.status_code == status, reply.text
    assert list(reply.json()) == ["error"]
    assert error in reply.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"instances": [], "inputs": []},
        {"instances": []},
        {"instances": {"features": ROW}},
        {"instances": [ROW, {"features": ROW}]},
        {"instances": [{"features": ROW}, ROW]},
        {"instances": [{"features": ROW, "more": 1}]},
        {"instances": [ROW, ROW[:3]]},
        {"instances": [[*ROW[:3], {"b64": "YmVl"}]]},
        {"inputs": {"x": [ROW]}},
        {"instances": [ROW], "signature_name": "other"},
        {"instances": [ROW], "signature_name": 5},
        {"features": ROW},
        {"features": [ROW] * 100},
        [1],
    ],
)
def test_what_tensorflow_serving_refuses_is_refused(body: object, mlp: Server) -> None:
    """400, as by its own tests of `json_tensor.cc`."""
    reply = mlp.post("/v1/models/mlp:predict", json=body)
    assert (reply.status_code, list(reply.json())) == (400, ["error"])


def test_the_status_serves_both_protocols(mlp: Server) -> None:
    """TensorFlow Serving's keys and KServe's in one object; by version too."""
    for path in ("/v1/models/mlp", "/v1/models/mlp/versions/1", "/v1/models/mlp/"):
        assert mlp.get(path).json() == {
            "model_version_status": [
                {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ],
            "name": "mlp",
            "ready": True,
        }
    assert mlp.get("/v1/models").json() == {"models": ["mlp"]}


def test_the_metadata_is_nested_twice_and_its_sizes_are_text(mlp: Server) -> None:
    """As the original has it, for clients that read it so."""
    told = mlp.get("/v1/models/mlp/metadata").json()
    assert told["model_spec"] == {"name": "mlp", "signature_name": "", "version": "1"}
    definition = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert definition["inputs"]["features"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}, {"size": "4", "name": ""}], "unknown_rank": False},
        "name": "features:0",
    }


def test_ovmsclient_asks_status_metadata_and_predictions(mlp: Server) -> None:
    """OpenVINO's client of TensorFlow Serving's REST API, unchanged."""
    ovmsclient = pytest.importorskip("ovmsclient", reason="it is in requirements-dev.txt only")
    client = ovmsclient.make_http_client(mlp.url.removeprefix("http://"))
    assert client.get_model_status("mlp", timeout=PATIENCE)[1]["state"] == "AVAILABLE"
    assert client.get_model_metadata("mlp", timeout=PATIENCE)["model_spec"]["name"] == "mlp"
    array = np.array([ROW, ROW], np.float32)
    got = client.predict({"features": array}, "mlp", timeout=PATIENCE)
    assert close(got, want("mlp", {"features": [ROW, ROW]})["probabilities"])
    with pytest.raises(importlib.import_module("ovmsclient.tfs_compat.base.errors").ModelNotFoundError):
        client.predict({"features": array}, "other", timeout=PATIENCE)
