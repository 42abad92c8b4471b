"""The servers of a benchmark: dynolite and its peers, two workers each, started as their documentation has it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.errors import DynoliteError
from runtime.interpreter import package
from tools.bench_cases import Case

ROOT = Path(__file__).resolve().parent.parent
PEER_FILES = ROOT / "bench" / "peers"
START_SECONDS = 90.0
WORKERS = 2


class BenchError(DynoliteError):
    """A server does not start, or answers otherwise than dynolite."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer: its packages, its command (`{port}` is filled in), and what the command has more for an access log."""

    packages: tuple[str, ...]
    command: tuple[str, ...]
    quiet: tuple[str, ...] = ()
    loud: tuple[str, ...] = ()


_GUNICORN = ("gunicorn", "-c", "/dev/null", "-b", "127.0.0.1:{port}", "-w", str(WORKERS), "--threads", "4")
PEERS: dict[str, Peer] = {
    "fastapi": Peer(
        ("fastapi", "uvicorn[standard]", "orjson", "INTERPRETER"),
        ("uvicorn", "fastapi_server:app", "--port", "{port}", "--workers", str(WORKERS)),
        quiet=("--no-access-log",),
    ),
    "flask": Peer(
        ("flask", "gunicorn", "INTERPRETER"), (*_GUNICORN, "flask_server:app"), loud=("--access-logfile", "-")
    ),
    "litserve": Peer(("litserve", "INTERPRETER"), ("python", "litserve_server.py")),
    "tensorflow": Peer(
        ("flask", "gunicorn", "tensorflow-cpu", "keras"),
        (*_GUNICORN, "tensorflow_server:app"),
        loud=("--access-logfile", "-"),
    ),
}


@dataclass(slots=True)
class Running:
    """A server that answers: `seconds` went by from its start to its first correct answer."""

    name: str
    url: str
    pid: int
    seconds: float = 0.0
    process: subprocess.Popen[bytes] | None = None

    def predict(self, body: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """The predictions for a body."""
        asked = urllib.request.Request(self.url + "/predict", body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(asked, timeout=60) as reply:  # noqa: S310
            return np.asarray(json.load(reply)["predictions"], float)

    def stop(self) -> None:
        """End it, if it was started here."""
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start(name: str, case: Case, *, access_log: bool, url: str | None = None, pid: int | None = None) -> Running:
    """Start a server with the case's model and wait for its first answer. Raises BenchError."""
    if url:
        return Running(name, url.rstrip("/"), pid or 0)
    port = _free_port()
    environ = {**os.environ, "MODEL": str(case.model.resolve()), "PORT": str(port), "OPENBLAS_NUM_THREADS": "1"}
    if name == "dynolite":
        switch = "on" if access_log else "off"
        environ |= {"MODEL_URL": environ["MODEL"], "HOST": "127.0.0.1", "WEB_CONCURRENCY": str(WORKERS)}
        environ |= {"ACCESS_LOG": switch}
        command, folder = [sys.executable, "-m", "gunicorn", "runtime.wsgi:app"], ROOT
    else:
        peer = PEERS[name]
        if name == "tensorflow":
            if case.keras is None:
                raise BenchError("--against tensorflow needs the same model as .keras: name it with --keras")
            environ["MODEL"] = str(case.keras.resolve())
        bin_folder = environment(name, peer) / "bin"
        words = [word.format(port=port) for word in (*peer.command, *(peer.loud if access_log else peer.quiet))]
        command, folder = [str(bin_folder / words[0]), *words[1:]], PEER_FILES
        environ["PATH"] = f"{bin_folder}{os.pathsep}{environ['PATH']}"
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    running = Running(name, f"http://127.0.0.1:{port}", process.pid, process=process)
    _await_answer(running, case, began)
    return running


def _await_answer(running: Running, case: Case, began: float) -> None:
    while time.monotonic() - began < START_SECONDS:
        try:
            running.predict(case.body)
            running.seconds = time.monotonic() - began
            return
        except (OSError, ValueError, KeyError):
            if running.process and running.process.poll() is not None:
                break
            time.sleep(0.01)
    running.stop()
    raise BenchError(f"{running.name} does not answer; try its command by hand (tools/bench_servers.py has it)")


def check_equal(case: Case, servers: list[Running]) -> None:
    """Every server gives the same predictions, to float32's precision. Raises BenchError."""
    want = servers[0].predict(case.body)
    for server in servers[1:]:
        got = server.predict(case.body)
        tolerance = 1e-3 if server.name == "tensorflow" else 1e-5
        if got.shape != want.shape or not np.allclose(got, want, rtol=tolerance, atol=tolerance):
            raise BenchError(f"{server.name} answers otherwise than {servers[0].name} on {case.name}")


def environment(name: str, peer: Peer) -> Path:
    """The peer's own virtual environment, made if it is not there; with this Python and this interpreter package."""
    own = package()
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder = ROOT / "build" / "peers" / f"{name}-{version}-{own.name}"
    if (folder / "ready").exists():
        return folder
    interpreter = [f"{own.name}=={own.version}", f"numpy=={importlib.metadata.version('numpy')}"]
    packages = [word for item in peer.packages for word in (interpreter if item == "INTERPRETER" else [item])]
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise BenchError(f"making the environment of {name} needs uv: pip install uv")
    try:
        subprocess.run([uv, "venv", "-q", "--clear", "-p", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "-p", str(folder / "bin" / "python"), *packages], check=True)
    except subprocess.CalledProcessError as error:
        raise BenchError(f"the environment of {name} cannot be made: {error}") from None
    (folder / "ready").touch()
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
