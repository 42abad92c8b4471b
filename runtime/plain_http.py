"""The plainest HTTP/1.1 requests, read at once: what clients and routers send nine times in ten.

`parse` takes a request that is alone and beyond doubt, and leaves every other to the server's real parser. What it
takes is a subset on which no two parsers differ: no chunks, no repeated or underscored header names, no folded lines,
no bare line feeds, at most the announced number of body bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from runtime.core import Request

# RFC 9112: request line, then field lines of RFC 9110 tokens and printable values.
_HEAD = re.compile(
    rb"(GET|POST) (/[!\x22$&-~]*) HTTP/1\.1\r\n(?:[!#$%&'*+\-.^`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n){1,60}\r\n"
)
_LONGEST = 4000
# Headers that ask for more than a reply: none of the server's business is decided here.
_SPECIAL = frozenset(("transfer-encoding", "expect", "upgrade", "te", "trailer", "http2-settings", "proxy-connection"))


def parse(data: bytes) -> tuple[Request, int] | None:
    """The request and the announced size of its body, if `data` is one of the plainest kind; else None.

    Its head is there; of its body perhaps only a part.
    """
    match = _HEAD.match(data)
    if match is None or match.end() > _LONGEST:
        return None
    size = match.end()
    lines = data[:size].decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" \t")
    if len(headers) != len(lines) - 3 or "host" not in headers or not _SPECIAL.isdisjoint(headers):
        return None
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and len(length) < 19 and len(data) - size <= int(length)):
        return None
    if headers.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    method, _, target = lines[0][:-9].partition(" ")
    path, _, query = target.partition("?")
    if path.startswith("//"):
        return None
    return Request(method, path, headers, data[size:], query_of(query)), int(length)


class Reader:
    """`parse` for one connection, on which clients send the same head again and again."""

    def __init__(self) -> None:
        self._head = b""
        self._length = 0
        self._told: tuple[str, str, Mapping[str, str], Mapping[str, str]] = ("", "", {}, {})

    def read(self, data: bytes) -> tuple[Request, int] | None:
        """See `parse`."""
        size = len(self._head)
        if size and len(data) <= size + self._length and data.startswith(self._head):
            method, path, headers, query = self._told
            return Request(method, path, headers, data[size:], query), self._length
        found = parse(data)
        if found is not None:
            request, self._length = found
            self._head = data[: len(data) - len(request.body)]
            self._told = request.method, request.path, request.headers, request.query
        return found


def query_of(query: str) -> dict[str, str]:
    """The first value of each query parameter."""
    found: dict[str, str] = {}
    if query:
        for name, value in parse_qsl(query, keep_blank_values=True):
            found.setdefault(name, value)
    return found
