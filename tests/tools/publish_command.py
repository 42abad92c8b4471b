"""tools/publish.py as a command, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.tools.store_servers import SECRET

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, environ: dict[str, str] | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own with this environment only."""
    basics = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/publish.py"), *arguments],
        env=basics | (environ or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    return done
