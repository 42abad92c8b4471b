"""What the tests of new versions share: publish to a host, and wait until the server says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests import published
from tests.hosts import Host
from tests.server.conftest import Server

INDEX = "/digits/index.json"
ROW = [[1.0, 2.0, 3.0, 4.0]]
ADMIN = {"Authorization": "Bearer 0123456789abcdef"}


def publish(host: Host, versions: dict[str, bytes], **channels: str) -> None:
    host.files |= published.files(versions, channels)


def health(server: Server) -> dict[str, Any]:
    told: dict[str, Any] = server.get("/health").json()
    return told


def wait_until(server: Server, holds: Callable[[dict[str, Any]], bool], seconds: float = 30) -> dict[str, Any]:
    """Wait until /health says so, at ten askings in a row: each worker is asked."""
    deadline = time.monotonic() + seconds
    in_a_row = 0
    while in_a_row < 10:
        told = health(server)
        in_a_row = in_a_row + 1 if holds(told) else 0
        assert time.monotonic() < deadline, f"{told}\n{server.log}"
        time.sleep(0 if in_a_row else 0.1)
    return told


def serves(version: str) -> Callable[[dict[str, Any]], bool]:
    return lambda told: bool(told["version"] == version)
