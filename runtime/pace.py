"""How long a request will take, guessed from what its like took: the same route and body of about the same size."""

from __future__ import annotations

# Requests that took at most this many seconds are answered in the event loop; a thread costs a tenth of a millisecond.
SHORT_SECONDS = 0.004
# A request of this length is enough to have the next of its kind in a thread; of shorter ones it takes several.
_LONG_SECONDS = 10 * SHORT_SECONDS
_WEIGHT = 0.1
_MOST_KINDS = 2048


class Pace:
    """A moving average of seconds by kind of request: (path, number of bits of the body's size)."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, int], float] = {}

    def is_short(self, path: str, size: int) -> bool:
        """Whether such a request may hold up all others. A kind not seen yet is not short."""
        return self._seconds.get((path, size.bit_length()), 1.0) <= SHORT_SECONDS

    def note(self, path: str, size: int, seconds: float) -> None:
        """A request of this path and body size took this long."""
        kind = (path, size.bit_length())
        before = self._seconds.get(kind)
        if before is None:
            if len(self._seconds) >= _MOST_KINDS:
                self._seconds.clear()
            self._seconds[kind] = seconds
        else:
            # One that took long may only have waited for a processor: on a busy machine a matter of milliseconds.
            self._seconds[kind] = before + _WEIGHT * (min(seconds, _LONG_SECONDS) - before)
