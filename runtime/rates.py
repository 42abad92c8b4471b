"""How often each client may ask, counted over all workers: one number a client in memory that they share.

The number is the time at which the client's budget is full again (the generic cell rate algorithm): each request moves
it on by `seconds / requests`, and one that would move it more than `seconds` ahead is refused. A client that was idle
may so send its whole budget at once.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import tempfile
import threading
import time
import zlib
from pathlib import Path

from runtime.errors import RateLimitError

# Clients without a name share this many cells by their hash; two in one cell share its budget.
_CELLS = 4096
_BYTES = 8


class Limiter:
    """At most `requests` in `seconds` for each client. Made before the workers are forked, then used by all."""

    def __init__(self, requests: int, seconds: float, names: tuple[str, ...] = ()) -> None:
        self._names = {name: _CELLS + index for index, name in enumerate(names)}
        self._step, self._span, self._told = seconds / requests, seconds, f"{requests} requests in {seconds:g} s"
        self._file, path = tempfile.mkstemp(prefix="dynolite-rates-")
        Path(path).unlink()
        size = (_CELLS + len(names)) * _BYTES
        os.truncate(self._file, size)
        self._memory = mmap.mmap(self._file, size)
        self._times = memoryview(self._memory).cast("d")
        self._threads = threading.Lock()

    def take(self, client: str, now: float | None = None) -> None:
        """Count one request of this client; RateLimitError when it has used up its budget. `now` is for tests."""
        cell = self._names.get(client)
        if cell is None:
            cell = zlib.crc32(client.encode("utf-8", "surrogateescape")) % _CELLS
        now = time.monotonic() if now is None else now
        # A file lock is let go of when its process dies; it does not know threads, so they have their own.
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _BYTES, cell * _BYTES)
            try:
                following = max(self._times[cell], now) + self._step
                late = following - now - self._span
                if late <= 1e-9:
                    self._times[cell] = following
                    return
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _BYTES, cell * _BYTES)
        raise RateLimitError(f"too many requests: {self._told} are allowed (RATE_LIMIT)", max(1, math.ceil(late)))
