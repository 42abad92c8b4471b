"""A real server for each test that asks: gunicorn on a free port of 127.0.0.1, stopped by its own process id."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests import hosts, published
from tests.hosts import Host

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., "Server"]


@dataclass
class Server:
    """A running server: where it answers, its master's process and what it has written so far."""

    url: str
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    reader: threading.Thread = field(default_factory=threading.Thread)

    @property
    def pid(self) -> int:
        """The master's process id."""
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything written to standard output and error so far."""
        return "".join(self.lines)

    def get(self, path: str, **options: object) -> requests.Response:
        """GET a path of this server."""
        return requests.get(self.url + path, timeout=30, **options)  # type: ignore[arg-type]

    def post(self, path: str, **options: object) -> requests.Response:
        """POST to a path of this server."""
        return requests.post(self.url + path, timeout=60, **options)  # type: ignore[arg-type]

    def wait_ready(self, seconds: float = 30.0, status: int = 200) -> requests.Response:
        """Wait until /health answers `status`, several times in a row; fails with the server's log when it does not.

        Once is not enough: each time another worker may answer, and they do not change at the same moment.
        """
        deadline = time.monotonic() + seconds
        row = 0
        while time.monotonic() < deadline and self.process.poll() is None:
            reply = self.get("/health")
            row = row + 1 if reply.status_code == status else 0
            if row == 8:
                return reply
            if not row:
                time.sleep(0.1)
        raise AssertionError(f"/health did not answer {status}:\n{self.log}")

    def stop(self) -> int:
        """SIGTERM to the master; its exit code. SIGKILL after 30 s."""
        self.process.terminate()
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.reader.join(10)
        return code


def launch(command: list[str], environ: dict[str, str], seconds: float = 30.0) -> Server:
    """Start a server command and wait until it tells where it listens; `environ` is all it gets beside the basics."""
    basics = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=basics | environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server = Server("", process)

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for line in stream:
                server.lines.append(line)

    server.reader = threading.Thread(target=read, daemon=True)
    server.reader.start()
    deadline = time.monotonic() + seconds
    while not server.url:
        found = [line for line in server.lines if "Listening at: " in line]
        if found:
            server.url = found[0].partition("Listening at: ")[2].split()[0]
        elif process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            server.reader.join(10)
            raise AssertionError(f"the server did not start:\n{server.log}")
        else:
            time.sleep(0.02)
    return server


def start_gunicorn(model: str | Path | None = None, **environ: str) -> Server:
    """`gunicorn runtime.wsgi:app` as the Procfile has it, on a free port. `model` becomes MODEL_URL."""
    settings = {"HOST": "127.0.0.1", "PORT": "0", "WEB_CONCURRENCY": "1"}
    if model is not None:
        settings["MODEL_URL"] = str(model)
    return launch([sys.executable, "-m", "gunicorn", "runtime.wsgi:app"], settings | environ)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(model, NAME="value", ...) -> Server`: a real gunicorn; all of them are stopped at the test's end."""
    servers: list[Server] = []

    def begin(model: str | Path | None = None, *, ready: bool = True, **environ: str) -> Server:
        server = start_gunicorn(model, **({"CACHE_DIR": str(tmp_path / "cache")} | environ))
        servers.append(server)
        if ready:
            server.wait_ready()
        return server

    yield begin
    for server in servers:
        server.process.terminate()  # all at once: each takes a second
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def start_shared() -> Iterator[Start]:
    """As `start`, for servers that a whole file of tests shares."""
    servers: list[Server] = []

    def begin(model: str | Path | None = None, **environ: str) -> Server:
        server = start_gunicorn(model, **environ)
        servers.append(server)
        server.wait_ready()
        return server

    yield begin
    for server in servers:
        server.process.terminate()  # all at once: each takes a second
    for server in servers:
        server.stop()


@pytest.fixture
def host() -> Iterator[Host]:
    """A host for models, with nothing on it yet."""
    with hosts.run() as running:
        yield running


@pytest.fixture(scope="module")
def versions() -> dict[str, bytes]:
    """Two models that answer differently: a reply tells which of them gave it."""
    return {"1.0.0": published.packed("1.0.0", "mlp"), "1.1.0": published.packed("1.1.0", "int16x8")}
