"""A server with a bad setting does not start: one line, exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from runtime.errors import SettingError
from runtime.settings import from_env
from tests import models
from tests.server.conftest import PATIENCE, ROOT


def gunicorn(**environ: str) -> subprocess.CompletedProcess[str]:
    """The Procfile's command with these settings, to its end."""
    basics = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    settings = {"HOST": "127.0.0.1", "PORT": "0", "WEB_CONCURRENCY": "1", "MODEL_URL": str(models.path("mlp"))}
    command = [sys.executable, "-m", "gunicorn", "runtime.wsgi:app"]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=basics | settings | environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("API_KEYS", "hunter2"), ("API_KEYS", "web:hunter2"), ("ADMIN_KEY", "admin:hunter2"), ("REQUEST_SECONDS", "soon")],
)
def test_a_bad_setting_ends_the_start_with_one_line(name: str, value: str) -> None:
    """It names the variable, keeps a secret to itself, and the exit code is 2."""
    done = gunicorn(**{name: value})
    assert done.returncode == 2
    (line,) = (done.stdout + done.stderr).splitlines()
    assert line.startswith(f"dynolite: {name}: ")
    assert "hunter2" not in line


@pytest.mark.parametrize("value", ["x", "-1"])
def test_only_gunicorns_own_variable_ends_it_otherwise(value: str) -> None:
    """docs/settings.md: gunicorn reads WEB_CONCURRENCY before dynolite runs. What the doctor reads does name it."""
    assert gunicorn(WEB_CONCURRENCY=value).returncode == 1
    with pytest.raises(SettingError, match="WEB_CONCURRENCY: expected a whole number"):
        from_env({"WEB_CONCURRENCY": value})
