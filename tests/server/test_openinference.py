"""The Open Inference Protocol over plain HTTP: paths, errors, codings, numbers."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest
import requests

from runtime import interpreter, model
from tests import models
from tests.server.conftest import Server, Start

X = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [0.1, 0.2, 0.3, 0.4]}
INFER = "/v2/models/mlp/infer"


@pytest.fixture(scope="module", params=["fast", pytest.param("threads", marks=pytest.mark.slow)])
def mlp(start_shared: Start, request: pytest.FixtureRequest) -> Server:
    """The small classifier, in both ways of serving."""
    return start_shared(models.path("mlp"), WORKER_CLASS=str(request.param), MAX_INFLATED_BYTES="1M")


def infer(server: Server, name: str, body: dict[str, Any]) -> requests.Response:
    return server.post(f"/v2/models/{name}/infer", json=body)


@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate"])
def test_a_request_without_content_type_in_any_coding(coding: str, mlp: Server) -> None:
    """As Triton's sync client sends it."""
    body = json.dumps({"inputs": [X]}).encode()
    packed = {"identity": body, "gzip": gzip.compress(body), "deflate": zlib.compress(body)}[coding]
    reply = mlp.post(INFER, data=packed, headers={"Content-Encoding": coding})
    assert reply.status_code == 200, reply.text
    (output,) = reply.json()["outputs"]
    want = model.load(models.path("mlp")).predict({"features": np.array([X["data"]], np.float32)})["probabilities"]
    assert np.array_equal(np.array(output["data"], np.float32), want.ravel())


def test_replies_are_packed_for_who_asks_for_that_alone(mlp: Server) -> None:
    """`requests` lists what it could take: that is no wish. `gzip` alone is one."""
    plain = mlp.post(INFER, json={"inputs": [X]})
    assert "Content-Encoding" not in plain.headers
    packed = mlp.post(INFER, json={"inputs": [X]}, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert packed.json() == plain.json()


def test_a_body_that_unpacks_to_too_much_is_413(mlp: Server) -> None:
    """Ten megabytes of blanks in ten kilobytes."""
    reply = mlp.post(INFER, data=gzip.compress(b" " * (10 << 20)), headers={"Content-Encoding": "gzip"})
    assert reply.status_code == 413
    assert "MAX_INFLATED_BYTES" in reply.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2", 200),
        ("GET", "/v2/", 200),
        ("GET", "/v2/health/live", 200),
        ("GET", "/v2/health/ready", 200),
        ("GET", "/v2/models/mlp", 200),
        ("GET", "/v2/models/mlp/ready", 200),
        ("GET", "/v2/models/mlp/versions/1", 200),
        ("GET", "/v2/models/mlp/versions/1/ready", 200),
        ("GET", "/v2/models/mlp/versions/1/config", 200),
        ("GET", "/v2/models/mlp/versions/1/stats", 200),
        ("GET", "/v2/models/stats", 200),
        ("POST", "/v2/repository/index", 200),
        ("GET", "/v2/models/mlp/versions/2", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/other/ready", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/mlp/versions/x/infer", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", INFER, 405),
        ("POST", "/v2/health/live", 405),
    ],
)
def test_every_path_answers_json(method: str, path: str, status: int, mlp: Server) -> None:
    """Whatever the status, the body is JSON, and an error has its one key."""
    reply = mlp.request(method, path)
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"].startswith("application/json")
    if status >= 400:
        assert list(reply.json()) == ["error"]


def test_the_index_lists_only_ready_models_for_who_asks_so(mlp: Server) -> None:
    """With a body, without one, and with one that is no JSON."""
    assert [entry["state"] for entry in mlp.post("/v2/repository/index", json={"ready": True}).json()] == ["READY"]
    assert mlp.post("/v2/repository/index", data=b"{").status_code == 400


def test_health_says_503_while_there_is_no_model(start: Start) -> None:
    """Live, but not ready; the model's own readiness too."""
    server = start(models.path("packed_wrong"), ready=False)
    server.wait_ready(status=503)
    assert server.get("/v2/health/live").json() == {"live": True}
    ready = server.get("/v2/health/ready")
    assert (ready.status_code, ready.json()) == (503, {"ready": False})
    (name,) = (entry["name"] for entry in server.post("/v2/repository/index").json())
    assert server.get(f"/v2/models/{name}/ready").status_code == 503
    refused = server.post(f"/v2/models/{name}/infer", json={"inputs": [X]})
    assert refused.status_code == 503
    assert "Retry-After" in refused.headers


@pytest.mark.parametrize(
    "name", [name for name in models.working(interpreter.package().name) if name != "packed_wrong"]
)
@pytest.mark.slow
def test_every_model_answers_in_binary_as_without_http(name: str, start: Start) -> None:
    """Every datatype and shape of the catalogue, by the signature that /v2 itself tells."""
    from runtime.wire import binary, infer  # the protocol's own table of datatypes

    server = start(models.path(name))
    (told,) = server.post("/v2/repository/index").json()
    metadata = server.get(f"/v2/models/{told['name']}").json()
    example = models.MODELS[name].example(rows=1)
    entries, tail = [], b""
    for tensor in metadata["inputs"]:
        data = binary.dumps(example[tensor["name"]])
        tail += data
        shape = list(example[tensor["name"]].shape)
        entries.append(tensor | {"shape": shape, "parameters": {"binary_data_size": len(data)}})
    head = json.dumps({"inputs": entries, "parameters": {"binary_data_output": True}}).encode()
    reply = server.post(
        f"/v2/models/{told['name']}/infer",
        data=head + tail,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert reply.status_code == 200, reply.text
    length = int(reply.headers["Inference-Header-Content-Length"])
    rest, dtypes = reply.content[length:], {datatype: dtype for dtype, datatype in infer.DATATYPES.items()}
    want = model.load(models.path(name)).predict(example)
    for output in json.loads(reply.content[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        got = binary.loads(rest[:size], dtypes[output["datatype"]], tuple(output["shape"]), output["name"])
        rest = rest[size:]
        expected = want[output["name"]]
        assert got.shape == expected.shape
        assert np.array_equal(got, expected, equal_nan=got.dtype.kind == "f")


@pytest.mark.parametrize(
    ("choice", "data", "classes"),
    [
        ("null", [None, None], ["null:1", "null:0"]),
        ("string", ["NaN", "-Infinity"], ["-Infinity:1", "NaN:0"]),
        ("error", None, None),
    ],
)
def test_nan_is_told_as_the_operator_chose(
    choice: str, data: list[object] | None, classes: list[str] | None, start: Start
) -> None:
    """In JSON and in the text of classes, with a header, as /predict does; not in the tensor as bytes."""
    server = start(models.path("nan_out"), NON_FINITE=choice)
    x = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [-1, 0]}

    def ask(**parameters: object) -> requests.Response:
        return infer(server, "nan_out", {"inputs": [x], "outputs": [{"name": "log", "parameters": parameters}]})

    for reply, expected in ((ask(), data), (ask(classification=2), classes)):
        if expected is None:
            assert reply.status_code == 422
            assert reply.json()["error"] == "for this input the model's output 'log' holds NaN or an infinity"
        else:
            assert reply.json()["outputs"][0]["data"] == expected
            assert reply.headers["X-Non-Finite"] == choice
    told = (422, None) if classes is None else (200, choice)
    ranked = server.post("/predict?top_k=2", json={"instances": [[-1, 0]]})
    for reply in (ranked, ask(classification=2, binary_data=True)):
        assert (reply.status_code, reply.headers.get("X-Non-Finite")) == told
    bare = ask(binary_data=True)
    assert (bare.status_code, bare.headers.get("X-Non-Finite")) == (200, None)
