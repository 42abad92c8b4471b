"""A plain request whose body comes in pieces: put together where it is to stand, and answered as a whole.

asyncio reads a body into new bytes, gunicorn's parser copies them into its buffer and out again, no more than 256 KB
wait for the application, and each piece wakes the loop: up to a millisecond for a picture of 600 KB. Here the kernel
writes into a buffer of the announced size, and is asked to wake the loop only when there is much to take.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Any

# So much may come before the body has had its turn (`runtime.bodies`).
FIRST_BYTES = 65 << 10
# How long a body that is smaller is waited for before anybody else is told of it.
_BRIEF_SECONDS = 0.2
# The kernel wakes the loop when this much has come, or all.
_WAKE_BYTES = 512 << 10


class Collector(asyncio.BufferedProtocol):
    """The connection's protocol while a body of `size` bytes comes, and until the request is answered.

    `begun` is what has come of it already.
    """

    def __init__(self, transport: Any, begun: bytes, size: int) -> None:
        self.size = size
        # Of the next request, which a client may send before it has read this one's reply.
        self.extra = b""
        self._transport = transport
        # Room for what may come now: whoever only announces a large body gets none for it.
        self._room = bytearray(min(size, max(len(begun), FIRST_BYTES)))
        self._room[: len(begun)] = begun
        self._filled = len(begun)
        self._given = 0
        self._change: asyncio.Future[None] | None = None
        self._spill = bytearray(0)
        self._gone = False
        self._hasty = sys.platform == "linux"  # elsewhere the threshold may be more than the kernel keeps

    def begin(self, ready: Callable[[], None], lost: Callable[[Exception | None], None]) -> None:
        """Take the connection over.

        `ready` is called once: when the body is whole, when it needs somebody who calls `receive` to go on, or when it
        takes its time. `lost` is called when the connection is gone.
        """
        self._ready: Callable[[], None] | None = ready
        self._lost = lost
        self._timer = asyncio.get_running_loop().call_later(_BRIEF_SECONDS, self._slow)
        self._transport.set_protocol(self)
        self._look()

    @property
    def body(self) -> bytes | None:
        """The whole body, if it is there and small."""
        return bytes(self._room) if self._filled == self.size else None

    def get_buffer(self, _hint: int) -> memoryview | bytearray:
        """Where the next bytes go."""
        if not self._is_full():
            return memoryview(self._room)[self._filled :]
        self._spill = bytearray(FIRST_BYTES)
        return self._spill

    def buffer_updated(self, count: int) -> None:
        """Bytes have come."""
        if self._spill:
            self.extra += self._spill[:count]
            self._spill = bytearray(0)
            self._transport.pause_reading()
        else:
            self._filled += count
            self._look()

    def connection_lost(self, problem: Exception | None) -> None:
        """The client is gone."""
        self._gone = True
        self._timer.cancel()
        self._wake()
        self._lost(problem)

    async def receive(self) -> dict[str, Any]:
        """As an ASGI server's: the body, in two pieces at most, then the client's leaving."""
        if self._given and self._given < self.size:
            self._room, self._filled = bytearray(self.size - self._given), 0
            self._look()
            self._transport.resume_reading()
        while not self._gone and (self._given == self.size or not self._is_full()):
            self._change = asyncio.get_running_loop().create_future()
            await self._change
        if self._gone:
            return {"type": "http.disconnect"}
        self._given += len(self._room)
        return {"type": "http.request", "body": self._room, "more_body": self._given < self.size}

    def end(self, protocol: asyncio.Protocol) -> None:
        """The request is answered: the connection is `protocol`'s again."""
        self._timer.cancel()
        if not self._gone:
            self._transport.set_protocol(protocol)
            self._transport.resume_reading()

    def _is_full(self) -> bool:
        return self._filled == len(self._room)

    def _look(self) -> None:
        missing = len(self._room) - self._filled
        if missing:
            self._set_threshold(min(missing, _WAKE_BYTES))
            return
        self._set_threshold(1)
        if self._given + len(self._room) < self.size:
            self._transport.pause_reading()
        self._wake()

    def _wake(self) -> None:
        if self._change and not self._change.done():
            self._change.set_result(None)
        if self._ready:
            ready, self._ready = self._ready, None
            ready()

    def _slow(self) -> None:
        self._set_threshold(1)
        self._hasty = False
        self._wake()

    def _set_threshold(self, size: int) -> None:
        if self._hasty:
            with contextlib.suppress(OSError):
                own = self._transport.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
