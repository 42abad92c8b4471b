"""Limits and fairness, asked of a real server in both lanes: rates, age, queues, clients that leave; hooks, ONNX."""

from __future__ import annotations

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import model
from tests import models
from tests.server.conftest import PATIENCE, Start
from tests.server.held import Held
from tests.server.raw import connect, post, read_reply

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow

ROW: dict[str, Any] = {"instances": [[1, 2, 3, 4]]}
KEYS = {"API_KEYS": "web:web-key-0123456789,phone:phone-key-0123456789"}
both = pytest.mark.parametrize("lane", [pytest.param("threads", marks=pytest.mark.slow), "fast"])


@both
def test_each_key_has_a_rate_of_its_own(start: Start, lane: str) -> None:
    """Over all workers: the fourth request is a 429 that says when to come back; the other key is not touched."""
    server = start(models.path("mlp"), RATE_LIMIT="3/h", WEB_CONCURRENCY="2", WORKER_CLASS=lane, **KEYS)
    web, phone = {"X-API-Key": "web-key-0123456789"}, {"X-API-Key": "phone-key-0123456789"}
    codes = [server.post("/predict", json=ROW, headers=web).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    refused = server.post("/predict", json=ROW, headers=web)
    assert 600 < int(refused.headers["Retry-After"]) <= 1200
    assert "RATE_LIMIT" in refused.json()["error"]
    assert server.post("/predict", json=ROW, headers=phone).status_code == 200
    assert server.get("/health").status_code == 200


@both
def test_without_keys_each_address_has_its_rate(start: Start, lane: str) -> None:
    """Behind a trusted proxy by the address that it saw; what the client adds in front counts for nothing."""
    server = start(models.path("mlp"), RATE_LIMIT="2/h", TRUST_PROXY="1", WORKER_CLASS=lane)

    def ask(forwarded: str) -> int:
        return server.post("/predict", json=ROW, headers={"X-Forwarded-For": forwarded}).status_code

    assert [ask("1.1.1.1"), ask("9.9.9.9, 1.1.1.1"), ask("8.8.8.8, 1.1.1.1"), ask("2.2.2.2")] == [200, 200, 429, 200]


@both
def test_a_request_that_waited_too_long_is_not_begun(start: Start, lane: str) -> None:
    """By the router's own clock, where a proxy is trusted: on a dyno by itself, elsewhere when told."""
    old = {"X-Request-Start": str(int((time.time() - 300) * 1000))}
    dyno = start(models.path("mlp"), DYNO="web.1", WORKER_CLASS=lane)
    assert dyno.post("/predict", json=ROW, headers=old).status_code == 504
    fresh = {"X-Request-Start": str(int(time.time() * 1000))}
    assert dyno.post("/predict", json=ROW, headers=fresh).status_code == 200
    assert dyno.post("/predict", json=ROW, headers={"X-Request-Start": "nonsense"}).status_code == 200
    elsewhere = start(models.path("mlp"), WORKER_CLASS=lane)
    assert elsewhere.post("/predict", json=ROW, headers=old).status_code == 200


@both
def test_what_cannot_be_answered_in_time_is_504(start: Start, lane: str) -> None:
    """More rows than the deadline allows: it is ended between two runs, and the interpreter is there for the next."""
    # Runs of one row each: far more than a second of them, on any machine.
    options = {"REQUEST_SECONDS": "0.3", "CHUNK_BYTES": "1", "MAX_BODY_BYTES": "64M"}
    server = start(models.path("cnn"), WORKER_CLASS=lane, **options)
    refused = server.post("/predict", data=images(20_000))
    assert refused.status_code == 504
    assert "time" in refused.json()["error"]
    deadline = time.monotonic() + PATIENCE
    while (reply := server.post("/predict", data=images(1))).status_code == 504:  # one row is quick, as a rule
        assert time.monotonic() < deadline
    assert reply.status_code == 200


@pytest.mark.slow
@both
def test_a_full_queue_is_503_and_says_when_to_come_back(start: Start, lane: str) -> None:
    """More at once than one interpreter and its queue: some are refused at once, the others answered rightly."""
    server = start(models.path("cnn"), MAX_WAITING="1", WEB_THREADS="8", WORKER_CLASS=lane)
    body, deadline = images(3000), time.monotonic() + PATIENCE
    codes: set[int] = set()
    answers: set[bytes] = set()
    with ThreadPoolExecutor(12) as clients:
        # Whether they meet is up to the machine: twelve more, until they did.
        while codes != {200, 503}:
            assert time.monotonic() < deadline, codes
            replies = list(clients.map(lambda _: server.post("/predict", data=body), range(12)))
            assert all(int(reply.headers["Retry-After"]) >= 1 for reply in replies if reply.status_code == 503)
            answers |= {reply.content for reply in replies if reply.status_code == 200}
            codes |= {reply.status_code for reply in replies}
            assert codes <= {200, 503}
    assert len(answers) == 1


@both
def test_work_whose_client_has_gone_is_not_begun(start: Start, lane: str, tmp_path: Path) -> None:
    """Clients that left while they waited cost no run of the model: they are counted as gone."""
    held = Held(tmp_path)
    server = start(models.path("mlp"), WEB_THREADS="8", WORKER_CLASS=lane, MODEL_HOOKS=str(held.hooks))
    held.hold()
    body = json.dumps(ROW).encode()
    clients = [connect(server, post(body)) for _ in range(4)]
    held.wait(4)
    for client in clients:
        client.close()
    server.get("/health")  # the event loop, which answers this, has seen them leave before
    held.release()
    deadline = time.monotonic() + PATIENCE
    while server.log.count("error=GoneError") < 4:
        assert time.monotonic() < deadline, server.log
        time.sleep(0.05)
    assert held.computed == 0
    assert server.post("/predict", json=ROW).status_code == 200


def test_no_code_runs_for_a_client_that_left_before_a_thread_came_free(start: Start, tmp_path: Path) -> None:
    """Neither the decoding nor the user's hooks."""
    held = Held(tmp_path)
    server = start(models.path("mlp"), WEB_THREADS="1", WORKER_CLASS="fast", MODEL_HOOKS=str(held.hooks))
    held.hold()
    body = post(json.dumps(ROW).encode())
    with connect(server, body) as stays:
        held.wait()
        with connect(server, body):
            server.get("/health")  # the event loop, which answers this, has taken the other in before
        server.get("/health")
        held.release()
        assert stays.recv(100).startswith(b"HTTP/1.1 200")
        deadline = time.monotonic() + PATIENCE
        while "error=GoneError" not in server.log:
            assert time.monotonic() < deadline, server.log
            time.sleep(0.05)
    assert held.begun == 1


@both
def test_whoever_has_no_body_to_send_is_not_taken_for_gone(start: Start, lane: str, tmp_path: Path) -> None:
    """A request without one that waits for its thread is answered when it comes free."""
    held = Held(tmp_path)
    server = start(models.path("mlp"), WEB_THREADS="1", WORKER_CLASS=lane, MODEL_HOOKS=str(held.hooks))
    held.hold()
    with connect(server, post(json.dumps(ROW).encode())) as first, first.makefile("rb") as answer:
        held.wait()
        with connect(server, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n") as second, second.makefile("rb") as told:
            for _ in range(3):  # each is taken after the second request was
                server.get("/health")
            held.release()
            assert (read_reply(answer)[0], read_reply(told, head=True)[0]) == (200, 200)


@both
def test_hooks_stand_between_the_client_and_the_model(start: Start, lane: str, tmp_path: Path) -> None:
    """Every protocol shows the hooks' own signature; an error in them is a 500 here and the line in the log."""
    code = (
        "import numpy as np\nINPUTS = {'text': ('string', (-1,))}\nOUTPUTS = {'sure': ('bool', (-1,))}\n"
        "EXAMPLE = {'text': np.array([b'1 2 3 4'], dtype=object)}\n"
        "def before(inputs):\n"
        "    return {'features': np.array([[float(word) for word in text.split()] for text in inputs['text']])}\n"
        "def after(outputs):\n    return {'sure': outputs['probabilities'].max(axis=1) > 0.5}\n"
    )
    (tmp_path / "my_hooks.py").write_text(code)
    server = start(models.path("packed"), MODEL_HOOKS=str(tmp_path / "my_hooks.py"), WORKER_CLASS=lane)
    bare = model.load(models.path("packed")).predict({"features": np.array([[1, 2, 3, 4], [5, 5, 5, 5]], np.float32)})
    sure = (bare["probabilities"].max(axis=1) > 0.5).tolist()
    assert server.post("/predict", json={"instances": ["1 2 3 4", "5 5 5 5"]}).json() == {"predictions": sure}
    (told,) = server.get("/v2/models/packed").json()["inputs"]
    assert told == {"name": "text", "datatype": "BYTES", "shape": [-1]}
    failed = server.post("/predict", json={"instances": ["one two three four"]})
    assert failed.status_code == 500
    assert "could not convert" not in failed.text
    assert server.line("my_hooks.py line 6, in before(): ValueError: could not convert")
    assert server.post("/predict", json={"instances": [[1, 2, 3, 4]]}).status_code == 400


@both
def test_broken_hooks_are_told_at_boot(start: Start, lane: str, tmp_path: Path) -> None:
    """The server starts, is not ready, and says why with the line."""
    (tmp_path / "my_hooks.py").write_text("def before(inputs):\n    return {'features': inputs['feature']}\n")
    options = {"MODEL_HOOKS": str(tmp_path / "my_hooks.py"), "WORKER_CLASS": lane}
    server = start(models.path("packed"), ready=False, **options)
    reason = server.wait_ready(status=503).json()["reason"]
    assert reason == "my_hooks.py line 2, in before(): KeyError: 'feature'"


@pytest.mark.slow
@both
def test_an_onnx_model_is_served_as_any_other(start: Start, lane: str) -> None:
    """The same routes and errors; the workers end cleanly."""
    pytest.importorskip("google.protobuf", reason="onnxruntime is not installed here")
    server = start(Path(models.__file__).with_name("mlp.onnx"), ready=False, WORKER_CLASS=lane)
    health = server.get("/health")
    if "onnxruntime is not installed" in health.text:
        pytest.skip("onnxruntime is not installed here")
    first = server.post("/predict", json=ROW).json()["predictions"][0]
    assert first == pytest.approx([0.17017533, 0.7137534, 0.11607132], abs=1e-6)
    assert health.json()["interpreter"]["name"] == "onnxruntime"
    assert server.post("/predict", json={"instances": [[1, 2]]}).status_code == 400
    assert server.stop() == 0
    assert "SIGABRT" not in server.log
    assert "terminate" not in server.log


def images(number: int) -> bytes:
    """So many 28x28 images of zeros, as .npy."""
    stream = io.BytesIO()
    np.save(stream, np.zeros((number, 28, 28, 1), np.float32))
    return stream.getvalue()
