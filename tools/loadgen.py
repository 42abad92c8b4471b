"""A load generator for machines without wrk: threads that post one body on kept connections, as fast as they can.

    .venv/bin/python tools/loadgen.py http://127.0.0.1:8000/predict --body body.json --connections 8 --seconds 5

Python itself is the limit at some thousand requests a second: latencies under such load are the generator's, not the
server's. CPU per request, which is counted on the server's side, stays right.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit


class Load(NamedTuple):
    """What came of a load."""

    requests: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float


_JSON = {"Content-Type": "application/json"}


def run(url: str, body: bytes, connections: int, seconds: float, headers: Mapping[str, str] = _JSON) -> Load:
    """Post `body` on so many connections for so long; replies other than 200 and broken connections count as failed."""
    parts = urlsplit(url)
    end = time.monotonic() + seconds
    taken: list[float] = []
    failed: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        while time.monotonic() < end:
            began = time.monotonic()
            try:
                connection.request("POST", parts.path, body, headers)
                reply = connection.getresponse()
                reply.read()
                if reply.status != 200:
                    failed.append(str(reply.status))
            except (OSError, http.client.HTTPException) as error:
                failed.append(repr(error))
                connection.close()
            taken.append(time.monotonic() - began)
        connection.close()

    began = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ordered = sorted(taken) or [0.0]
    share = [1e3 * ordered[min(len(ordered) - 1, int(part * len(ordered)))] for part in (0.5, 0.99)]
    return Load(len(taken), len(failed), time.monotonic() - began, share[0], share[1])


def count(text: str) -> int:
    """An argument that is a number of something, at least one."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def duration(text: str) -> float:
    """An argument in seconds, more than none."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return seconds


def is_http(url: str) -> bool:
    """Whether this is the address of a server that can be asked here, which is without TLS."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        return False


def main(argv: list[str] | None = None) -> int:
    """Run from a shell; 1 if a request failed."""
    parser = argparse.ArgumentParser(
        prog="loadgen.py",
        description="Post one body again and again.",
        epilog="example: .venv/bin/python tools/loadgen.py http://127.0.0.1:8000/predict --body body.json",
    )
    parser.add_argument("url")
    parser.add_argument("--body", type=Path, required=True, help="a file with the body")
    parser.add_argument("--connections", type=count, default=8)
    parser.add_argument("--seconds", type=duration, default=5.0)
    args = parser.parse_args(argv)
    if not is_http(args.url):
        parser.error(f"expected http://host:port/path, got {args.url!r}")
    try:
        body = args.body.read_bytes()
    except OSError as error:
        parser.error(f"--body: {args.body} cannot be read: {error.strerror}")
    told = run(args.url, body, args.connections, args.seconds)
    rate = told.requests / told.seconds
    sys.stdout.write(f"{told.requests} requests, {told.failed} failed, {rate:.0f}/s, ")
    sys.stdout.write(f"p50 {told.p50_ms:.2f} ms, p99 {told.p99_ms:.2f} ms\n")
    return 1 if told.failed else 0


if __name__ == "__main__":
    sys.exit(main())
