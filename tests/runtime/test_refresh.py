"""One look for new versions, by the processes that the watcher starts: what it notes, and what it does not hold against
a file.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from runtime import board, boot, obtain, refresh, serving
from runtime.board import Board
from runtime.models import Models
from runtime.settings import Settings, from_env
from runtime.source import Found
from tests import hosts, models, published
from tests.hosts import Host
from tests.runtime.fetching import ROOT

INDEX = "/digits/index.json"
NEW = published.packed("1.1.0")
DIGEST = hashlib.sha256(NEW).hexdigest()
ARTIFACT = f"/digits/{published.url('1.1.0', NEW)}"


class Watcher:
    """What one worker's watcher does at each look; its master is none that could be told of new versions."""

    def __init__(self, environ: dict[str, str], folder: Path, patch: pytest.MonkeyPatch) -> None:
        for name, value in environ.items():
            patch.setenv(name, value)
        self.settings, self.models, self.folder = from_env(os.environ), Models(), folder
        boot.expect_all(self.settings, self.models)

    def look(self, *, forget: bool = False) -> Board:
        """The board after one look."""
        refresh._look(self.settings, self.models, self.folder, master=-1, forget=forget)
        return board.read(self.folder)


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """User code that is tried with each file."""
    path = tmp_path / "hooks.py"
    path.write_text("def after(outputs):\n    return outputs\n")
    return path


@pytest.fixture
def watcher(host: Host, folder: Path, hooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watcher:
    """It watches an index with one version, 1.1.0."""
    host.files |= published.files({"1.1.0": NEW}, {"latest": "1.1.0"})
    environ = {"MODEL_URL": host.url + INDEX, "CACHE_DIR": str(folder), "MODEL_HOOKS": str(hooks)}
    return Watcher(environ, tmp_path, monkeypatch)


def ending_with(number: int, counted: Path) -> str:
    """Hooks that end their process, as a kill from outside or a crash would; each leaves a line in a file."""
    return f"import os\nopen({str(counted)!r}, 'a').write('x\\n')\nos.kill(os.getpid(), {number})\n"


def test_a_trial_that_is_killed_is_tried_again_and_not_for_ever(watcher: Watcher, hooks: Path, tmp_path: Path) -> None:
    """The kernel kills trials first where memory is short: the file is refused when that has happened three times."""
    counted = tmp_path / "trials"
    hooks.write_text(ending_with(signal.SIGKILL, counted))
    for times in (1, 2):
        now = watcher.look()
        assert "trial was ended with SIGKILL" in now.reasons["model"]
        assert (now.versions["model"], now.refused, now.passing) == ("1.1.0", {}, {DIGEST: times})
    assert list(watcher.look().refused) == [DIGEST]
    now = watcher.look()
    assert "trial was ended with SIGKILL" in now.reasons["model"]
    assert len(counted.read_text().splitlines()) == 3
    hooks.write_text("def after(outputs):\n    return outputs\n")
    now = watcher.look(forget=True)
    assert (list(now.ready), now.reasons, now.refused) == (["model"], {}, {})


def test_a_trial_that_has_no_more_time_is_tried_again(
    watcher: Watcher, hooks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine may have been slow; here the trial never ends."""
    hooks.write_text("import threading\nthreading.Event().wait()\n")
    monkeypatch.setenv("TRIAL_SECONDS", "1")
    watcher.settings = from_env(os.environ)
    now = watcher.look()
    assert "trial was ended after 1 s" in now.reasons["model"]
    assert (now.refused, now.passing) == ({}, {DIGEST: 1})


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT], ids=lambda number: number.name)
def test_a_crash_is_the_file_s_own(watcher: Watcher, hooks: Path, tmp_path: Path, number: signal.Signals) -> None:
    """It is refused at once."""
    hooks.write_text(ending_with(number, tmp_path / "trials"))
    for _ in range(2):
        now = watcher.look()
        assert f"crashes the interpreter with {number.name}" in now.reasons["model"]
        assert list(now.refused) == [DIGEST]
    assert len((tmp_path / "trials").read_text().splitlines()) == 1


def test_a_fetch_that_is_killed_tells_which_version_was_wanted(watcher: Watcher, host: Host) -> None:
    """Its process told when it had read the index."""
    host.faults[ARTIFACT] = [killing(os.getpid())]
    now = watcher.look()
    assert "the process that fetches was ended with SIGKILL" in now.reasons["model"]
    assert now.versions["model"] == "1.1.0"


def test_a_fetch_that_is_killed_at_the_start_tells_it_too(host: Host, folder: Path) -> None:
    """The fork that fetches before there are workers."""
    host.files |= published.files({"1.1.0": NEW}, {"latest": "1.1.0"})
    script = (
        "import os, time; from runtime import obtain; from runtime.settings import from_env\n"
        "settings = from_env(os.environ)\n"
        "print(obtain.forked(settings.models[0], settings, time.monotonic() + 120))"
    )
    environ = {**os.environ, "MODEL_URL": host.url + INDEX, "CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", f"input(); {script}"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        host.faults[ARTIFACT] = [killing(process.pid)]
        told, _ = process.communicate("begin\n")
    assert "the process that fetches ended with SIGKILL; trying on" in told
    assert "version='1.1.0'" in told


def killing(parent: int) -> hosts.Fault:
    """Kill what this process has started, and never answer."""

    def fault(handler: hosts._Handler, body: bytes) -> None:
        del handler, body
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            for child in path.read_text().split():
                os.kill(int(child), signal.SIGKILL)

    return fault


def test_files_of_one_look_do_not_push_each_other_out(
    host: Host, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is too small for both, but the master is yet to load them."""
    other = published.packed("1.2.0", "int16x8")
    host.files |= published.files({"1.1.0": NEW, "1.2.0": other}, {"latest": "1.1.0", "canary": "1.2.0"})
    monkeypatch.setenv("CACHE_MAX_BYTES", "1")
    monkeypatch.setenv("MODEL_CANARY", "canary:50")
    watcher.settings = from_env(os.environ)
    now = watcher.look()
    assert sorted(now.ready) == ["model", "model@canary"]
    assert all(Path(file["path"]).is_file() for file in now.ready.values())


@pytest.fixture
def load_ready(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Board]:
    """Have a master load a file that a watcher has found; the board afterwards."""
    monkeypatch.setattr(serving, "models", watcher.models)

    def load(path: Path) -> Board:
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else DIGEST
        now = Board(ready={"model": asdict(Found(str(path), digest, version="1.1.0"))})
        serving._load_ready(watcher.settings, now)
        return now

    return load


def test_a_file_that_cannot_be_opened_is_not_refused(load_ready: Callable[[Path], Board], tmp_path: Path) -> None:
    """Somebody has cleared the cache: the file itself may be right, and is fetched again."""
    now = load_ready(tmp_path / "gone.tflite")
    assert "gone.tflite cannot be read" in now.reasons["model"]
    assert (now.refused, now.ready) == ({}, {})


def test_a_file_that_cannot_be_loaded_is_refused(load_ready: Callable[[Path], Board]) -> None:
    """The master has opened it, and found something wrong."""
    now = load_ready(models.path("packed_wrong"))
    assert list(now.refused.values()) == [now.reasons["model"]]


def test_a_canary_tells_which_version_is_wanted() -> None:
    """As the main model does, until it is there."""
    told = Models()
    told.expect("model", "loading")
    canary = obtain.Wanted("model@canary", settings_of_one().models[0], 10.0)
    boot.note_reason(told, canary, "it is broken", "1.2.0")
    assert (noted := told.state().canary)
    assert (noted.note, noted.wanted) == ("it is broken", "1.2.0")
    boot.note_reason(told, canary, "")
    assert (noted := told.state().canary)
    assert (noted.note, noted.wanted) == ("", "")


def settings_of_one() -> Settings:
    return from_env({"MODEL_URL": "https://models.invalid" + INDEX})
