"""A small pool of interpreters: each is used by one request at a time, and waiting is bounded in number and time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from runtime.errors import DeadlineError, OverloadError
from runtime.interpreter import Interpreter


class Pool:
    """Hands out interpreters, the most recently used first: its tensors are the ones still in the cache."""

    def __init__(self, interpreters: Sequence[Interpreter], max_waiting: int) -> None:
        # Taken from and given to without a lock: both are one step of a list.
        self._free = list(interpreters)
        self._max_waiting = max_waiting
        self._waiting = 0
        self._changed = threading.Condition()

    def take(self, deadline: float) -> Interpreter:
        """An interpreter, to be given back; `deadline` is a time of `time.monotonic`.

        Raises OverloadError when too many wait already, DeadlineError when none came free in time.
        """
        try:
            return self._free.pop()
        except IndexError:
            return self._wait(deadline)

    def give_back(self, interpreter: Interpreter) -> None:
        """The interpreter is free again."""
        self._free.append(interpreter)
        # Who waits has said so before looking a last time at what is free.
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def _wait(self, deadline: float) -> Interpreter:
        with self._changed:
            if self._waiting >= self._max_waiting:
                raise OverloadError("too many requests are waiting; try again soon")
            self._waiting += 1
            try:
                while True:
                    try:
                        return self._free.pop()
                    except IndexError:
                        left = deadline - time.monotonic()
                    if left <= 0:
                        raise DeadlineError("no interpreter came free in time")
                    self._changed.wait(left)
            finally:
                self._waiting -= 1
