"""Plain requests whose bodies come in pieces: however they are cut, and whatever comes beside them or does not."""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests import models
from tests.server.conftest import PATIENCE, Server, Start
from tests.server.raw import connect, post, read_reply

# Bodies of a megabyte, and some that never come.
pytestmark = pytest.mark.slow

LIMIT = 1 << 20
Connection = tuple[socket.socket, IO[bytes]]


def body_of(size: int) -> bytes:
    """Rows of JSON, `size` bytes of it."""
    rows = [[1.0, 2.0, 3.0, number % 7] for number in range((size - 50) // 24)]
    body = json.dumps({"instances": rows}).encode()
    return body + b" " * (size - len(body))


@pytest.fixture(scope="module")
def server(start_shared: Start) -> Server:
    """One worker: whatever holds it up, holds up all."""
    return start_shared(models.path("mlp"), WORKER_CLASS="fast", MAX_BODY_BYTES=str(LIMIT), MAX_INSTANCES="1000000")


@contextmanager
def talk(server: Server) -> Iterator[Connection]:
    with connect(server) as client, client.makefile("rb") as stream:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client, stream


@pytest.mark.parametrize("size", [100, 60_000, 66_559, 66_560, 66_561, 300_000, LIMIT])
def test_however_a_body_is_cut_the_answer_is_the_same(server: Server, size: int) -> None:
    """In two pieces or many, quickly or with rests; the connection serves on after each."""
    raw = post(body_of(size))
    head = len(raw) - size
    want = server.post("/predict", data=raw[head:]).content
    cuts = random.Random(size)
    with talk(server) as (client, stream):
        for count, rest in ((1, 0.0), (1, 0.3), (5, 0.01), (40, 0.0), (3, 0.3)):
            ends = sorted(cuts.randrange(head, len(raw)) for _ in range(count))
            for start, end in zip([0, *ends], [*ends, len(raw)], strict=True):
                client.sendall(raw[start:end])
                time.sleep(rest)
            status, _, body = read_reply(stream)
            assert (status, body) == (200, want)


@pytest.mark.parametrize("first", [80, 300_000])
@pytest.mark.parametrize("second", [80, 300_000])
def test_what_follows_a_body_at_once_is_the_next_request(server: Server, first: int, second: int) -> None:
    """A client need not wait for a reply; the next request's bytes are not lost, nor taken for the body's."""
    raw = [post(body_of(size)) for size in (first, second, 120)]
    with talk(server) as (client, stream):
        client.sendall(raw[0][:-10])
        time.sleep(0.05)
        client.sendall(raw[0][-10:] + raw[1][: second // 2])
        time.sleep(0.05)
        client.sendall(raw[1][second // 2 :] + raw[2])
        got = [json.loads(read_reply(stream)[2])["predictions"] for _ in raw]
    assert [len(rows) for rows in got] == [len(json.loads(r.split(b"\r\n\r\n", 1)[1])["instances"]) for r in raw]


@pytest.mark.parametrize("size", [1000, 500_000])
def test_a_body_that_stops_coming_is_408(start: Start, size: int) -> None:
    """Of whatever size."""
    server = start(models.path("mlp"), WORKER_CLASS="fast", BODY_SECONDS="1")
    with talk(server) as (client, stream):
        client.sendall(post(body_of(size))[: -size // 2])
        status, headers, _ = read_reply(stream)
        assert (status, headers["connection"]) == (408, "close")
        assert stream.read() == b""


@pytest.mark.parametrize("size", [1000, 500_000])
def test_while_a_body_does_not_come_the_others_are_answered(start: Start, size: int) -> None:
    """It is waited for far longer than they take."""
    server = start(models.path("mlp"), WORKER_CLASS="fast", BODY_SECONDS="3600")
    with talk(server) as (client, _):
        client.sendall(post(body_of(size))[: -size // 2])
        assert server.post("/predict", data=body_of(1000)).status_code == 200


def test_large_bodies_wait_for_their_turn(start: Start) -> None:
    """Four of the largest size are let in, the fifth is not; whoever asks little is answered all the while."""
    server = start(models.path("mlp"), WORKER_CLASS="fast", MAX_BODY_BYTES=str(LIMIT), BODY_SECONDS="20")
    raw = post(body_of(LIMIT))
    with ExitStack() as stack:
        talks = [stack.enter_context(talk(server)) for _ in range(4)]
        for client, _ in talks:
            client.sendall(raw[:-100_000])
        time.sleep(10)  # so long the fifth has for its rest once they are refused
        fifth, told = stack.enter_context(talk(server))
        fifth.sendall(raw[:100_000])
        assert server.post("/predict", data=body_of(1000)).status_code == 200
        assert sorted(read_reply(stream)[0] for _, stream in talks) == [408] * 4
        # Its turn came when they were refused, or else it had to wait for too long.
        fifth.sendall(raw[100_000:])
        assert read_reply(told)[0] in (200, 503)
    assert server.post("/predict", data=raw[-LIMIT:]).status_code == 200


def test_clients_that_leave_in_the_middle_are_counted(start: Start) -> None:
    """As gone, whatever the size of their bodies; nothing of them stays behind."""
    server = start(models.path("mlp"), WORKER_CLASS="fast")
    for size in (1000, 300_000):
        for _ in range(5):
            with talk(server) as (client, _):
                client.sendall(post(body_of(size))[:-10])
                time.sleep(0.05)
    deadline = time.monotonic() + PATIENCE
    while not re.search(r'"GoneError".* 10', text := server.get("/metrics").text):
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    assert "Traceback" not in server.log


def test_nobody_sends_a_large_body_to_be_refused(start: Start) -> None:
    """Without a key, or over the limit, the refusal comes before the body has."""
    server = start(models.path("mlp"), WORKER_CLASS="fast", API_KEYS="someone:0123456789abcdef")
    with talk(server) as (client, stream):
        client.sendall(post(body_of(300_000))[:100_000])
        assert read_reply(stream)[0] == 401
    for raw in (post(b"{}"), b"GET /v1/models/mlp HTTP/1.1\r\nHost: x\r\n\r\n"):
        with talk(server) as (client, stream):
            client.sendall(raw)
            status, headers, _ = read_reply(stream)
            assert (status, headers["connection"]) == (401, "close")
            assert stream.read() == b"", "the end that was announced does not come"


def test_slow_bodies_outlive_the_keep_alive_time(start: Start) -> None:
    """A connection is not idle while a body comes."""
    server = start(models.path("mlp"), WORKER_CLASS="fast", KEEPALIVE_SECONDS="6")
    raw = post(body_of(200_000))
    with talk(server) as (client, stream):
        for start_of in range(0, len(raw), len(raw) // 4):
            client.sendall(raw[start_of : start_of + len(raw) // 4])
            time.sleep(2)
        assert read_reply(stream)[0] == 200


def test_large_bodies_of_many_clients_at_once(server: Server) -> None:
    """Each gets its own answer: buffers are not mixed up."""
    with ExitStack() as stack:
        talks = [stack.enter_context(talk(server)) for _ in range(12)]
        raws = [post(json.dumps({"instances": [[n, 2, 3, 4]] * 8000}).encode()) for n in range(len(talks))]
        for part in range(8):
            for (client, _), raw in zip(talks, raws, strict=True):
                step = len(raw) // 8 + 1
                client.sendall(raw[part * step : (part + 1) * step])
        for number, (_, stream) in enumerate(talks):
            status, _, body = read_reply(stream)
            row = server.post("/predict", json={"instances": [[number, 2, 3, 4]]}).json()
            assert status == 200
            assert json.loads(body)["predictions"][-1] == pytest.approx(row["predictions"][0], rel=1e-5)


def test_a_fault_in_the_lane_is_500_and_the_end_of_the_connection(start: Start, tmp_path: Path) -> None:
    """It would be ours, and is put there by the user's hooks; nobody waits for a reply that does not come."""
    hooks = tmp_path / "hooks.py"
    hooks.write_text(
        "import runtime.asgi\n\n\ndef after(outputs):\n    return outputs\n\n\n"
        "async def broken(lane, request, receive):\n    raise RuntimeError('a fault')\n\n\n"
        "runtime.asgi.Lane.serve = broken\n"
    )
    server = start(models.path("mlp"), WORKER_CLASS="fast", MODEL_HOOKS=str(hooks))
    with talk(server) as (client, stream):
        client.sendall(post(body_of(300_000)))
        status, headers, body = read_reply(stream)
        assert (status, headers["connection"]) == (500, "close")
        assert b"its log says why" in body
        assert stream.read() == b""
    assert server.get("/health").status_code == 200
    server.line("RuntimeError: a fault")
