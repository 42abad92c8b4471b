"""The process that holds TensorFlow, so that no other has to.

    export.py --a line of JSON: job, arguments--> worker --fork--> child runs the job, writes its result, ends
              <--a line of JSON: pid, then status--

Importing TensorFlow takes seconds and using it can end a process, so it is imported once, used for
nothing here, and each job runs in a fork of its own, within a limit of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from runtime.errors import DynoliteError  # noqa: E402

_PR_SET_PDEATHSIG = 1
Jobs = Mapping[str, Callable[..., object]]


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line, which has nothing but --help."""
    parser = argparse.ArgumentParser(
        prog="tools/keras_worker.py",
        description="Run the exporter's TensorFlow jobs, each in a fork: a line of JSON on stdin for each. "
        "tools/export.py starts it; there is no need to run tools/keras_worker.py by hand.",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Serve jobs from stdin until it ends."""
    parse_args(argv)
    die_with_parent()
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from tools.keras_models import JOBS  # noqa: PLC0415 - seconds long, and the pipe must stand first

    for line in sys.stdin:
        serve(json.loads(line), JOBS, replies)
    return 0


def serve(request: dict[str, Any], jobs: Jobs, replies: TextIO) -> None:
    """Fork for one job, tell its pid and, when it has ended, its wait status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = run(request, jobs)
        os._exit(code)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)  # the child does so too: whoever is told its pid may end the whole group at once
    print(json.dumps({"pid": pid}), file=replies)
    print(json.dumps({"status": os.waitpid(pid, 0)[1]}), file=replies)


def run(request: dict[str, Any], jobs: Jobs) -> int:
    """In the child: run the job and write what it gave, or why it failed, to the result file."""
    die_with_parent()
    os.setpgid(0, 0)
    os.chdir(request["folder"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if request["memory"]:
        resource.setrlimit(resource.RLIMIT_DATA, (request["memory"], request["memory"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer = {"value": jobs[request["job"]](**request["arguments"])}
    except DynoliteError as error:
        answer = {"kind": type(error).__name__, "error": str(error)}
    except MemoryError:
        answer = {"kind": "MemoryError", "error": "out of memory"}
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        traceback.print_exc()
        answer = {"kind": "", "error": f"{type(error).__name__}: {error}"}
    Path(request["result"]).write_text(json.dumps(answer), "utf-8")
    sys.stdout.flush()
    return 0


def die_with_parent() -> None:
    """Leave no orphan behind when the parent is killed (on Linux; elsewhere stdin's end does)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
