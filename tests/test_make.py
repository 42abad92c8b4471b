"""The Makefile: help is what `make` does, and a wrong call says how to do it right."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make at the repository's root."""
    # A make that runs these tests must not pass its own options and variables on.
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_make_alone_tells_every_target_in_a_line() -> None:
    lines = make().stdout.splitlines()
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony is not None
    told = {line.split()[0] for line in lines[1:]}
    assert told == set(phony[1].split()) - {"dev"}


def test_serve_without_a_model_says_what_is_missing() -> None:
    done = make("serve")
    assert done.returncode != 0
    assert "make serve MODEL=path-or-url" in done.stderr


def test_serve_runs_the_procfile_s_own_command() -> None:
    recipe = make("--dry-run", "serve", "MODEL=tests/models/mlp.tflite", "PORT=8123").stdout
    assert "Procfile" in recipe
    assert "PORT='8123'" in recipe
    assert "gunicorn" not in recipe


def test_the_demo_passes_check_on() -> None:
    assert "tools/demo.py --check" in make("--dry-run", "demo", "CHECK=1").stdout
    assert "--check" not in make("--dry-run", "demo").stdout
