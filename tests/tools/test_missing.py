"""Commands that are run by a Python without their packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools import missing


@pytest.mark.parametrize("command", ["bench.py", "demo.py", "doctor.py", "export.py", "publish.py"])
def test_a_bare_python_is_told_which_one_to_take(command: str) -> None:
    """One line with the command as it works, exit code 2: no traceback."""
    script = missing.ROOT / "tools" / command
    done = subprocess.run(
        [sys.executable, "-S", "-E", script, "--help"], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("dynolite: this Python has no ")
    assert f".venv/bin/python tools/{command} ..." in line


def test_where_there_is_no_environment_its_making_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where none of them is there: the way to it comes first."""
    monkeypatch.setattr(missing, "ROOT", tmp_path)
    assert "`python3 tools/environments.py dev`), then .venv/bin/python" in missing.advice("rich", "x.py")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert missing.advice("rich", "x.py") == "dynolite: this Python has no rich: run .venv/bin/python tools/x.py ..."


@pytest.mark.parametrize("code", ["import runtime.no_such_part", "1 / 0"])
def test_errors_of_our_own_keep_their_traceback(code: str) -> None:
    """A part of this repository that is missing is no matter of packages."""
    done = subprocess.run(
        [sys.executable, "-c", f"from tools import missing; missing.tell(); {code}"],
        cwd=missing.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
