"""What this machine or container gives us."""

from __future__ import annotations

import os
from pathlib import Path


def memory_limit() -> int:
    """Bytes this process may use: the cgroup's limit (version 2, then 1), else the machine's memory."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = int(Path(name).read_text())
        except (OSError, ValueError):  # no such file, or the word "max"
            continue
        total = min(total, limit)
    return total
