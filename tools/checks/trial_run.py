"""One real start of the app, as the platform starts it, but on a loopback address of this machine.

    the platform's command + its environment -> bound? -> ready? -> asked -> weighed -> SIGTERM

The address is 127.0.0.2 where there is one: a server that binds 127.0.0.1 by itself is not reached there, as the
platform's router does not reach it. Two settings are the doctor's own: PAGE is on, for the example that is asked, and
where keys are set the doctor has one too.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from tools.checks.base import App
from tools.checks.commands import command_of

_LONGEST_WAIT = 90.0  # seconds for the model: nobody waits here as long as Render does
_ASKED = 48
_HOSTS = ("127.0.0.2", "127.0.0.1")  # the first of them that this machine has; macOS has one only
_EVERYWHERE = ("", "0.0.0.0", "::", "[::]")  # noqa: S104 - nothing is bound there: that is what it is for
_LAST_WORKER = 1.0  # seconds between the first worker's answers and the last worker's start


class Run:
    """The started app. Seconds count from its start; `bound` and `ready` are None if that never came."""

    def __init__(self, app: App) -> None:
        self.host, self.port = _free_address()
        self.url = f"http://{self.host}:{self.port}"
        self.lines: list[str] = []
        self.bound: float | None = None
        self.ready: float | None = None
        self.reason = ""
        self.session = requests.Session()
        self.session.trust_env = False
        given = {**app.environ, "PORT": str(self.port), "PAGE": "on"}
        if given.get("HOST", "").strip() in _EVERYWHERE:
            given["HOST"] = self.host
        if given.get("API_KEYS", "").strip():
            key = secrets.token_urlsafe(32)
            given["API_KEYS"] += f",doctor-{key[:8]}:{key}"
            self.session.headers["Authorization"] = f"Bearer {key}"
        given["PYTHONDONTWRITEBYTECODE"] = "1"  # the folder stays as it was found
        given["PATH"] = f"{app.python.parent}:{app.environ.get('PATH', os.defpath)}"
        self._signals_all = app.platform.signals_all
        self._started = time.monotonic()
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", _executed(command.line if (command := command_of(app)) else "false")],
            cwd=app.root,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._observe(min(app.platform.boot_seconds, _LONGEST_WAIT))

    @property
    def ended(self) -> bool:
        """Whether the process has ended by itself."""
        return self.process.poll() is not None

    def last_words(self) -> str:
        """The line of the log that most likely says why it ended."""
        self._reader.join(5)
        lines = [line.strip() for line in self.lines if line.strip()]
        telling = [line for line in lines if re.search(r"^(\w+\.)*\w*(Error|Exception)\b|^dynolite: |not found", line)]
        return (telling or lines or ["it said nothing"])[-1][:300]

    def listening(self) -> list[tuple[str, int]]:
        """The addresses and ports on which the app's processes listen, whatever they were told."""
        inodes = set()
        for pid in family_of(self.process.pid):
            with contextlib.suppress(OSError):
                for entry in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        inodes.add(re.sub(r"\D", "", str(entry.readlink())))
        found = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with contextlib.suppress(OSError):
                for line in Path(table).read_text().splitlines()[1:]:
                    columns = line.split()
                    if columns[3] == "0A" and columns[9] in inodes:
                        found.add(_address(columns[1]))
        return sorted(found)

    def ask(self) -> tuple[float, requests.Response] | None:
        """Predict once with the server's own example: the seconds and the reply. None if it has no example."""
        try:
            example = self.session.get(f"{self.url}/page/example.json", timeout=30)
            if not example.ok:
                return None
            started = time.monotonic()
            reply = self.session.post(f"{self.url}/predict", data=example.content, timeout=120)
        except requests.RequestException:
            return None
        return time.monotonic() - started, reply

    def ask_all(self) -> int:
        """Many predictions at a time, once the last worker has come, so that each makes some: how many were made."""
        time.sleep(_LAST_WORKER)
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: self.ask(), range(_ASKED)))
        return sum(asked is not None and asked[1].ok for asked in replies)

    def stop(self, limit: float) -> tuple[float | None, bool]:
        """SIGTERM while a request is under way: seconds to the end (None: not within `limit`), and was it answered."""
        family = family_of(self.process.pid)
        with self._half_a_request() as connection:
            started = time.monotonic()
            for member in family if self._signals_all else family[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGTERM)
            time.sleep(0.2)
            answered = False
            with contextlib.suppress(OSError):
                connection.sendall(b"}")
                answered = connection.recv(64).startswith(b"HTTP/1.1 ")
        while not self.ended or any(map(_is_alive, family)):
            if time.monotonic() - started > limit:
                return None, answered
            time.sleep(0.05)
        return time.monotonic() - started, answered

    def close(self) -> None:
        """End it and all of its processes."""
        if not self.ended:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(5)
        self.session.close()

    @contextlib.contextmanager
    def _half_a_request(self) -> Iterator[socket.socket]:
        with socket.create_connection((self.host, self.port), timeout=30) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{"
            )
            time.sleep(0.4)
            yield connection

    def _observe(self, seconds: float) -> None:
        self._wait_bound(seconds)
        if self.bound is not None:
            self._wait_ready(_LONGEST_WAIT)

    def _wait_bound(self, seconds: float) -> None:
        elsewhere = False
        while not self.ended and time.monotonic() - self._started < seconds:
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
                self.bound = time.monotonic() - self._started
                return
            if elsewhere:
                return  # it listened before it was asked, on another port, which will not change
            elsewhere = time.monotonic() - self._started > 5 and bool(self.listening())
            time.sleep(0.05)

    def _wait_ready(self, seconds: float) -> None:
        settled = 0
        while not self.ended and time.monotonic() - self._started < seconds and settled < 8:
            try:
                reply = self.session.get(f"{self.url}/health", timeout=10)
            except requests.RequestException as error:
                self.reason = f"/health: {type(error).__name__}"
                settled += 1
            else:
                if reply.ok:
                    self.ready = time.monotonic() - self._started
                    return
                self.reason = _reason(reply)
                settled += self.reason not in ("loading", "")
            time.sleep(0.25)

    def _read(self) -> None:
        if self.process.stdout is not None:
            with self.process.stdout as lines:
                for line in lines:
                    self.lines.append(line)


def _free_address() -> tuple[str, int]:
    """A loopback address of this machine, and a port of it that nobody listens on at this moment."""
    for host in _HOSTS:
        with contextlib.suppress(OSError), socket.create_server((host, 0)) as probe:
            return host, int(probe.getsockname()[1])
    raise OSError("this machine has no loopback address")


def _executed(line: str) -> str:
    """A shell line that takes the shell's place, where it is one simple command; as it is where it is more."""
    simple = re.fullmatch(r"[^\s=&|;<>(){}`!]+(\s[^&|;<>`\n]*)?", line)
    return f"exec {line}" if simple and line.split(maxsplit=1)[0] not in ("exec", "cd", "export", "set", ".") else line


def _address(column: str) -> tuple[str, int]:
    """An address of /proc/net/tcp or tcp6: hexadecimal, each 32 bits in this machine's own order."""
    address, _, port = column.rpartition(":")
    packed = b"".join(
        int(address[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(address), 8)
    )
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed), int(port, 16)


def family_of(pid: int) -> list[int]:
    """The process and all that descend from it; only itself without /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asks about does not. False without /proc."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def memory_of(pid: int) -> tuple[int, int]:
    """Bytes of a process and its descendants, shared pages counted once (PSS), and how many; zeros without /proc."""
    sizes = []
    for member in family_of(pid):
        with contextlib.suppress(OSError):
            match = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{member}/smaps_rollup").read_text(), re.MULTILINE)
            if match:
                sizes.append(int(match[1]) << 10)
    return sum(sizes), len(sizes)


def _reason(reply: requests.Response) -> str:
    try:
        told: dict[str, Any] = reply.json()
    except ValueError:
        return f"/health answers {reply.status_code}: this is no dynolite"
    return str(told.get("reason") or told.get("error") or f"/health answers {reply.status_code}")
