"""Both ways of serving answer alike: gthread with Flask, and the fast lane, asked the same over raw sockets."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import pytest
import requests

from tests import models
from tests.server.conftest import Server, Start

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
    """One worker each, small limits, short times."""
    options = {"MAX_BODY_BYTES": "100000", "BODY_SECONDS": "2", "CORS_ORIGINS": "https://page.example"}
    return Lanes(*(start_shared(models.path("mlp"), WORKER_CLASS=worker, **options) for worker in ("threads", "fast")))


def connect(server: Server) -> socket.socket:
    """A connection to the server."""
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def read_reply(stream: IO[bytes], *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Status, headers by lower-case name, and body of the next reply on a connection's file."""
    line = stream.readline()
    if not line:
        raise EOFError
    status = int(line.split()[1])
    headers: dict[str, str] = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        headers[name.decode().lower()] = value.strip().decode()
    size = 0 if head or status in (100, 204) else int(headers.get("content-length", 0))
    return status, headers, stream.read(size)


def ask(server: Server, raw: bytes, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, read one reply."""
    with connect(server) as client, client.makefile("rb") as stream:
        client.sendall(raw)
        return read_reply(stream, head=head)


def post(body: bytes, path: str = "/predict", *, extra: str = "") -> bytes:
    """A plain request."""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


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
            assert status >= 400
            assert fast_status >= 400
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


def test_a_body_that_does_not_come_is_a_408_and_holds_nobody_up(lanes: Lanes) -> None:
    """Twenty clients that send half a body: /health answers meanwhile, and each is told in the end."""
    for server in lanes:
        with connect(server) as first:
            first.sendall(post(GOOD)[:-5])
            others = [connect(server) for _ in range(20)] if server is lanes.fast else []
            for other in others:
                other.sendall(post(GOOD)[:-5])
            assert server.get("/health").status_code == 200
            for client in (first, *others):
                with client.makefile("rb") as stream:
                    assert read_reply(stream)[0] == 408
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


_HELD = """
import time
from pathlib import Path

FOLDER = Path({folder!r})


def before(inputs):
    until = time.monotonic() + 10
    while (FOLDER / "hold").exists():
        (FOLDER / "entered").touch()
        if time.monotonic() > until:
            raise TimeoutError("nobody let it go on")
        time.sleep(0.01)
    return inputs
"""


def test_health_answers_while_long_predictions_run(start: Start, tmp_path: Path) -> None:
    """A prediction that takes its time, and those behind it, keep to their threads: /health is answered meanwhile.

    The prediction goes on only after /health has answered. In the event loop it would wait in vain, and fail.
    """
    hooks = tmp_path / "hooks.py"
    hooks.write_text(_HELD.format(folder=str(tmp_path)))
    server = start(models.path("mlp"), WORKER_CLASS="fast", WEB_THREADS="1", MODEL_HOOKS=str(hooks))
    hold = tmp_path / "hold"
    hold.touch()
    with ThreadPoolExecutor(4) as clients:
        replies = [clients.submit(server.post, "/predict", data=GOOD) for _ in range(4)]
        try:
            deadline = time.monotonic() + 20
            while not (tmp_path / "entered").exists():
                assert time.monotonic() < deadline, server.log
                time.sleep(0.01)
            for _ in range(5):
                assert server.get("/health").status_code == 200
        finally:
            hold.unlink()
        assert [reply.result().status_code for reply in replies] == [200] * 4, server.log


@pytest.mark.slow
@pytest.mark.parametrize("worker", ["threads", "fast"])
def test_a_roll_under_load_loses_no_request(worker: str, start: Start) -> None:
    """SIGHUP again and again while clients ask on kept connections: every request is answered, 200 each."""
    server = start(models.path("mlp"), WORKER_CLASS=worker, WEB_CONCURRENCY="2")
    stop = threading.Event()
    problems: list[str] = []
    counts: list[int] = []

    def client() -> None:
        count = 0
        with requests.Session() as session:
            while not stop.is_set():
                try:
                    reply = session.post(server.url + "/predict", data=GOOD, timeout=20)
                    if reply.status_code != 200:
                        problems.append(f"{reply.status_code} {reply.text}")
                except requests.RequestException as error:
                    problems.append(repr(error))
                count += 1
        counts.append(count)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    for _ in range(3):
        time.sleep(1)
        server.process.send_signal(signal.SIGHUP)
    time.sleep(3)
    stop.set()
    for thread in clients:
        thread.join()
    assert not problems
    assert min(counts) > 20


@pytest.mark.parametrize("worker", ["threads", "fast"])
def test_a_stop_lets_a_request_under_way_finish(worker: str, start: Start) -> None:
    """SIGTERM while a body is still coming: the reply is 200, and the server ends with code 0."""
    server = start(models.path("mlp"), WORKER_CLASS=worker)
    raw = post(GOOD)
    with connect(server) as client, client.makefile("rb") as stream:
        client.sendall(raw[:-5])
        time.sleep(0.3)
        server.process.terminate()
        time.sleep(0.5)
        client.sendall(raw[-5:])
        assert read_reply(stream)[0] == 200
    assert server.stop() == 0


def test_idle_connections_are_closed_with_the_keep_alive_time(start: Start) -> None:
    """Whether a request ever came on it or not; one that is used stays."""
    server = start(models.path("mlp"), WORKER_CLASS="fast", KEEPALIVE_SECONDS="1")
    with connect(server) as silent, connect(server) as used, used.makefile("rb") as stream:
        for _ in range(4):
            used.sendall(post(GOOD))
            assert read_reply(stream)[0] == 200
            time.sleep(0.5)
        silent.settimeout(5)
        assert silent.recv(1) == b""
        used.settimeout(5)
        assert stream.read(1) == b""
