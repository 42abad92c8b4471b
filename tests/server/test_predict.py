"""`/predict` and `/health` on a real gunicorn: every model of the catalogue, hostile bodies, many clients at once."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import interpreter, model
from tests import models
from tests.server.conftest import Server, Start
from tests.server.held import Held

PACKAGE = interpreter.package().name
# It runs, but its golden samples are another model's.
WRONG_SAMPLES = "packed_wrong"
WORKING = [name for name in models.working(PACKAGE) if name != WRONG_SAMPLES]
FAILING = [name for name in models.MODELS if name not in WORKING]


@pytest.fixture(scope="module")
def mlp(start_shared: Start) -> Server:
    """Two workers that serve the small classifier."""
    return start_shared(models.path("mlp"), WEB_CONCURRENCY="2", MAX_BODY_BYTES="1M")


def as_json(value: Any) -> Any:
    """Arrays as a client writes them."""
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKING)
def test_every_model_answers_as_it_does_without_http(name: str, start: Start) -> None:
    """The served outputs are those of the loaded model, by name, to the last digit of float32."""
    server = start(models.path(name))
    inputs = models.MODELS[name].example(rows=1)
    expected = model.load(models.path(name)).predict(inputs)
    reply = server.post("/predict", json={"inputs": {key: as_json(array) for key, array in inputs.items()}})
    assert reply.status_code == 200, reply.text
    outputs = reply.json()["outputs"]
    if len(expected) == 1:
        outputs = {next(iter(expected)): outputs}
    assert outputs.keys() == expected.keys()
    for key, array in expected.items():
        if array.dtype.kind == "f":
            got = np.array(outputs[key], array.dtype)
            np.testing.assert_allclose(got, array, rtol=1e-6, equal_nan=True)
        else:
            assert outputs[key] == as_json(array)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAILING)
def test_a_model_that_cannot_run_leaves_a_server_that_says_why(name: str, start: Start) -> None:
    """Crash, missing operator or wrong samples: /health is 503 with the reason, /predict 503, the process lives."""
    server = start(models.path(name), ready=False)
    health = server.get("/health")
    assert health.status_code == 503
    told = health.json()
    assert told["ready"] is False
    assert told["reason"] not in ("", "loading")
    reply = server.post("/predict", json={"instances": [[0]]})
    assert reply.status_code == 503
    assert int(reply.headers["Retry-After"]) > 0
    assert server.get("/health/live").status_code == 200
    assert server.process.poll() is None


def test_the_three_forms(mlp: Server) -> None:
    """Row, columnar and the tutorials' form answer the same numbers, each in its own shape."""
    rows = [[0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 2.0, -1.0]]
    by_row = mlp.post("/predict", json={"instances": rows}).json()
    assert list(by_row) == ["predictions"]
    assert np.shape(by_row["predictions"]) == (2, 3)
    assert mlp.post("/predict", json={"inputs": rows}).json() == {"outputs": by_row["predictions"]}
    assert mlp.post("/predict", json={"inputs": {"features": rows}}).json() == {"outputs": by_row["predictions"]}
    assert mlp.post("/predict", json={"features": rows}).json() == {"prediction": by_row["predictions"]}
    one = mlp.post("/predict", json={"features": rows[0]}).json()["prediction"]
    np.testing.assert_allclose(one, by_row["predictions"][0], atol=1e-6)
    named = mlp.post("/predict/mlp", json={"instances": [{"features": row} for row in rows]}).json()
    assert named == by_row


def test_several_inputs_and_outputs_by_name(start: Start) -> None:
    """Objects in, objects out, in row and in columnar form."""
    server = start(models.path("two_inputs"))
    row = {"a": [1, 2, 3], "b": [4, 5]}
    assert server.post("/predict", json={"instances": [row, row]}).json() == {
        "predictions": [{"product": [24.0, 30.0], "sum": [15.0]}] * 2
    }
    assert server.post("/predict", json={"inputs": {"a": [row["a"]], "b": [row["b"]]}}).json() == {
        "outputs": {"product": [[24.0, 30.0]], "sum": [[15.0]]}
    }
    assert server.post("/predict", json={"instances": [[1, 2, 3]]}).status_code == 400


def test_strings_come_as_text_or_base64(start: Start) -> None:
    """A string tensor takes both forms of TensorFlow Serving."""
    server = start(models.path("string_lookup"))
    encoded = base64.b64encode(b"bee").decode()
    reply = server.post("/predict", json={"instances": [["ant"], [{"b64": encoded}], ["fox"]]})
    assert reply.json() == {"predictions": [[1], [2], [0]]}


def test_int64_is_exact(start: Start) -> None:
    """Whole numbers beyond 2^53 come back to the last digit."""
    server = start(models.path("int64_io"))
    large = 2**62 + 1
    reply = server.post("/predict", json={"instances": [[large, -large]]})
    assert reply.json() == {"predictions": [[large + 1, -large + 1]]}


BAD_BODIES: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("blank", b" \n"),
    ("not JSON", b"hello"),
    ("cut off", b'{"instances": [[1, 2, 3'),
    ("a list", b"[[1, 2, 3, 4]]"),
    ("a number", b"7"),
    ("null", b"null"),
    ("a string", b'"x"'),
    ("no form", b"{}"),
    ("another key", b'{"data": [[1, 2, 3, 4]]}'),
    ("two forms", b'{"instances": [[1,2,3,4]], "inputs": [[1,2,3,4]]}'),
    ("an extra key", b'{"instances": [[1,2,3,4]], "extra": 1}'),
    ("a key twice", b'{"instances": [[1,2,3,4]], "instances": [[1,2,3,4]]}'),
    ("an inner key twice", b'{"instances": [{"features": [1,2,3,4], "features": [1,2,3,4]}]}'),
    ("instances null", b'{"instances": null}'),
    ("instances empty", b'{"instances": []}'),
    ("instances of nothing", b'{"instances": [[]]}'),
    ("instances a number", b'{"instances": 1}'),
    ("instances a string", b'{"instances": "1,2,3,4"}'),
    ("instances an object", b'{"instances": {"features": [1,2,3,4]}}'),
    ("too short a row", b'{"instances": [[1,2,3]]}'),
    ("too long a row", b'{"instances": [[1,2,3,4,5]]}'),
    ("one row too deep", b'{"instances": [[[1,2,3,4]]]}'),
    ("one row too flat", b'{"instances": [1,2,3,4]}'),
    ("ragged", b'{"instances": [[1,2,3,4],[1,2,3]]}'),
    ("ragged depth", b'{"instances": [[1,2,3,4],1]}'),
    ("ragged inside", b'{"instances": [[1,2,3,[4]]]}'),
    ("text", b'{"instances": [["1","2","3","4"]]}'),
    ("one text", b'{"instances": [[1,2,3,"4"]]}'),
    ("null inside", b'{"instances": [[1,2,3,null]]}'),
    ("true", b'{"instances": [[true,false,true,true]]}'),
    ("one true", b'{"instances": [[1,2,3,true]]}'),
    ("object inside", b'{"instances": [[1,2,3,{}]]}'),
    ("NaN", b'{"instances": [[1,2,3,NaN]]}'),
    ("Infinity", b'{"instances": [[1,2,3,Infinity]]}'),
    ("minus Infinity", b'{"instances": [[1,2,3,-Infinity]]}'),
    ("too large a float", b'{"instances": [[1,2,3,1e39]]}'),
    ("far too large a float", b'{"instances": [[1,2,3,1e999]]}'),
    ("a huge integer", b'{"instances": [[1,2,3,' + b"9" * 400 + b"]]}"),
    ("unknown input", b'{"instances": [{"x": [1,2,3,4]}]}'),
    ("input too many", b'{"instances": [{"features": [1,2,3,4], "x": 1}]}'),
    ("mixed rows", b'{"instances": [{"features": [1,2,3,4]}, [1,2,3,4]]}'),
    ("mixed rows the other way", b'{"instances": [[1,2,3,4], {"features": [1,2,3,4]}]}'),
    ("inputs null", b'{"inputs": null}'),
    ("inputs empty", b'{"inputs": []}'),
    ("inputs an empty object", b'{"inputs": {}}'),
    ("inputs unknown", b'{"inputs": {"x": [[1,2,3,4]]}}'),
    ("inputs too many", b'{"inputs": {"features": [[1,2,3,4]], "x": 1}}'),
    ("inputs a number", b'{"inputs": 1}'),
    ("inputs flat", b'{"inputs": [1,2,3,4]}'),
    ("features null", b'{"features": null}'),
    ("features empty", b'{"features": []}'),
    ("features too short", b'{"features": [1,2,3]}'),
    ("features too deep", b'{"features": [[[1,2,3,4]]]}'),
    ("features text", b'{"features": ["a","b","c","d"]}'),
    ("features an object", b'{"features": {"a": 1}}'),
    ("another signature", b'{"signature_name": "train", "instances": [[1,2,3,4]]}'),
    ("signature a number", b'{"signature_name": 1, "instances": [[1,2,3,4]]}'),
    ("base64 for floats", b'{"instances": [{"b64": "AAAA"}]}'),
    ("UTF-16", '{"instances": [[1,2,3,4]]}'.encode("utf-16")),
    ("broken UTF-8", b'{"instances": [["\xff\xfe"]]}'),
    ("a byte order mark", b"\xef\xbb\xbf" + b"[1]"),
    ("NUL bytes", b"\0" * 100),
    ("deep lists", b'{"instances": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    ("deep lists not closed", b'{"instances": ' + b"[" * 100000),
    ("deep objects", b'{"a":' * 5000 + b"1" + b"}" * 5000),
    ("forty dimensions", b'{"instances": ' + b"[" * 40 + b"1" + b"]" * 40 + b"}"),
    ("seventy dimensions", b'{"instances": ' + b"[" * 70 + b"1" + b"]" * 70 + b"}"),
    ("comments", b'{"instances": [[1,2,3,4]] /* rows */}'),
    ("a trailing comma", b'{"instances": [[1,2,3,4],]}'),
    ("single quotes", b"{'instances': [[1,2,3,4]]}"),
    ("a form", b"instances=1"),
    ("XML", b"<instances/>"),
    ("an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 50),
    ("two documents", b'{"instances": [[1,2,3,4]]}{"instances": [[1,2,3,4]]}'),
    ("a surrogate", b'{"instances": [["\\ud800"]]}'),
    ("a long unknown key", b'{"' + b"k" * 50000 + b'": 1}'),
    ("many keys", json.dumps({f"k{number}": 1 for number in range(5000)}).encode()),
    ("zero rows of zero", b'{"inputs": [[],[]]}'),
]


@pytest.mark.parametrize("body", [body for _, body in BAD_BODIES], ids=[name for name, _ in BAD_BODIES])
def test_a_bad_body_is_a_4xx_that_says_why(body: bytes, mlp: Server) -> None:
    """Never a 500, never a guess: a JSON error of readable length."""
    reply = mlp.post("/predict", data=body)
    assert reply.status_code in (400, 413, 415, 422), reply.text
    assert reply.headers["Content-Type"] == "application/json"
    told = reply.json()["error"]
    assert 10 < len(told) < 500
    assert "Traceback" not in told


def test_hostile_bodies_leave_the_server_as_it_was(mlp: Server) -> None:
    """After all of them the same workers answer rightly, and nothing was logged as a failure of the server."""
    assert mlp.post("/predict", json={"instances": [[1, 2, 3, 4]]}).status_code == 200
    assert "Traceback" not in mlp.log
    assert " 500" not in mlp.log
    assert mlp.log.count("Booting worker") == 2


@pytest.mark.parametrize("dtype", ["image/png", "multipart/form-data; boundary=x"])
def test_other_media_types_are_not_taken_for_json(dtype: str, mlp: Server) -> None:
    """A body that says it is something else is not read as JSON."""
    reply = mlp.post("/predict", data=b'{"instances": [[1,2,3,4]]}', headers={"Content-Type": dtype})
    assert reply.status_code in (400, 415)
    assert reply.json()["error"]


@pytest.mark.parametrize("dtype", ["application/json; charset=utf-8", "application/x-www-form-urlencoded", None])
def test_json_is_read_under_the_types_that_clients_send(dtype: str | None, mlp: Server) -> None:
    """`curl -d` sends a form's type, some clients none at all."""
    headers = {"Content-Type": dtype} if dtype else {}
    assert mlp.post("/predict", data=b'{"instances": [[1,2,3,4]]}', headers=headers).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413(chunked: bool, mlp: Server) -> None:
    """With a length or without one; and the client gets to read the answer."""
    body = b'{"instances": [' + b"[1,2,3,4]," * 200_000 + b"[1,2,3,4]]}"
    reply = mlp.post("/predict", data=iter([body[:1000], body[1000:]]) if chunked else body)
    assert reply.status_code == 413
    assert "1048576" in reply.json()["error"]


def test_values_the_model_refuses_are_422(start: Start) -> None:
    """An embedding index out of range is the client's, not the server's, and the next request is answered."""
    server = start(models.path("embedding"))
    assert server.post("/predict", json={"instances": [[0, 1, 2, 3, 4, 10**6]]}).status_code == 422
    assert server.post("/predict", json={"instances": [[0, 1, 2, 3, 4, 1.5]]}).status_code == 400
    assert server.post("/predict", json={"instances": [[0, 1, 2, 3, 4, 2**40]]}).status_code == 400
    assert server.post("/predict", json={"instances": [[0, 1, 2, 3, 4, 5]]}).status_code == 200


def test_two_hundred_clients_at_once_get_their_own_answers(start: Start) -> None:
    """Concurrent requests with different inputs: each answer is that of its own input."""
    server = start(models.path("cnn"), WEB_CONCURRENCY="2", MAX_WAITING="500")
    images = np.random.default_rng(0).random((200, 28, 28, 1), np.float32)
    expected = model.load(models.path("cnn")).predict({"image": images})["probabilities"]

    def ask(index: int) -> Any:
        return server.post("/predict", json={"instances": [images[index].tolist()]}).json()["predictions"][0]

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    np.testing.assert_allclose(np.array(answers, np.float32), expected, atol=1e-5)


def test_health_tells_what_is_served(mlp: Server) -> None:
    """Name, version, digest, interpreter and its version, uptime; HEAD answers without a body."""
    told = mlp.get("/health").json()
    assert told["status"] == "ok"
    assert (told["model"], told["version"]) == ("mlp", "0.0.0")
    assert len(told["sha256"]) == 64
    assert told["interpreter"] == {"name": PACKAGE, "version": interpreter.package().version}
    assert told["uptime_seconds"] >= 0
    head = mlp.request("HEAD", "/health")
    assert (head.status_code, head.content) == (200, b"")
    assert mlp.get("/health/live").json() == {"live": True}


def test_what_is_not_there_is_told_as_json(mlp: Server) -> None:
    """404 for paths and models, 405 with the methods that are taken."""
    assert mlp.get("/nothing").status_code == 404
    assert mlp.post("/predict/other", json={"instances": [[1, 2, 3, 4]]}).json() == {
        "error": "there is no model 'other'"
    }
    wrong = mlp.get("/predict")
    assert (wrong.status_code, "POST" in wrong.headers["Allow"]) == (405, True)
    assert all(reply.json()["error"] for reply in (mlp.get("/nothing"), wrong))


def test_each_reply_carries_a_request_id_and_the_log_has_it(mlp: Server) -> None:
    """A router's id is kept; one that could forge a log line is replaced."""
    kept = mlp.get("/health", headers={"X-Request-Id": "abc-123"})
    assert kept.headers["X-Request-Id"] == "abc-123"
    forged = mlp.get("/health", headers={"X-Request-Id": 'x" status=200 evil="'})
    assert "evil" not in forged.headers["X-Request-Id"]
    assert mlp.line("request=abc-123")
    assert mlp.line(f"request={forged.headers['X-Request-Id']}")
    assert "evil" not in mlp.log


def test_a_server_without_a_model_says_so(start: Start) -> None:
    """No MODEL_URL: the port is bound, /health and /predict say what to set."""
    server = start(ready=False)
    assert "MODEL_URL" in server.get("/health").json()["reason"]
    reply = server.post("/predict", json={"instances": [[1]]})
    assert (reply.status_code, "MODEL_URL" in reply.json()["error"]) == (503, True)


def test_a_bad_setting_ends_the_start_with_its_name(start: Start) -> None:
    """Exit code 2 and one line, no traceback."""
    with pytest.raises(AssertionError) as caught:
        start(models.path("mlp"), ready=False, MAX_BODY_BYTES="lots")
    assert "MAX_BODY_BYTES: expected a size" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_requests_under_way_are_answered_at_a_stop(start: Start, tmp_path: Path) -> None:
    """SIGTERM lets a running request finish; the server ends by itself with code 0."""
    held = Held(tmp_path)
    server = start(models.path("lstm"), MODEL_HOOKS=str(held.hooks), GRACEFUL_SECONDS="100")
    held.hold()
    with ThreadPoolExecutor(1) as pool:
        try:
            pending = pool.submit(server.post, "/predict", json={"instances": np.zeros((300, 5, 3)).tolist()})
            held.wait()
            server.process.terminate()
            server.line("Handling signal: term")
        finally:
            held.release()
        code = server.stop()
        reply = pending.result()
    assert (reply.status_code, len(reply.json()["predictions"]), code) == (200, 300, 0)
