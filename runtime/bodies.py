"""Request bodies of an ASGI server: read whole, bounded in bytes and time, and all of a process's bodies together.

A thousand connections may each send sixteen megabytes at once, and a dyno has 512: large bodies wait for their turn,
unread, while the server stops reading from their sockets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from runtime.errors import GoneError, OverloadError, SlowBodyError, TooLargeError

Receive = Callable[[], Awaitable[dict[str, Any]]]
# Bodies up to this size take no turn.
_SMALL_BYTES = 64 << 10
# Of a body over the limit, this much more is read away, so that its sender gets to read the answer.
_DRAIN_BYTES = 64 << 20
# So many bodies of the largest size may be in memory at once.
_AT_ONCE = 4


class Bodies:
    """Reads bodies of at most `limit` bytes, each within `seconds`."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._free = _AT_ONCE * limit
        self._held: dict[Receive, int] = {}
        self._waiting: set[Receive] = set()
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def read(self, receive: Receive, headers: Mapping[str, str]) -> bytes:
        """The whole body. Its bytes count as held until `done(receive)`.

        Raises TooLargeError, SlowBodyError, OverloadError, GoneError.
        """
        announced = _length(headers, self._limit)
        if announced == 0:
            return b""
        if announced > self._limit and "expect" in headers:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._read(receive, announced)
        except TimeoutError:
            if announced > self._limit:
                raise self._too_large() from None
            if receive in self._waiting:
                raise OverloadError("too many large bodies are waiting; try again soon") from None
            raise SlowBodyError(f"the body did not come within {self._seconds:g} s") from None

    def done(self, receive: Receive) -> None:
        """The body that came from `receive` is no longer in memory: the next ones may come."""
        self._waiting.discard(receive)
        self._free += self._held.pop(receive, 0)
        while self._queue and self._free >= self._queue[0][0]:
            size, turn = self._queue.popleft()
            if not turn.done():
                self._free -= size
                turn.set_result(None)

    async def _turn(self, receive: Receive, size: int) -> None:
        """Wait until `size` bytes are free, first come first served, and hold them."""
        self._waiting.add(receive)
        if self._queue or self._free < size:
            turn = asyncio.get_running_loop().create_future()
            self._queue.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                # Its turn may have come in the same moment.
                if turn.done() and not turn.cancelled():
                    self._held[receive] = size
                raise
        else:
            self._free -= size
        self._held[receive] = size
        self._waiting.discard(receive)

    async def _read(self, receive: Receive, announced: int) -> bytes:
        chunks: list[bytes] = []
        size, refused = 0, announced > self._limit
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise GoneError("the client went away before its body was complete")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._limit:
                refused = True
                chunks.clear()
            if not refused:
                chunks.append(chunk)
                # Only now: whoever sends nothing more must not take the place of those who do.
                if size > _SMALL_BYTES and receive not in self._held:
                    await self._turn(receive, announced)
            if not message.get("more_body") or size > self._limit + _DRAIN_BYTES:
                break
        if refused:
            raise self._too_large()
        return b"".join(chunks)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"the body is larger than {self._limit} bytes (MAX_BODY_BYTES)")


def _length(headers: Mapping[str, str], limit: int) -> int:
    """The announced length; a chunked body, which announces none, counts as one of the largest size."""
    given = headers.get("content-length", "")
    if given.isdigit():
        return int(given)
    return limit if "transfer-encoding" in headers else 0
