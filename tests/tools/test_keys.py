"""tools/keys.py as a command: what it says of input that is no key. What it makes is tried in tests/runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("given", "told"),
    [("", "nothing was given"), ("\n", "nothing was given"), ("hunter2\n", "no key that keys.py has made")],
)
def test_what_cannot_be_hashed_is_told(given: str, told: str) -> None:
    """Nothing at all is something else than a key of one's own."""
    done = subprocess.run(
        [sys.executable, "tools/keys.py", "web", "--hash"],
        cwd=ROOT,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
