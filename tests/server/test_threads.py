"""The limits that both ways of serving hold, and what `WORKER_CLASS=threads` adds to gunicorn's `gthread` for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import models
from tests.server.conftest import PATIENCE, Server, Start
from tests.server.held import Held
from tests.server.raw import ask, connect, post, read_reply

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow

ROW = {"instances": [[1, 2, 3, 4]]}
BODY = json.dumps(ROW).encode()
both = pytest.mark.parametrize("lane", ["threads", "fast"])


def wait_until(holds: Callable[[], bool]) -> None:
    """Fails where it never comes to it."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def threads(start_shared: Start) -> Server:
    """A server whose worker has one thread."""
    return start_shared(models.path("mlp"), WORKER_CLASS="threads", WEB_THREADS="1")


@both
def test_so_many_are_answered_and_wait_and_all_others_are_503(start: Start, lane: str, tmp_path: Path) -> None:
    """WEB_THREADS and MAX_WAITING together; /health is answered meanwhile, and all who were let in are."""
    held = Held(tmp_path)
    options = {"WEB_THREADS": "2", "MAX_WAITING": "1", "INTERPRETERS": "2", "MODEL_HOOKS": str(held.hooks)}
    server = start(models.path("mlp"), WORKER_CLASS=lane, **options)
    held.hold()
    with ThreadPoolExecutor(7) as clients:
        asked = [clients.submit(server.post, "/predict", json=ROW) for _ in range(7)]
        wait_until(lambda: sum(reply.done() for reply in asked) == 4)
        held.wait(2)
        assert server.get("/health").status_code == 200
        held.release()
        replies = [reply.result() for reply in asked]
    assert sorted(reply.status_code for reply in replies) == [200] * 3 + [503] * 4
    refused = [reply for reply in replies if reply.status_code == 503]
    assert all(int(reply.headers["Retry-After"]) >= 1 and "try again" in reply.json()["error"] for reply in refused)
    assert server.log.count("error=OverloadError") == 4
    assert server.post("/predict", json=ROW).status_code == 200


@both
def test_the_deadline_counts_the_wait_for_a_thread(start: Start, lane: str, tmp_path: Path) -> None:
    """What waited for longer than REQUEST_SECONDS is a 504, and no code of the user's runs for it."""
    held = Held(tmp_path)
    options = {"WEB_THREADS": "1", "REQUEST_SECONDS": "6", "MODEL_HOOKS": str(held.hooks)}
    server = start(models.path("mlp"), WORKER_CLASS=lane, **options)
    held.hold()
    with connect(server, post(BODY)) as first, first.makefile("rb") as answer:
        held.wait(1)
        with connect(server, post(BODY)) as second, second.makefile("rb") as late:
            for _ in range(3):  # each is taken after the second request was
                server.get("/health")
            time.sleep(6)
            held.release()
            read_reply(answer)
            status, _, body = read_reply(late)
    assert status == 504
    assert b"nothing was computed" in body
    assert held.begun == 1


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\nHo"], ids=["nothing", "half a header"])
def test_a_connection_without_a_request_is_closed(threads: Server, data: bytes) -> None:
    """It holds a thread for a bounded time, and none at all before its first byte."""
    with connect(threads, data) as silent:
        assert threads.post("/predict", json=ROW).status_code == 200
        assert silent.recv(100) == b""


def test_a_request_that_trickles_in_is_answered(threads: Server) -> None:
    """Byte by byte, within the time; the connection is kept for the next one."""
    raw = post(BODY)
    with connect(threads) as client, client.makefile("rb") as stream:
        for _ in range(2):
            for place in range(len(raw)):
                client.sendall(raw[place : place + 1])
            assert read_reply(stream)[0] == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400),
        (b"<script>\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nLong: " + b"x" * 20000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    ],
)
def test_what_gunicorn_refuses_is_json_too(threads: Server, raw: bytes, status: int) -> None:
    """No page of HTML, and the headers of every other reply."""
    found, headers, body = ask(threads, raw)
    assert found == status
    assert json.loads(body)["error"]
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["connection"] == "close"
