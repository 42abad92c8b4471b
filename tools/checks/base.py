"""What a check is given and gives."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tools.checks.platforms import Platform

if TYPE_CHECKING:
    from tools.checks.trial_run import Run

OK, WARN, FAIL, SKIP = "ok", "warn", "fail", "skip"


@dataclass(frozen=True)
class Finding:
    """What a check found. `fix` says what to do; `repair` does it, where that is safe, and says what it did."""

    status: str
    message: str
    fix: str = ""
    repair: Callable[[], str] | None = None


def ok(message: str) -> Finding:
    """Nothing to do."""
    return Finding(OK, message)


def warn(message: str, fix: str, repair: Callable[[], str] | None = None) -> Finding:
    """It will run, but not well, or not for long."""
    return Finding(WARN, message, fix, repair)


def fail(message: str, fix: str, repair: Callable[[], str] | None = None) -> Finding:
    """The deploy, the start or the first requests will fail."""
    return Finding(FAIL, message, fix, repair)


def skip(message: str) -> Finding:
    """The check has nothing to look at."""
    return Finding(SKIP, message)


@dataclass
class App:
    """The folder that is to be deployed, where to, with which settings, and which Python runs it here."""

    root: Path
    platform: Platform
    environ: Mapping[str, str]
    python: Path
    start: Callable[[App], Run] | None = None
    _run: list[Run] = field(default_factory=list)

    def text(self, name: str) -> str | None:
        """A file of the app as text, without a byte order mark; None if it is not there."""
        path = self.root / name
        return path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else None

    @cached_property
    def files(self) -> list[str]:
        """What would be deployed, by path from the root: what git has, else every file but .git."""
        if self.tracked is not None:
            return [name for name in self.tracked if (self.root / name).is_file()]
        found = (path for path in self.root.rglob("*") if path.is_file())
        paths = [path.relative_to(self.root) for path in found]
        return [str(path) for path in paths if not {".git", "__pycache__"} & set(path.parts)]

    @cached_property
    def deployed(self) -> frozenset[str]:
        """The same, to look one up."""
        return frozenset(self.files)

    @cached_property
    def tracked(self) -> list[str] | None:
        """What git has of the folder, also what has gone from the disk; None where it has nothing of it."""
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=self.root, capture_output=True, check=False)
        names = [name for name in listed.stdout.decode(errors="replace").split("\0") if name]
        return names if listed.returncode == 0 and names else None

    @property
    def run(self) -> Run | None:
        """The app's one trial run, started when it is first asked for; None where nothing is to be started."""
        if self.start is not None and not self._run:
            self._run.append(self.start(self))
        return self._run[0] if self._run else None

    def close(self) -> None:
        """End the trial run, if there was one."""
        for run in self._run:
            run.close()


@dataclass(frozen=True)
class Check:
    """One check: its name, what it looks at, the failures it foretells, and whether it starts the app."""

    name: str
    what: str
    function: Callable[[App], Finding]
    foretells: tuple[str, ...] = ()
    starts: bool = False
