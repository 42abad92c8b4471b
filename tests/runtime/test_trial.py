"""Trials: what a model file does to the process that loads it stays in that process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import interpreter, trial
from runtime.errors import ArtifactError, SelfTestError
from tests import models

PACKAGE = interpreter.package().name
CRASHERS = [name for name, entry in models.MODELS.items() if entry.fails.get(PACKAGE) == "crash"]
ROOT = Path(__file__).resolve().parents[2]


def forked(path: Path, seconds: float = 60.0, hooks: str = "") -> str:
    """Run `trial.forked` in a process with one thread, as a server's master is; what it raised."""
    script = (
        "import sys; from pathlib import Path; from runtime import trial\n"
        "try: trial.forked(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "else: print('passed')"
    )
    command = [sys.executable, "-c", script, str(path), str(seconds), hooks]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["mlp", "packed", "stateful", "lstm", "no_signature"])
def test_a_sound_file_passes_both_trials(name: str) -> None:
    """Forked and spawned trials agree that the file is sound."""
    assert forked(models.path(name)) == "passed"
    trial.spawned(models.path(name), 60)


@pytest.mark.parametrize("name", CRASHERS)
def test_a_file_that_crashes_the_interpreter_costs_a_message(name: str) -> None:
    """A signal in the child is an ArtifactError here, and this process lives."""
    assert "ArtifactError the file crashes the interpreter with SIG" in forked(models.path(name))
    with pytest.raises(ArtifactError, match="crashes the interpreter with SIG"):
        trial.spawned(models.path(name), 60)


def test_there_is_a_crasher_to_try() -> None:
    """The catalogue holds a file that kills this interpreter's process."""
    assert CRASHERS


def test_samples_that_are_not_reproduced_fail_the_trial() -> None:
    """The self-test's own words come through from the child."""
    assert "SelfTestError golden sample 0" in forked(models.path("packed_wrong"))
    with pytest.raises(SelfTestError, match="golden sample 0"):
        trial.spawned(models.path("packed_wrong"), 60)


def test_a_trial_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """Nothing waits for ever on a file; this one's hooks never end, so it is too long however late one looks."""
    hooks = tmp_path / "hooks.py"
    hooks.write_text("import threading\nthreading.Event().wait()\n")
    assert "was ended after" in forked(models.path("mlp"), 0.1, str(hooks))
    with pytest.raises(ArtifactError, match="was ended after"):
        trial.spawned(models.path("mlp"), 0.1, hooks=str(hooks))


def test_a_trial_is_held_to_its_memory() -> None:
    """A limit on memory ends the child, not the server."""
    with pytest.raises(ArtifactError):
        trial.spawned(models.path("mlp"), 60, memory=64 << 10)


def test_the_spawned_trial_sees_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new process is given a few variables by name and nothing else."""
    monkeypatch.setenv("MODEL_AUTH", "secret")
    assert "MODEL_AUTH" not in {name for name in os.environ if name in trial._PASSED_ON}
    trial.spawned(models.path("mlp"), 60)
