"""Hostile requests: one file each in `requests/`, sent as they are to both ways of serving.

    # 400 nested                  the status, and what the error's words match (a regular expression)
    # model: mlp                  which model of the catalogue is asked
    POST /predict                 then headers, an empty line, and the body as a Python byte string
    ...                           `<<[ * 900>>` stands for 900 times `[`

None may be answered with anything else, hang, or take the server with it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import models
from tests.server.conftest import Server, Start
from tests.server.raw import connect

FILES = sorted((Path(__file__).parent / "requests").glob("*.txt"))


@dataclass(frozen=True)
class Hostile:
    """One file, read."""

    status: int
    told: str
    model: str
    line: str
    headers: list[str]
    body: bytes


def read(path: Path) -> Hostile:
    """Its parts, unfolded."""
    first, second, line, *rest = path.read_text("utf-8").removesuffix("\n").split("\n")
    blank = rest.index("")
    status, _, told = first.removeprefix("# ").partition(" ")
    body = "".join(rest[blank + 1 :])
    return Hostile(
        int(status), told, second.removeprefix("# model: "), _unfold(line).decode(), rest[:blank], _unfold(body)
    )


def _unfold(text: str) -> bytes:
    text = re.sub(r"<<(.+?) \* (\d+)>>", lambda match: match[1] * int(match[2]), text)
    found: bytes = ast.literal_eval('b"""' + text.replace('"', '\\"') + '"""')
    return found


@pytest.fixture(scope="module", params=["fast", pytest.param("threads", marks=pytest.mark.slow)])
def serve(start_shared: Start, request: pytest.FixtureRequest) -> Callable[[str], Server]:
    """`serve("mlp") -> Server`, in both ways of serving."""
    running: dict[str, Server] = {}

    def begin(name: str) -> Server:
        if name not in running:
            running[name] = start_shared(models.path(name), WORKER_CLASS=str(request.param))
        return running[name]

    return begin


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_hostile_request_is_answered_as_its_file_says(path: Path, serve: Callable[[str], Server]) -> None:
    """The status and the words; the same worker answers /health afterwards."""
    hostile = read(path)
    server = serve(hostile.model)
    head = [f"{hostile.line} HTTP/1.1", "Host: x", f"Content-Length: {len(hostile.body)}", "Connection: close"]
    raw = "\r\n".join([*head, *hostile.headers, "", ""]).encode() + hostile.body
    with connect(server, raw) as connection, connection.makefile("rb") as stream:
        reply = stream.read()
    status, body = int(reply.split(b" ", 2)[1]), reply.partition(b"\r\n\r\n")[2].decode()
    assert status == hostile.status, body[:500]
    assert re.search(hostile.told, body), body[:500]
    assert len(body) < 2000
    assert server.get("/health").status_code == 200


def test_no_worker_was_lost(serve: Callable[[str], Server]) -> None:
    """All of that was answered by the processes that were started."""
    assert "Worker exiting" not in serve("mlp").log
    assert "Traceback" not in serve("mlp").log
