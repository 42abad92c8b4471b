"""What this process tells the C library and Python about memory, so that a small machine holds more workers.

tame      in the master, once: large blocks go back to the system when they are freed
settle    in the master, before each fork: the workers share what is loaded, page for page
give_back in a worker, a moment after large requests
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import Any

# From <malloc.h> of the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# Blocks from this size on are mapped by themselves. Left alone, the library raises the limit with the largest block it
# has seen, and then keeps such blocks for ever.
_LARGE_BYTES = 4 << 20


def tame() -> None:
    """Settings of malloc, inherited by every worker; without effect on another C library."""
    with contextlib.suppress(OSError, AttributeError):
        library: Any = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)
        # Each thread that computes would get a heap of its own, and each heap keeps what it once held.
        library.mallopt(_M_ARENA_MAX, 2)


def settle(*, started: bool = False) -> None:
    """Collect what is garbage, then take what is left out of the collector's rounds, which would write to its pages.

    `started`: of what a start brings next to nothing is garbage, and looking for it would take 20 ms.
    """
    if not started:
        gc.collect()
    give_back()
    gc.freeze()
    gc.enable()  # gunicorn.conf.py has turned it off
    # A request leaves next to nothing to collect: rounds after every few hundred objects cost more than they find.
    gc.set_threshold(10_000, 20, 20)


def give_back() -> None:
    """Return free memory to the system; takes a millisecond or two."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
