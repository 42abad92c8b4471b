"""A small pool of interpreters: each is used by one request at a time, and waiting is bounded in number and time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from runtime.errors import DeadlineError, OverloadError
from runtime.interpreter import Interpreter


class Pool:
    """Hands out interpreters, the most recently used first: its tensors are the ones still in the cache."""

    def __init__(self, interpreters: Sequence[Interpreter], max_waiting: int) -> None:
        self._free = list(interpreters)
        self._max_waiting = max_waiting
        self._waiting = 0
        self._changed = threading.Condition()

    @contextmanager
    def lease(self, deadline: float) -> Iterator[Interpreter]:
        """An interpreter for the length of the block; `deadline` is a time of `time.monotonic`.

        Raises OverloadError when too many wait already, DeadlineError when none came free in time.
        """
        interpreter = self._take(deadline)
        try:
            yield interpreter
        finally:
            with self._changed:
                self._free.append(interpreter)
                self._changed.notify()

    def _take(self, deadline: float) -> Interpreter:
        with self._changed:
            if not self._free:
                if self._waiting >= self._max_waiting:
                    raise OverloadError("too many requests are waiting; try again soon")
                self._waiting += 1
                try:
                    free = self._changed.wait_for(lambda: self._free, deadline - time.monotonic())
                finally:
                    self._waiting -= 1
                if not free:
                    raise DeadlineError("no interpreter came free in time")
            return self._free.pop()
