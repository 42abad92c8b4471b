"""Requests as bytes, over sockets: for what no client library would send."""

from __future__ import annotations

import socket
from typing import IO
from urllib.parse import urlsplit

from tests.server.conftest import PATIENCE, Server


def connect(server: Server, data: bytes = b"") -> socket.socket:
    """A connection to the server, on which `data` has been sent."""
    parts = urlsplit(server.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE)
    connection.sendall(data)
    return connection


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
    with connect(server, raw) as client, client.makefile("rb") as stream:
        return read_reply(stream, head=head)


def post(body: bytes, path: str = "/predict", *, extra: str = "") -> bytes:
    """A plain request."""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body
