"""Numbers by key, in memory that all worker processes share: each adds in a slot of its own, anyone reads the sums.

    slot = [ process id | bytes of keys | key, key, ... | float64, float64, ... ]     key = its length, its width, UTF-8

One process writes a slot, so nothing is locked between processes. A slot outlives its worker, and its next worker
counts on. A process that was given no slot counts in memory of its own.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from typing import Any

_SLOT, _KEYS = 1 << 16, 24 << 10  # bytes of a slot, and of its part that holds keys
_VALUES = (_SLOT - _KEYS) // 8
# The first numbers belong to no key: what finds no room is written there. No key may be wider.
_WIDEST = 128
_HEAD = 16  # two numbers of 8 bytes: the process, and how many bytes the keys take
_NUMBER, _ENTRY = struct.Struct("=Q"), struct.Struct("=HH")


class Counters:
    """Shared counters. Make it before the workers are forked, and `attach` in each."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots
        self._memory = mmap.mmap(-1, slots * _SLOT)
        self._private: mmap.mmap | None = None
        self.lock = threading.Lock()
        self._open(self._memory, 0)
        os.register_at_fork(after_in_child=self._go_private)

    def attach(self, slot: int) -> None:
        """Count in this slot from now on; no other living process may have it."""
        with self.lock:
            self._private = None
            self._open(self._memory, slot)
            _NUMBER.pack_into(self._memory, slot * _SLOT, os.getpid())

    def detach(self, slot: int) -> None:
        """In any process: the slot's worker has ended. Its counts stay."""
        _NUMBER.pack_into(self._memory, slot * _SLOT, 0)

    def processes(self) -> dict[int, int]:
        """The process of each slot that has one."""
        found = {slot: _NUMBER.unpack_from(self._memory, slot * _SLOT)[0] for slot in range(self.slots)}
        return {slot: process for slot, process in found.items() if process}

    def index(self, key: str, width: int = 1) -> int:
        """Where `width` numbers of this key begin in `values`: the same key, the same place. Call it under `lock`.

        The first place, which nobody reads, when the slot is full.
        """
        found = self._indices.get(key)
        return self._add(key, width) if found is None else found

    def sums(self) -> dict[str, list[float]]:
        """Every key with its numbers, added up over all slots."""
        totals: dict[str, list[float]] = {}
        memories = [(self._memory, slot) for slot in range(self.slots)]
        if self._private is not None:
            memories = [(self._private, 0)]
        for memory, slot in memories:
            values = memoryview(memory)[slot * _SLOT + _KEYS : (slot + 1) * _SLOT].cast("d")
            for key, (at, width) in _read_keys(memory, slot).items():
                have = totals.setdefault(key, [0.0] * width)
                totals[key] = [a + b for a, b in zip(have, values[at : at + width], strict=False)]
        return totals

    def _open(self, memory: mmap.mmap, slot: int) -> None:
        self._base, self._at = memory, slot * _SLOT
        # Added to in place by whoever holds `lock`.
        self.values = memoryview(memory)[self._at + _KEYS : self._at + _SLOT].cast("d")
        places = _read_keys(memory, slot)
        self._indices = {key: at for key, (at, _) in places.items()}
        self._next = max((at + width for at, width in places.values()), default=_WIDEST)
        # For callers: places by keys that are cheaper to make than strings.
        self.places: dict[Any, tuple[int, int, int]] = {}

    def _add(self, key: str, width: int) -> int:
        if width > _WIDEST:
            raise ValueError(f"at most {_WIDEST} numbers a key, got {width}")
        name = key.encode()[:1000]
        (used,) = _NUMBER.unpack_from(self._base, self._at + 8)
        start = self._at + _HEAD + used
        end = start + _ENTRY.size + len(name)
        if end > self._at + _KEYS or self._next + width > _VALUES:
            return 0
        _ENTRY.pack_into(self._base, start, len(name), width)
        self._base[start + _ENTRY.size : end] = name
        # Readers see the key once it is whole.
        _NUMBER.pack_into(self._base, self._at + 8, used + _ENTRY.size + len(name))
        self._indices[key], self._next = self._next, self._next + width
        return self._indices[key]

    def _go_private(self) -> None:
        self.lock = threading.Lock()
        self._private = mmap.mmap(-1, _SLOT)
        self._open(self._private, 0)


class Slots:
    """Which worker has which slot; kept by the master, which alone starts workers and learns of their end."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._free = list(range(counters.slots))
        self._taken: dict[int, int] = {}

    def take(self, worker: int) -> None:
        """Before the fork: keep a slot for the worker of this number (its age in gunicorn), if one is free."""
        if self._free:
            self._taken[worker] = self._free.pop(0)

    def enter(self, worker: int) -> None:
        """After the fork, in the worker: count in its slot; in memory of its own if there was none."""
        if worker in self._taken:
            self._counters.attach(self._taken[worker])

    def give_back(self, worker: int) -> None:
        """The worker has ended."""
        slot = self._taken.pop(worker, None)
        if slot is not None:
            self._counters.detach(slot)
            self._free.append(slot)


def _read_keys(memory: mmap.mmap, slot: int) -> dict[str, tuple[int, int]]:
    """Each key of a slot with where its numbers begin and how many they are."""
    at, (used,) = slot * _SLOT + _HEAD, _NUMBER.unpack_from(memory, slot * _SLOT + 8)
    end, place = at + used, _WIDEST
    found: dict[str, tuple[int, int]] = {}
    while at < end:
        length, width = _ENTRY.unpack_from(memory, at)
        at += _ENTRY.size
        found[bytes(memory[at : at + length]).decode("utf-8", "replace")] = (place, width)
        at, place = at + length, place + width
    return found
