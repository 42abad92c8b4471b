"""Work in a process that may crash, hang or be killed without harm to this one.

    forked(work)     a fork of this process (which must have one thread): no start-up time, for the boot
    spawned(module)  a new Python, `python -m MODULE`: beside a running server

Both answer what the child wrote, and how it ended. A child does not outlive its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_ROOT = Path(__file__).resolve().parent.parent
Tell = Callable[[bytes], object]
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child said until its end, its exit code (below 0: the signal), and whether its time was up (`late`)."""

    said: bytes
    code: int | None
    late: bool

    @property
    def how(self) -> str:
        """How it ended, to follow the word "ended" or "crashed": the signal's name, if there was one."""
        return f" with {signal.Signals(-self.code).name}" if self.code is not None and self.code < 0 else ""


def forked(work: Callable[[Tell], None], seconds: float) -> Answer:
    """Do `work` in a fork that has closed every file but standard error; what it tells comes back at once."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _work(work, writing)
    os.close(writing)
    try:
        said, late = _read_until(reading, time.monotonic() + seconds)
    finally:
        os.close(reading)
        if not _exited(child):
            os.kill(child, signal.SIGKILL)
    status = _reap(child)
    return Answer(said, os.waitstatus_to_exitcode(status) if status is not None else None, late)


def spawned(module: str, arguments: list[str], seconds: float, environ: Mapping[str, str]) -> Answer:
    """Run a module of ours in a new Python with just this environment."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT,
        env=dict(environ),
        stdin=subprocess.PIPE,  # its end of file tells the child that we are gone
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            said, late = _read_until(process.stdout.fileno(), time.monotonic() + seconds)
            if not late:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1)
        finally:
            process.kill()
    return Answer(said, process.returncode, late)


def end_with_parent() -> None:
    """In a spawned child: end at once when the parent does, even by SIGKILL."""

    def wait() -> None:
        while os.read(0, 1 << 10):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="parent").start()


def _work(work: Callable[[Tell], None], writing: int) -> None:
    """The forked child: never returns, and never runs the parent's exit handlers."""
    code = 1
    with contextlib.suppress(BaseException):
        _die_with_parent()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        os.closerange(3, writing)
        os.closerange(writing + 1, 1 << 16)
        work(lambda said: os.write(writing, said))
        code = 0
    os._exit(code)


def _die_with_parent() -> None:
    """In a fork: be killed when the parent is, where the system knows how (Linux)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _read_until(reading: int, deadline: float) -> tuple[bytes, bool]:
    """All that comes before end of file, or before the deadline, and whether that came first."""
    answer = b""
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return answer, True
        part = os.read(reading, 1 << 16)
        if not part:
            return answer, False
        answer += part


def _exited(child: int) -> bool:
    """Whether the child has ended, leaving it to be reaped; a crashed one needs a moment to."""
    for _ in range(50):
        try:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
        except ChildProcessError:
            return True
        time.sleep(0.002)
    return False


def _reap(child: int) -> int | None:
    try:
        return os.waitpid(child, 0)[1]
    except ChildProcessError:  # reaped already, by a handler of the surrounding server
        return None
