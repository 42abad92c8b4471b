"""The board: a small file by which master, watcher and the other workers tell each other how the models stand."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_PREFIX = "dynolite-run-"
_MOST_PASSING = 3


@dataclass
class Board:
    """How things stand; the models go by the key they are wanted under (`runtime.obtain.Wanted`).

    `reasons`: why a wanted one is not served; `versions`: which one is wanted; `ready`: the files that the master may
    load, as fields of `runtime.source.Found`; `refused`: why a file is not to be tried again, by its digest;
    `passing`: how often one failed for a reason that may pass, by its digest; `next_look`: when to look again (of
    `time.monotonic`, which all processes share); `failures`: in a row.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    ready: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    passing: dict[str, int] = field(default_factory=dict)
    next_look: float = 0.0
    failures: int = 0

    def refuse(self, sha256: str, reason: str, *, passing: bool) -> None:
        """Have a file not tried again: at once, or, where the reason may pass, when that has been hoped for often."""
        self.passing[sha256] = self.passing.get(sha256, 0) + passing
        if not passing or self.passing[sha256] >= _MOST_PASSING:
            self.refused[sha256] = reason


def read(folder: Path) -> Board:
    """The board as it stands; an empty one when there is none."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Board(**json.loads((folder / "board.json").read_text("utf-8")))
    return Board()


def write(folder: Path, board: Board) -> None:
    """Replace the board in one step. Raises OSError."""
    new = folder / f"board-{os.getpid()}.tmp"
    new.write_text(json.dumps(asdict(board)), "utf-8")
    new.replace(folder / "board.json")


def ask(folder: Path) -> None:
    """Ask the watcher, wherever it runs, to look for new versions now. Raises OSError."""
    (folder / "ask").touch()


def asked(folder: Path) -> bool:
    """Whether somebody asked since this was called last."""
    try:
        (folder / "ask").unlink()
    except OSError:
        return False
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def make_folder() -> Path | None:
    """A folder for this server's files, and the end of those whose server was killed; None if no disk takes one."""
    for base in (Path(tempfile.gettempdir()), Path("/dev/shm")):  # noqa: S108 - mkdtemp makes it safe
        for left in base.glob(f"{_PREFIX}*"):
            pid = left.name.removeprefix(_PREFIX).partition("-")[0]
            if pid.isdigit() and not _lives(int(pid)):
                shutil.rmtree(left, ignore_errors=True)
        with contextlib.suppress(OSError):
            return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
    return None
