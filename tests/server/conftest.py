"""A real server for each test that asks: gunicorn on a free port of 127.0.0.1, stopped by its own process id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests import hosts, published
from tests.hosts import Host

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., "Server"]
# Seconds for whatever must happen in the end. Only a failure takes so long, not a machine that is slow or stands still.
PATIENCE = 120.0
# For the same reason: limits that no test is about. A test of a limit sets its own.
_GENEROUS = {"BOOT_SECONDS": "120", "REQUEST_SECONDS": "120", "BODY_SECONDS": "60"}


@dataclass
class Server:
    """A running server: where it answers, its master's process and what it has written so far.

    `workers`: how many worker processes it is to have; 0 where its own settings say.
    """

    url: str
    process: subprocess.Popen[str]
    workers: int = 0
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

    def request(self, method: str, path: str, **options: object) -> requests.Response:
        """Ask this server."""
        options.setdefault("timeout", PATIENCE)
        return requests.request(method, self.url + path, **options)  # type: ignore[arg-type]

    def get(self, path: str, **options: object) -> requests.Response:
        """GET a path of this server."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: object) -> requests.Response:
        """POST to a path of this server."""
        return self.request("POST", path, **options)

    def line(self, text: str) -> str:
        """The first line of the log that holds this text: what was written may not have been read yet."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if found := [line for line in self.lines if text in line]:
                return found[0]
            time.sleep(0.02)
        raise AssertionError(f"{text!r} is not in the log:\n{self.log}")

    def children(self) -> set[int]:
        """The processes that the master has started and that still run."""
        found = {int(pid) for path in _tasks(self.pid) for pid in _read(path / "children").split()}
        return {pid for pid in found if _states(pid) - {"Z", "X"}}

    def wait_ready(self, seconds: float = PATIENCE, status: int = 200) -> requests.Response:
        """Wait until /health answers `status` whichever worker is asked; fails with the server's log if it does not."""
        return self.wait_for(lambda reply: reply.status_code == status, seconds)

    def wait_for(self, holds: Callable[[requests.Response], bool], seconds: float = PATIENCE) -> requests.Response:
        """Wait until each worker's /health is such, and the workers of before are gone: a reply.

        One reply, or many, would prove little: most go to the worker that answered last, and those that are being
        replaced answer for a while beside the new ones.
        """
        deadline = time.monotonic() + seconds
        reply = None
        while time.monotonic() < deadline and self.process.poll() is None:
            reply = self.get("/health")
            if holds(reply) and (replies := self._each()) and all(map(holds, replies)):
                return replies[0]
            time.sleep(0.05)
        raise AssertionError(f"/health did not come to it: {reply and reply.text}\n{self.log}")

    def _each(self) -> list[requests.Response]:
        """What each worker says to /health; nothing while workers come and go."""
        if not Path("/proc").is_dir():
            return [self.get("/health") for _ in range(8)]
        workers = self.children()
        if not workers or len(workers) != (self.workers or len(workers)):
            return []
        replies = [self.ask_alone(worker, workers) for worker in workers]
        return replies if self.children() == workers else []

    def ask_alone(self, worker: int, workers: Iterable[int], path: str = "/health") -> requests.Response:
        """GET a path from this worker, by stopping the others meanwhile."""
        with stopped(set(workers) - {worker}):
            return self.get(path)

    def stop(self) -> int:
        """SIGTERM to the master; its exit code. SIGKILL if it does not end."""
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.reader.join(PATIENCE)
        return code


@contextmanager
def stopped(processes: Iterable[int]) -> Iterator[None]:
    """These processes stand still for the length of the block."""
    held = list(processes)
    try:
        for pid in held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        deadline = time.monotonic() + PATIENCE
        while any(_states(pid) - {"T", "t", "Z", "X"} for pid in held):
            assert time.monotonic() < deadline, f"{held} do not stop"
            time.sleep(0.001)
        yield
    finally:
        for pid in held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _tasks(pid: int) -> list[Path]:
    """The folders of /proc of a process's threads; none of one that is gone."""
    with suppress(OSError):
        return list(Path(f"/proc/{pid}/task").iterdir())
    return []


def _states(pid: int) -> set[str]:
    """The states of a process's threads, such as S, T (stopped), Z (ended); empty for one that is gone."""
    found = [_read(task / "stat").rpartition(")")[2].split() for task in _tasks(pid)]
    return {words[0] for words in found if words}


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text()
    return ""


def launch(command: list[str], environ: dict[str, str], seconds: float = PATIENCE) -> Server:
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
    server = Server("", process, int(environ.get("WEB_CONCURRENCY") or 0))

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
            server.reader.join(PATIENCE)
            raise AssertionError(f"the server did not start:\n{server.log}")
        else:
            time.sleep(0.02)
    return server


def start_gunicorn(model: str | Path | None = None, **environ: str) -> Server:
    """`gunicorn runtime.wsgi:app` as the Procfile has it, on a free port. `model` becomes MODEL_URL."""
    settings = {"HOST": "127.0.0.1", "PORT": "0", "WEB_CONCURRENCY": "1"} | _GENEROUS
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
