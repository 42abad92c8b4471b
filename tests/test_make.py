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


def served_with(folder: Path, *arguments: str) -> list[str]:
    """What `make serve` prints in a folder whose Procfile has a command that only tells its environment."""
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "Procfile").write_text("web: printenv MODEL_URL PORT HOST\n")
    command = ["make", "--no-print-directory", "serve", "ENVIRONMENT=true", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


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


@pytest.mark.parametrize("name", ["plain.tflite", 'it\'s a "model"; exit 3.tflite'])
def test_serve_gives_the_procfile_s_command_what_it_was_called_with(tmp_path: Path, name: str) -> None:
    """Quotes and blanks in the model's name are the name's own."""
    model = tmp_path.resolve() / name
    model.touch()
    told = served_with(tmp_path, f"MODEL={name}", "PORT=8123", "HOST=0.0.0.0")
    assert told[0].startswith(f"serving {model} on http://0.0.0.0:8123 ")
    assert told[1:] == [str(model), "8123", "0.0.0.0"]


def test_serve_is_for_this_machine_alone_unless_told_otherwise(tmp_path: Path) -> None:
    assert served_with(tmp_path, "MODEL=https://host/model.tflite")[1:] == [
        "https://host/model.tflite",
        "8000",
        "127.0.0.1",
    ]


def test_what_serve_is_given_is_in_no_other_environment(tmp_path: Path) -> None:
    """A PORT or HOST of its own would change what the tests and the demo start."""
    (tmp_path / "other.mk").write_text(f"include {ROOT / 'Makefile'}\nother:\n\t@env\n")
    told = make("--file", str(tmp_path / "other.mk"), "other").stdout
    assert "PATH=" in told
    assert not re.search(r"^(?:PORT|HOST|MODEL)=", told, re.MULTILINE)


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


def test_the_demo_passes_check_on() -> None:
    assert "tools/demo.py --check" in make("--dry-run", "demo", "CHECK=1").stdout
    assert "--check" not in make("--dry-run", "demo").stdout
