"""The Makefile: help is what `make` does, and a wrong call says how to do it right."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make at the repository's root."""
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    """A make that runs these tests must not pass its own options and variables on; this Python's programs go first."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"}


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """`make serve` in a session of its own, once it is ready: the process of make, the port, what it printed.

    It makes no environment: where `.venv-serve` is missing, this Python's gunicorn serves.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    log = folder / "serve.log"
    command = ["make", "serve", "ENVIRONMENT=true", "MODEL=tests/models/mlp.tflite", f"PORT={port}"]
    environ = environment() | {"MODEL_PLAIN": "allow", "WEB_CONCURRENCY": "1"}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/health", process, log)
            yield process, port, log
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers; fail with its log if it ends, or takes three minutes."""
    deadline = time.monotonic() + 180
    with requests.Session() as session:
        session.trust_env = False
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(requests.RequestException):  # while the model is tried, connections wait
                if session.get(url, timeout=30).ok:
                    return
            time.sleep(0.1)
    pytest.fail(f"the server did not become ready:\n{log.read_text('utf-8')}")


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


@pytest.mark.slow
def test_serve_ends_with_make_and_is_for_this_machine_alone(tmp_path: Path) -> None:
    """SIGTERM to make alone ends the server, and its port is free; only the loopback address was bound."""
    with serving(tmp_path) as (process, port, log):
        assert f"http://127.0.0.1:{port} " in log.read_text("utf-8")
        if sys.platform == "linux":  # elsewhere 127.0.0.2 is no address
            socket.create_server(("127.0.0.2", port)).close()  # taken, if the server listens on every address
        process.terminate()
        process.wait(180)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_another_address_is_served_if_asked_for() -> None:
    recipe = make("--dry-run", "serve", "MODEL=tests/models/mlp.tflite", "HOST=0.0.0.0").stdout
    assert "HOST='0.0.0.0'" in recipe
    assert "http://0.0.0.0:8000" in recipe


def test_the_demo_passes_check_on() -> None:
    assert "tools/demo.py --check" in make("--dry-run", "demo", "CHECK=1").stdout
    assert "--check" not in make("--dry-run", "demo").stdout
