"""Run a job of tools/keras_models in a process of its own, within limits of time and memory.

A crash of TensorFlow, its converter or the interpreter ends that process, and is an error here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tools.errors import KINDS, ConvertError, ExportError

_NO_MEMORY = re.compile(r"bad_alloc|cannot allocate memory|can't start new thread", re.IGNORECASE)
WORKER = Path(__file__).resolve().parent / "keras_worker.py"


class JobError(ExportError):
    """A job failed with something that is not one of our own errors; `log` is what it printed."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class Worker:
    """TensorFlow in another process. A context manager: on leaving it nothing is left running."""

    def __init__(self, folder: Path, seconds: float = 900, memory: int = 0) -> None:
        """`folder` takes result files; each job has `seconds`, and `memory` bytes unless 0."""
        self.folder, self.seconds, self.memory = folder, seconds, memory
        self._count = 0
        self._said = folder / "worker.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Worker:
        """Nothing more to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the worker and whatever it runs."""
        self.close()

    def _started(self) -> tuple[IO[bytes], IO[bytes]]:
        """The pipes to and from the worker, which is started by the first job."""
        if self._process is None:
            with self._said.open("wb") as said:
                self._process = subprocess.Popen(
                    [sys.executable, str(WORKER)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    # Whatever a job leaves behind when it is killed goes with the folder.
                    env={**os.environ, "TMPDIR": str(self.folder)},
                    start_new_session=True,
                )
        if self._process.stdin is None or self._process.stdout is None:
            raise JobError("the worker has no pipes")
        return self._process.stdin, self._process.stdout

    def close(self) -> None:
        """End the worker; a job that runs ends with it, for it asked to die with its parent."""
        if self._process is None:
            return
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.kill()
        self._process.wait()

    def run(self, job: str, tick: Callable[[], None] = lambda: None, **arguments: Any) -> Any:
        """The job's value. `tick` is called now and then while it runs.

        Raises the job's own ExportError, ConvertError when it crashes or takes too long, JobError.
        """
        self._count += 1
        result = self.folder / f"job-{self._count}.json"
        log = self.folder / f"job-{self._count}.log"
        request = {
            "job": job,
            "arguments": arguments,
            "result": str(result),
            "log": str(log),
            "memory": self.memory,
            "folder": str(Path.cwd()),
        }
        requests, replies = self._started()
        with contextlib.suppress(BrokenPipeError):
            requests.write(json.dumps(request).encode() + b"\n")
            requests.flush()
        pid = int(self._reply(replies, None, tick)["pid"])
        status = int(self._reply(replies, pid, tick)["status"])
        said = log.read_text("utf-8", "replace") if log.exists() else ""
        if not result.exists():
            raise ConvertError(crashed(status, said))
        answer = json.loads(result.read_text("utf-8"))
        if "value" in answer:
            return answer["value"]
        if answer["kind"] in KINDS:
            raise KINDS[answer["kind"]](answer["error"])
        if answer["kind"] == "MemoryError":
            raise ConvertError("it ran out of memory: allow more with --memory")
        raise JobError(f"{job} failed in a way that is not known here: {answer['error']}", said)

    def _reply(self, replies: IO[bytes], pid: int | None, tick: Callable[[], None]) -> dict[str, Any]:
        """The next line from the worker; past the time limit the job is killed."""
        end = time.monotonic() + self.seconds
        while not select.select([replies], [], [], 0.1)[0]:
            tick()
            if pid is not None and time.monotonic() > end:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                replies.readline()
                raise ConvertError(f"it took longer than {self.seconds:g} s: allow more with --timeout")
        line = replies.readline()
        if not line:
            raise JobError(
                "TensorFlow cannot be imported here: run it with the development environment "
                "(python3 tools/environments.py dev, then .venv/bin/python tools/export.py)",
                self._said.read_text("utf-8", "replace"),
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def crashed(status: int, log: str) -> str:
    """What the wait status of a job without a result says."""
    tail = " ".join(log.split())[-200:]
    memory = " (out of memory? --memory)" if _NO_MEMORY.search(log) else ""
    if os.WIFSIGNALED(status):
        return f"TensorFlow crashed with {signal.Signals(os.WTERMSIG(status)).name}{memory}"
    return f"the job ended without an answer (exit code {os.WEXITSTATUS(status)}){memory}: {tail}"
