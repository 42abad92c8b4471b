"""Connections of the fast lane that ask nothing, too much, or for another protocol."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests import models
from tests.server.conftest import Server, Start
from tests.server.raw import connect, read_reply

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fast(start_shared: Start) -> Server:
    """A server in the fast lane."""
    return start_shared(models.path("mlp"), WORKER_CLASS="fast")


@pytest.mark.slow
@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\nHo"], ids=["nothing", "half a header"])
def test_a_connection_without_a_request_is_closed(fast: Server, data: bytes) -> None:
    """Idle connections do not use up the places of those who ask; one that has asked stays open."""
    get = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(fast, data) as silent, connect(fast, get) as asked, asked.makefile("rb") as stream:
        assert read_reply(stream)[0] == 200
        assert silent.recv(100) == b""
        asked.sendall(get)
        assert read_reply(stream)[0] == 200


def test_a_length_of_thousands_of_digits_is_400(fast: Server) -> None:
    """It is refused with a reply, not with a traceback."""
    with connect(fast, b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n") as odd:
        assert odd.recv(100).startswith(b"HTTP/1.1 400")
    assert "Traceback" not in fast.log


def test_a_websocket_is_refused(fast: Server) -> None:
    """Nothing here speaks it, and the log stays quiet."""
    upgrade = (
        b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with connect(fast, upgrade) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 403")
    assert "Traceback" not in fast.log


def test_a_quick_history_does_not_let_slow_work_into_the_event_loop(fast: Server) -> None:
    """Packed bodies say little of their size: they go to a thread, and are answered all the same."""
    body = b'{"instances": [[1, 2, 3, 4]]}'
    for _ in range(20):
        assert fast.post("/predict", data=body).status_code == 200
    packed = fast.post("/predict", data=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert packed.json() == fast.post("/predict", data=body).json()


def test_a_name_of_any_script_fits_a_header(start: Start, tmp_path: Path) -> None:
    """A file's name becomes the model's; X-Model tells it in ASCII, and predictions are answered."""
    named = tmp_path / "模型.tflite"
    named.write_bytes(models.path("mlp").read_bytes())
    for lane in ("fast", "threads"):
        server = start(named, WORKER_CLASS=lane)
        for _ in range(3):
            reply = server.post("/predict", data=b'{"instances": [[1, 2, 3, 4]]}')
            assert reply.status_code == 200
            assert reply.headers["X-Model"].isascii()
        assert "Traceback" not in server.log


def test_a_path_that_looks_like_a_rule_is_no_route(fast: Server) -> None:
    """The rule of a route, typed as a path, is a malformed request and not a failure."""
    assert fast.post("/v1/<path:rest>", data=b"{}").status_code in (400, 404)
    assert "Traceback" not in fast.log
