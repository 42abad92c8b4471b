"""The demo, from the digits to the answers, as `make demo` runs it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


@contextmanager
def demo(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo as a process in a group of its own, which ends with the context, a server in it too."""
    process = subprocess.Popen(
        [sys.executable, "tools/demo.py", *arguments],
        cwd=ROOT,
        # Every worker starts with the model, however long it takes to be tried: none is still without it.
        env=os.environ | {"BOOT_SECONDS": "60"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def test_check() -> None:
    """With --check the answers are right and equal the interpreter's, and the exit code says so."""
    with demo("--check") as process:
        told, _ = process.communicate(timeout=1500)
    assert process.returncode == 0, told
    right, count = map(int, re.findall(r"(\d+) of (\d+) right", told)[-1])
    assert count == 360
    assert right >= 0.97 * count
    assert "All as it should be." in told


def test_ctrl_c() -> None:
    """Without it the server stays, and Ctrl-C ends both: nobody listens on its port any more."""
    with demo() as process:
        assert process.stdout is not None
        told = ""
        for line in process.stdout:
            told += line
            if "until Ctrl-C" in line:
                break
        assert "until Ctrl-C" in told, told
        port = int(re.findall(r"127\.0\.0\.1:(\d+)/health", told)[0])
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
    assert process.returncode == 0, told
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_port_in_use() -> None:
    """A server that cannot start is told, with exit code 1."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        demo("--check", "--port", str(taken.getsockname()[1])) as process,
    ):
        told, _ = process.communicate(timeout=1500)
    assert process.returncode == 1, told
    assert "demo: the server" in told
