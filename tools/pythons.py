"""Which Pythons this machine has, found out by running each candidate.

A file named `python3.13` may be a shim that only prints an error, so a name proves nothing.
Only the standard library of Python 3.8 is used here: see tools/environments.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PROBE = """
import importlib.util, json, platform, struct, sys
print(json.dumps({
    "path": getattr(sys, "_base_executable", None) or sys.executable,
    "version": list(sys.version_info[:3]),
    "pip": importlib.util.find_spec("ensurepip") is not None,
    "usable": platform.python_implementation() == "CPython" and struct.calcsize("P") == 8,
}))
"""


class Python(NamedTuple):
    """A Python that was run and answered."""

    path: str
    version: tuple[int, ...]
    pip: bool  # it can make an environment that has pip

    @property
    def dotted(self) -> str:
        """The version as people write it."""
        return ".".join(map(str, self.version))

    def __str__(self) -> str:
        return f"Python {self.dotted} ({self.path})"


def find_pythons(minors: Sequence[int], uv: str | None) -> Iterator[Python]:
    """Each usable Python 3 of these minor versions once, as it is found."""
    tried, found = set(), set()
    for candidate in candidates(minors, uv):
        if candidate in tried or not os.access(candidate, os.X_OK):
            continue
        tried.add(candidate)
        python = probe(candidate)
        if python is None or python.version[0] != 3 or python.version[1] not in minors:
            continue
        real = os.path.realpath(python.path)
        if real not in found:
            found.add(real)
            yield python


def candidates(minors: Sequence[int], uv: str | None) -> Iterator[str]:
    """Paths that may be a Python of one of these minor versions, some of which will be shims."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders = [Path(entry) for entry in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    folders += [Path("/usr/bin"), Path("/usr/local/bin"), *sorted(pyenv.glob("*/bin"))]
    for minor in minors:
        for folder in folders:
            yield str(folder / f"python3.{minor}")
        if uv is not None:
            command = [uv, "python", "find", "--system", "--no-project", f"3.{minor}"]
            yield output_of(command).strip()
    yield sys.executable
    for folder in folders:
        yield str(folder / "python3")


def probe(path: str) -> Python | None:
    """Run a candidate and ask what it is; None if it is no Python that can be used here."""
    try:
        answer = json.loads(output_of([path, "-I", "-c", PROBE]))
    except ValueError:
        return None
    if not answer["usable"]:
        return None
    return Python(answer["path"], tuple(answer["version"]), answer["pip"])


def output_of(command: Sequence[str]) -> str:
    """What a command prints; nothing if it fails, hangs or is not there."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")
