"""Try a model file in a process of its own: load it, replay its samples, say yes or no.

A flatbuffer can crash the interpreter that reads it (SIGSEGV), hang it or eat the memory. Here that costs a message.

    forked(path)    at boot, where milliseconds count: a fork that has closed the sockets and dropped the environment
    spawned(path)   later, beside a running server: a new Python with a clean environment and a memory limit
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from runtime import child
from runtime.child import Answer, Tell
from runtime.errors import ArtifactError, DynoliteError, SelfTestError, TrialEndedError

# Without model.Limits here: its module brings NumPy, which the process that spawns trials has no other use for.
_PASSED_ON = ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "OPENBLAS_NUM_THREADS")
_KINDS = {"self-test": SelfTestError, "artifact": ArtifactError}
# Sent from outside, by a kernel that is short of memory or by whoever stops processes; no file does that to itself.
_KILLS = (-signal.SIGKILL, -signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Passed:
    """What a trial has seen in a sound file: whether it has a manifest, and the version that this names."""

    manifest: bool
    version: str


def forked(path: Path, seconds: float, hooks: str = "") -> Passed:
    """Try the file, with these hooks, in a fork of this process (which must have one thread).

    Raises ArtifactError, SelfTestError; TrialEndedError where the file may be right all the same.
    """

    def examine(tell: Tell) -> None:
        os.environ.clear()
        _silence()
        _volunteer()
        tell(_examine(path, hooks))

    return _judge(child.forked(examine, seconds), seconds)


def spawned(path: Path, seconds: float, memory: int = 0, hooks: str = "") -> Passed:
    """Try the file in a new Python with a clean environment. `memory`: bytes it may take, 0 for no limit.

    Raises what `forked` does.
    """
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    arguments = [str(path.absolute()), str(memory), str(int(seconds) + 5), hooks]
    return _judge(child.spawned("runtime.trial", arguments, seconds, environ), seconds)


def main(argv: list[str]) -> int:
    """Try argv[0] within argv[1] bytes and argv[2] seconds of CPU, with the hooks argv[3]; print the answer as JSON."""
    path, memory, seconds = Path(argv[0]), int(argv[1]), int(argv[2])
    child.end_with_parent()
    _silence()
    _volunteer()
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))  # the second would be a SIGKILL
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        from runtime import interpreter  # noqa: PLC0415 - see _PASSED_ON

        interpreter.package()  # what it maps is not the file's doing
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    sys.stdout.write(_examine(path, argv[3]).decode())
    return 0


def _silence() -> None:
    """Interpreters talk on standard error, and so does a process that crashes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _volunteer() -> None:
    """Where the machine's memory runs out, have the kernel end this process and not the server."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _examine(path: Path, hooks_name: str) -> bytes:
    """What the child says: what it saw of a sound file, else the kind of error and its message."""
    from runtime import hooks, model  # noqa: PLC0415 - see _PASSED_ON

    try:
        tried = hooks.around(model.load(path), hooks.load(hooks_name))
        tried.self_test()
    except SelfTestError as error:
        return json.dumps({"kind": "self-test", "why": str(error)}).encode()
    except DynoliteError as error:
        return json.dumps({"kind": "artifact", "why": str(error)}).encode()
    except MemoryError:
        return json.dumps({"kind": "artifact", "why": "the model needs more memory than there is"}).encode()
    return json.dumps({"manifest": tried.artifact.manifest is not None, "version": tried.artifact.version}).encode()


def _judge(answer: Answer, seconds: float) -> Passed:
    if answer.late or answer.code == -signal.SIGXCPU:
        raise TrialEndedError(
            f"the file's trial was ended after {seconds:g} s: it hangs or is too large (TRIAL_SECONDS)"
        )
    try:
        told = json.loads(answer.said)
    except ValueError:
        if answer.code in _KILLS:
            raise TrialEndedError(f"the file's trial was ended{answer.how}: is there memory for it?") from None
        raise ArtifactError(
            f"the file crashes the interpreter{answer.how}: export it again, for this interpreter"
        ) from None
    if "kind" in told:
        raise _KINDS[told["kind"]](told["why"])
    return Passed(told["manifest"], told["version"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
