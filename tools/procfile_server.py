"""A server on this machine, started as a platform does it: the Procfile's `web` line, settings in the environment.

with ProcfileServer({"MODEL_URL": ...}, port, tell=print) as server:
    server.wait_ready()
    server.session.get(f"{server.url}/health")
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

from runtime.errors import DynoliteError

ROOT = Path(__file__).resolve().parent.parent
_STOP_SECONDS = 30  # what a platform waits between SIGTERM and SIGKILL


class ServerError(DynoliteError):
    """The server did not start, does not become ready, or ended by itself."""


def web_command(procfile: Path) -> str:
    """The shell command of the Procfile's `web` process; ServerError if it has none."""
    match = re.search(r"^web:[ \t]*(\S.*)$", procfile.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ServerError(f"{procfile.name} has no web process")
    return match[1].strip()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class ProcfileServer:
    """The `web` process, from entering the context to leaving it; each line that it prints goes to `tell`."""

    def __init__(self, settings: Mapping[str, str], port: int, tell: Callable[[str], None]) -> None:
        self.command = web_command(ROOT / "Procfile")
        self.url = f"http://127.0.0.1:{port}"
        self.session = requests.Session()
        self.session.trust_env = False  # a proxy in the environment knows nothing of this machine
        self._settings = {**settings, "HOST": "127.0.0.1", "PORT": str(port)}
        self._tell = tell

    def __enter__(self) -> ProcfileServer:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {self.command}"],
            cwd=ROOT,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        self.session.close()

    def wait_ready(self, seconds: float = 60) -> dict[str, Any]:
        """Ask `/health` until it says 200, and return what it says; ServerError with its reason if it does not."""
        deadline, reason = time.monotonic() + seconds, "it does not answer"
        while time.monotonic() < deadline:
            self._check_alive()
            try:
                reply = self.session.get(f"{self.url}/health", timeout=5)
            except requests.RequestException:
                reply = None
            if reply is not None and reply.ok:
                told: dict[str, Any] = reply.json()
                return told
            reason = reply.text.strip() if reply is not None else reason
            time.sleep(0.1)
        raise ServerError(f"the server was not ready within {seconds:g} s: {reason}")

    def wait(self) -> None:
        """Return never while the server runs; ServerError when it ends by itself."""
        self._process.wait()
        self._check_alive()

    def _check_alive(self) -> None:
        code = self._process.poll()
        if code is not None:
            self._reader.join(5)
            raise ServerError(f"the server ended with exit code {code}; its last lines say why")

    def _environment(self) -> dict[str, str]:
        """This process's environment without settings that speak of another model, this Python's programs first."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MODEL_")}
        programs = Path(sys.executable).parent
        return kept | {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"} | self._settings

    def _read(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                for line in lines:
                    self._tell(line.rstrip())
