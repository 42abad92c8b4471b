"""How long a server that gives each connection a thread waits for a slow client: in all, not between two bytes.

A socket's own timeout begins anew with every byte, so a client that sends one now and then holds its thread for hours.
Here one thread in each process looks twice a second which sockets are overdue and shuts them for reading: whoever waits
for their data then sees its end.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

_LOOK_SECONDS = 0.5


class Patience:
    """Sockets that are being read from, each with the time by which that must be over."""

    def __init__(self) -> None:
        self._due: dict[socket.socket, float] = {}
        self._process = 0

    def begin(self, connection: socket.socket, seconds: float) -> None:
        """Read from this socket for so many seconds and no longer."""
        self._due[connection] = time.monotonic() + seconds
        if self._process != os.getpid():  # a thread does not survive a fork
            self._process = os.getpid()
            threading.Thread(target=self._watch, daemon=True, name="patience").start()

    def end(self, connection: socket.socket) -> bool:
        """Reading is over; whether it was ended for being overdue."""
        return self._due.pop(connection, None) is None

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            for connection, due in list(self._due.items()):
                if now > due and self._due.pop(connection, None) is not None:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RD)
