"""Both ways of serving answer alike: gthread with Flask, and the fast lane, asked the same over raw sockets."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests import models
from tests.server.conftest import PATIENCE, Server, Start
from tests.server.held import Held
from tests.server.load import under_load
from tests.server.raw import ask, connect, post, read_reply

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow

# What two replies to the same request may differ in.
_OWN = {"date", "x-request-id", "connection", "keep-alive"}
GOOD = b'{"instances": [[0.1, 0.2, 0.3, 0.4]]}'


@dataclass
class Lanes:
    """The same model behind both worker classes."""

    threads: Server
    fast: Server

    def __iter__(self) -> Iterator[Server]:
        return iter((self.threads, self.fast))


@pytest.fixture(scope="module")
def lanes(start_shared: Start) -> Lanes:
    """One worker each, small limits."""
    options = {"MAX_BODY_BYTES": "100000", "CORS_ORIGINS": "https://page.example"}
    return Lanes(*(start_shared(models.path("mlp"), WORKER_CLASS=worker, **options) for worker in ("threads", "fast")))


def chunked(body: bytes, *, size: int = 7) -> bytes:
    """The same in chunks."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    coded = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"


REQUESTS = {
    "a row": post(GOOD),
    "a row of a named model": post(GOOD, "/predict/mlp"),
    "another model's name": post(GOOD, "/predict/other"),
    "a percent-encoded name": post(GOOD, "/predict/%6dlp"),
    "a slash too many": post(GOOD, "/predict/"),
    "two slashes": post(GOOD, "//predict"),
    "a whole URL": post(GOOD, "http://x/predict"),
    "a whole URL without a path": b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n",
    "two slashes within": post(GOOD, "/predict//mlp"),
    "an unknown path": post(GOOD, "/nothing"),
    "an unknown path with a body over the limit": post(b" " * 100_001, "/nothing"),
    "an unknown path that is no UTF-8": post(GOOD, "/%ff%0a"),
    "a path as a name": post(GOOD, "/predict/a%2Fb"),
    "a method of another route's": b"PUT /v1/models/mlp HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "an unknown method": b"BREW /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "OPTIONS of several rules": b"OPTIONS /v1/models/mlp HTTP/1.1\r\nHost: x\r\n\r\n",
    "OPTIONS of an unknown path": b"OPTIONS /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
    "another case of TensorFlow Serving's": b"GET /V1/models/mlp HTTP/1.1\r\nHost: x\r\n\r\n",
    "a deep path of TensorFlow Serving's": post(GOOD, "/v1/models/mlp/x/y:predict"),
    "no path of TensorFlow Serving's": post(GOOD, "/v1/"),
    "a page's file": b"GET /page/index.html HTTP/1.1\r\nHost: x\r\n\r\n",
    "a file that is not the page's": b"GET /page/../core.py HTTP/1.1\r\nHost: x\r\n\r\n",
    "the page": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a wrong method": b"PUT /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "a GET of /predict": b"GET /predict HTTP/1.1\r\nHost: x\r\n\r\n",
    "OPTIONS": b"OPTIONS /predict HTTP/1.1\r\nHost: x\r\n\r\n",
    "a preflight": b"OPTIONS /predict HTTP/1.1\r\nHost: x\r\nOrigin: https://page.example\r\n"
    b"Access-Control-Request-Method: POST\r\n\r\n",
    "a page's request": post(GOOD, extra="Origin: https://page.example\r\n"),
    "no JSON": post(b"{"),
    "no body": post(b""),
    "a wrong key": post(b'{"rows": []}'),
    "keys twice": post(b'{"instances": [[1,2,3,4]], "instances": [[1,2,3,4]]}'),
    "a wrong shape": post(b'{"instances": [[1, 2]]}'),
    "a wrong media type": post(GOOD, extra="Content-Type: text/csv\r\n"),
    "an unknown encoding": post(GOOD, extra="Content-Encoding: br\r\n"),
    "a query": post(GOOD, "/predict?x=1&x=2"),
    "chunks": chunked(GOOD),
    "many chunks": chunked(GOOD, size=1),
    "a large body in chunks": chunked(b" " * 150_000, size=5000),
    "a body over the limit": post(b" " * 100_001),
    "a header twice": post(GOOD, extra="X-Request-Id: a\r\nX-Request-Id: b\r\n"),
    "a bad request id": post(GOOD, extra="X-Request-Id: a b\r\n"),
    "HTTP/1.0": b"POST /predict HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD),
    "close": post(GOOD, extra="Connection: close\r\n"),
    "liveness": b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method in lower case": b"post /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a signed length": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}",
    "a space before the colon": b"GET /health/live HTTP/1.1\r\nHost : x\r\n\r\n",
    "a folded header": b"GET /health/live HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "a NUL in a header": b"GET /health/live HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    "two hosts": b"GET /health/live HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a bad chunk": b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a very long line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}
# gunicorn's own refusals: its two parsers word them differently.
MALFORMED = {
    "a method in lower case",
    "two lengths",
    "a length and chunks",
    "a signed length",
    "a space before the colon",
    "a folded header",
    "a NUL in a header",
    "two hosts",
    "a bad chunk",
    "a very long line",
    "no HTTP at all",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_both_lanes_answer_alike(name: str, lanes: Lanes) -> None:
    """The same bytes get the same status, headers and body; the second time too, when the fast lane knows the kind."""
    for _ in range(3):
        (status, headers, body), (fast_status, fast_headers, fast_body) = (ask(s, REQUESTS[name]) for s in lanes)
        if name in MALFORMED:
            assert min(status, fast_status) >= 400
            assert json.loads(body).keys() == json.loads(fast_body).keys() == {"error"}
            continue
        assert fast_status == status
        assert fast_body == body
        for own in _OWN:
            headers.pop(own, None)
            fast_headers.pop(own, None)
        assert fast_headers == headers


def test_a_reply_to_head_has_no_body(lanes: Lanes) -> None:
    """HEAD tells the length of what GET would send, and sends nothing."""
    for server in lanes:
        for path, want in {"/health/live": 200, "/": 200, "/predict": 405, "/nothing": 404}.items():
            raw = f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            with connect(server) as client, client.makefile("rb") as stream:
                for _ in range(2):  # a body would be taken for the next reply
                    client.sendall(raw)
                    status, headers, _ = read_reply(stream, head=True)
                    assert status == want
                    assert int(headers["content-length"]) > 0


def test_a_file_that_the_browser_has_is_not_sent_again(lanes: Lanes) -> None:
    """304 without a length, which would be taken for that of the file; the connection serves on."""
    for server in lanes:
        _, headers, _ = ask(server, b"GET /page/page.css HTTP/1.1\r\nHost: x\r\n\r\n")
        raw = f"GET /page/page.css HTTP/1.1\r\nHost: x\r\nIf-None-Match: {headers['etag']}\r\n\r\n".encode()
        with connect(server) as client, client.makefile("rb") as stream:
            for _ in range(3):
                client.sendall(raw)
                status, again, _ = read_reply(stream)
                assert (status, again["etag"], "content-length" in again) == (304, headers["etag"], False)


def test_requests_sent_at_once_are_answered_in_order(lanes: Lanes) -> None:
    """Pipelining: ten requests in one packet, of which the plain ones are not answered before their turn."""
    bodies = [b'{"instances": [[%d, 2, 3, 4]]}' % number for number in range(10)]
    for server in lanes:
        single = [ask(server, post(body))[2] for body in bodies]
        with connect(server) as client, client.makefile("rb") as stream:
            client.sendall(b"".join(post(body) for body in bodies))
            assert [read_reply(stream)[2] for _ in bodies] == single


def test_a_request_in_pieces_is_put_together(lanes: Lanes) -> None:
    """However the bytes are cut, the reply is the same, and the connection serves on."""
    raw = post(GOOD)
    for server in lanes:
        whole = ask(server, raw)[2]
        with connect(server) as client, client.makefile("rb") as stream:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for cut in (1, 5, len(raw) - len(GOOD) - 1, len(raw) - len(GOOD), len(raw) - 1):
                client.sendall(raw[:cut])
                time.sleep(0.03)
                client.sendall(raw[cut:])
                assert read_reply(stream)[2] == whole
                client.sendall(raw)
                assert read_reply(stream)[2] == whole


def test_an_expected_continue_comes(lanes: Lanes) -> None:
    """A client that waits for 100 gets it, then its answer; one whose body is too large gets the refusal at once."""
    for server in lanes:
        with connect(server) as client, client.makefile("rb") as stream:
            client.sendall(post(GOOD, extra="Expect: 100-continue\r\n")[: -len(GOOD)])
            assert read_reply(stream)[0] == 100
            client.sendall(GOOD)
            assert read_reply(stream)[0] == 200
    with connect(lanes.fast) as client, client.makefile("rb") as stream:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\nExpect: 100-continue\r\n\r\n")
        assert read_reply(stream)[0] == 413


@pytest.mark.parametrize("worker", ["threads", "fast"])
def test_a_body_that_does_not_come_is_a_408(worker: str, start: Start) -> None:
    """Each client that sends half a body is told in the end."""
    server = start(models.path("mlp"), WORKER_CLASS=worker, BODY_SECONDS="2")
    with connect(server, post(GOOD)[:-5]) as client, client.makefile("rb") as stream:
        assert read_reply(stream)[0] == 408


@pytest.mark.parametrize(("worker", "clients"), [("threads", 1), ("fast", 20)])
def test_a_body_that_does_not_come_holds_nobody_up(worker: str, clients: int, start: Start) -> None:
    """Half bodies are waited for longer than anybody here waits for the answer of /health."""
    server = start(models.path("mlp"), WORKER_CLASS=worker, BODY_SECONDS="3600")
    begun = [connect(server, post(GOOD)[:-5]) for _ in range(clients)]
    assert server.get("/health").status_code == 200
    for client in begun:
        client.close()


def test_a_client_that_leaves_does_no_harm(lanes: Lanes) -> None:
    """Connections closed in the middle of a head, of a body, or before the reply leave a server that answers."""
    raw = post(GOOD)
    for server in lanes:
        for cut in (3, len(raw) - 5, len(raw)):
            for _ in range(10):
                with connect(server) as client:
                    client.sendall(raw[:cut])
        assert ask(server, raw)[0] == 200
        assert "Traceback" not in server.log


def test_health_answers_while_long_predictions_run(start: Start, tmp_path: Path) -> None:
    """A prediction that takes its time, and those behind it, keep to their threads: /health is answered meanwhile.

    The prediction goes on only after /health has answered. In the event loop it would wait in vain, and fail.
    """
    held = Held(tmp_path)
    server = start(models.path("mlp"), WORKER_CLASS="fast", WEB_THREADS="1", MODEL_HOOKS=str(held.hooks))
    held.hold()
    with ThreadPoolExecutor(4) as clients:
        replies = [clients.submit(server.post, "/predict", data=GOOD) for _ in range(4)]
        try:
            held.wait()
            for _ in range(5):
                assert server.get("/health").status_code == 200
        finally:
            held.release()
        assert [reply.result().status_code for reply in replies] == [200] * 4, server.log


@pytest.mark.slow
@pytest.mark.parametrize("worker", ["threads", "fast"])
def test_a_roll_under_load_loses_no_request(worker: str, start: Start) -> None:
    """SIGHUP again and again while clients ask on kept connections: every request is answered, 200 each."""
    server = start(models.path("mlp"), WORKER_CLASS=worker, WEB_CONCURRENCY="2", GRACEFUL_SECONDS="60")
    with under_load(server, GOOD, answered) as load:
        for booted in (4, 6, 8):
            load.wait_more(20)
            server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + PATIENCE
            while sum("Booting worker" in line for line in server.lines) < booted:
                assert time.monotonic() < deadline, server.log[-5000:]
                time.sleep(0.1)
        server.wait_ready()  # nothing is left of the old ones
        load.wait_more(20)
    assert load.wrong == []


def answered(reply: requests.Response) -> str:
    assert reply.status_code == 200, f"{reply.status_code} {reply.text}"
    return "200"


@pytest.mark.parametrize("worker", ["threads", "fast"])
def test_a_stop_lets_a_request_under_way_finish(worker: str, start: Start) -> None:
    """SIGTERM while a body is still coming: the reply is 200, and the server ends with code 0."""
    server = start(models.path("mlp"), WORKER_CLASS=worker, GRACEFUL_SECONDS="100")
    with connect(server) as client, client.makefile("rb") as stream:
        client.sendall(post(GOOD, extra="Expect: 100-continue\r\n")[: -len(GOOD)])
        assert read_reply(stream)[0] == 100  # so the body is being waited for
        client.sendall(GOOD[:-5])
        server.process.terminate()
        server.line("Handling signal: term")
        time.sleep(0.5)  # as a rule the worker has been told by then
        client.sendall(GOOD[-5:])
        assert read_reply(stream)[0] == 200
    assert server.stop() == 0


def test_idle_connections_are_closed_with_the_keep_alive_time(start: Start) -> None:
    """Whether a request ever came on it or not; one that is used stays."""
    server = start(models.path("mlp"), WORKER_CLASS="fast", KEEPALIVE_SECONDS="10")
    with connect(server) as silent, connect(server) as used, used.makefile("rb") as stream:
        for _ in range(12):  # longer than that in all, and far shorter than that between two
            used.sendall(post(GOOD))
            assert read_reply(stream)[0] == 200
            time.sleep(1)
        assert silent.recv(1) == b""
        assert stream.read(1) == b""
