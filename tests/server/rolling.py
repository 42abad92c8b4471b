"""What the tests of new versions share: publish to a host, and wait until the server says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests import published
from tests.hosts import Host
from tests.server.conftest import PATIENCE, Server

INDEX = "/digits/index.json"
ROW = [[1.0, 2.0, 3.0, 4.0]]
ADMIN = {"Authorization": "Bearer 0123456789abcdef"}


def publish(host: Host, versions: dict[str, bytes], **channels: str) -> None:
    host.files |= published.files(versions, channels)


def health(server: Server) -> dict[str, Any]:
    told: dict[str, Any] = server.get("/health").json()
    return told


def wait_until(server: Server, holds: Callable[[dict[str, Any]], bool], seconds: float = PATIENCE) -> dict[str, Any]:
    """Wait until each worker's /health says so, and those that were replaced are gone."""
    told: dict[str, Any] = server.wait_for(lambda reply: holds(reply.json()), seconds).json()
    return told


def serves(version: str) -> Callable[[dict[str, Any]], bool]:
    return lambda told: bool(told["version"] == version)
