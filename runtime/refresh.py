"""The watcher: a thread in every worker, of which one, the holder of a lock file, gets what is missing or new.

    poll -> fetch -> trial, all in processes of their own -> note the file on the board -> SIGHUP to the master, which
    loads it and replaces the workers. When the holder dies, the lock goes to another worker.

The others read the board, so that each worker's /health tells the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import signal
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO

from runtime import board, boot, obtain
from runtime.board import Board
from runtime.models import Models
from runtime.settings import Settings

LOG = logging.getLogger("dynolite")
_FIRST_PAUSE, _LONGEST_PAUSE, _LOOK_SECONDS = 1.0, 60.0, 0.5
_LONGEST_SERVED_PAUSE = 600.0  # where an older version is served: a broken file is not fetched every minute for days


def watch(settings: Settings, models: Models, folder: Path) -> None:
    """Start the thread in this worker, unless there is nothing to watch for."""
    _show(settings, models, board.read(folder))
    if not obtain.wanted(settings):
        return
    if settings.model_refresh_seconds or settings.admin_key or not _settled(models):
        arguments = (settings, models, folder, os.getppid())
        threading.Thread(target=_watch, args=arguments, daemon=True, name="watcher").start()


def _watch(settings: Settings, models: Models, folder: Path, master: int) -> None:
    # The folder goes when the server ends.
    with contextlib.suppress(FileNotFoundError), (folder / "watcher.lock").open("w") as lock:
        seen = 0.0
        while not _try_lock(lock):
            seen = _follow(settings, models, folder, seen)
            time.sleep(_LOOK_SECONDS)
        while True:
            asked = _wait(settings, models, folder)
            try:
                rolled = _look(settings, models, folder, master, forget=asked)
            except Exception:
                # A full disk, a process that cannot be started: the thread must outlive it.
                LOG.exception("looking for new versions failed")
                rolled = False
                time.sleep(_LONGEST_PAUSE)
            if rolled:
                # This worker is being replaced; until then it keeps the lock, so that no other begins anew.
                time.sleep(settings.graceful_seconds + _LONGEST_PAUSE)


def _wait(settings: Settings, models: Models, folder: Path) -> bool:
    """Until it is time to look (False), or somebody asks (True)."""
    now = time.monotonic()
    due = board.read(folder).next_look
    if not due:
        due = now + _jittered(settings.model_refresh_seconds) if _settled(models) else now
    if not settings.model_refresh_seconds and _settled(models):
        due = float("inf")
    while time.monotonic() < due:
        if board.asked(folder):
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def _look(settings: Settings, models: Models, folder: Path, master: int, *, forget: bool) -> bool:
    """Fetch and try what is missing or new; True when the master was asked to load some of it.

    `forget`: try also what was refused before.
    """
    before = board.read(folder)
    if forget:
        before.refused, before.passing = {}, {}
    items = {item.key: item for item in obtain.wanted(settings)}
    # A canary at the main version is not loaded twice: what is served for it is the main one.
    serving = {key: models.digest(key) or models.digest(item.main) for key, item in items.items()}
    now = Board(refused=dict(before.refused), passing=dict(before.passing))
    for key, outcome in obtain.spawned(settings, serving, before.refused).items():
        found = outcome.found
        if outcome.reason:
            now.reasons[key] = outcome.reason
            now.versions[key] = outcome.version
            if found:
                now.refuse(found.sha256, outcome.reason, passing=outcome.passing)
            if outcome.reason != before.reasons.get(key):
                boot.log_reason(models, items[key], outcome)
        elif found and found.sha256 != serving[key]:
            now.ready[key] = asdict(found)
    now.failures = before.failures + 1 if now.reasons else 0
    now.next_look = time.monotonic() + _pause(settings, models, now)
    board.write(folder, now)
    _show(settings, models, now)
    if not now.ready or os.getppid() != master:
        return False
    ready = (f"{models.name(items[key].main)} {file['version']}" for key, file in now.ready.items())
    LOG.info("new versions are ready: %s", ", ".join(ready))
    os.kill(master, signal.SIGHUP)
    return True


def _pause(settings: Settings, models: Models, now: Board) -> float:
    """Seconds until the next look: the interval, and the longer the more often it has failed."""
    longest = _LONGEST_SERVED_PAUSE if models.ready else _LONGEST_PAUSE
    backoff = min(_FIRST_PAUSE * 2 ** min(now.failures, 20), longest) if now.reasons else 0.0
    if models.ready:
        backoff = max(backoff, settings.model_refresh_seconds)
    return _jittered(backoff or settings.model_refresh_seconds)


def _jittered(seconds: float) -> float:
    """So that dynos which start together do not all ask at once."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311


def _settled(models: Models) -> bool:
    """Whether everything that is wanted is served."""
    notes = [state.note or (state.canary.note if state.canary else "") for state in models.states.values()]
    return models.ready and not any(notes)


def _follow(settings: Settings, models: Models, folder: Path, seen: float) -> float:
    """Tell in this worker what the watcher has found, if that has changed; when it was written, by the file's time."""
    with contextlib.suppress(OSError):
        written = (folder / "board.json").stat().st_mtime
        if written != seen:
            _show(settings, models, board.read(folder))
        return written
    return seen


def _show(settings: Settings, models: Models, now: Board) -> None:
    """Have this worker's /health tell what is on the board."""
    for item in obtain.wanted(settings):
        if item.key in now.reasons or models.digest(item.key):
            boot.note_reason(models, item, now.reasons.get(item.key, ""), now.versions.get(item.key, ""))


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
