"""What one server has one of: its models, and the hooks by which gunicorn's master fills them.

It outlives a reload: gunicorn.conf.py is executed again at each SIGHUP, a module is not.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path

from runtime import board, boot, memory, obtain, onnx, refresh
from runtime.board import Board
from runtime.counters import Counters, Slots
from runtime.machine import memory_limit
from runtime.metrics import Metrics
from runtime.models import Models
from runtime.obtain import Outcome
from runtime.settings import Settings
from runtime.source import Found

LOG = logging.getLogger("dynolite")

models = Models()
# Whether a master loads the models; if not, each process does so itself.
prepared = False
_folder: Path | None = None
_slots: Slots | None = None


def nothing() -> None:
    """The `wake` of a process whose models were loaded before it was forked."""


def shared_metrics(settings: Settings) -> Metrics | None:
    """Counts that all workers share; None with METRICS=off. Call it before they are forked."""
    global _slots  # noqa: PLW0603 - one server, one set of counts
    if not settings.metrics:
        return None
    # While the workers are replaced there are twice as many, and a few more when that is done twice in a row.
    counters = Counters(3 * worker_count(settings) + 2 if prepared else 1)
    _slots = Slots(counters)
    return Metrics(counters)


def pre_fork(worker: int) -> None:
    """In the master, before the worker of this number is forked."""
    if _slots:
        _slots.take(worker)


def post_fork(worker: int) -> None:
    """In the worker of this number, as soon as it is there."""
    if _slots:
        _slots.enter(worker)


def worker_exit() -> None:
    """At a worker's end: ONNX Runtime would wait for a thread that the fork did not bring along, so leave at once.

    Called while the worker's SystemExit is under way.
    """
    if onnx.NAME in sys.modules:
        ending = sys.exc_info()[1]
        logging.shutdown()
        os._exit(ending.code if isinstance(ending, SystemExit) and isinstance(ending.code, int) else 0)


def child_exit(worker: int) -> None:
    """In the master, when the worker of this number has ended."""
    if _slots:
        _slots.give_back(worker)


def when_ready(settings: Settings) -> None:
    """In the master, port bound and workers not yet forked: load what can be had within the boot's budget."""
    global _folder  # noqa: PLW0603 - one server, one folder
    _folder = board.make_folder()
    if _folder is None:
        LOG.error("no temporary folder can be written: models are not fetched again, and not refreshed")
    memory.tame()
    try:
        _write(boot.load_all(settings, models, settings.boot_seconds))
    except Exception:
        # Not one of ours: no process could be forked, say. The watcher goes on from here.
        LOG.exception("the models could not be loaded at the start")
    memory.settle(started=True)


def on_reload(settings: Settings) -> None:
    """In the master, before new workers are forked: load what the watcher has made ready. Never raises.

    An exception here would end the whole server; the models that are there go on instead.
    """
    try:
        now = board.read(_folder) if _folder else Board()
        if now.ready:
            _load_ready(settings, now)
        else:
            now = boot.load_all(settings, models, settings.boot_seconds)
        _write(now)
    except Exception:
        LOG.exception("the new model could not be loaded; the server goes on as it was")
    memory.settle()


def _load_ready(settings: Settings, now: Board) -> None:
    items = {item.key: item for item in obtain.wanted(settings)}
    for key, fields in now.ready.items():
        found = Found(**{**fields, "channels": tuple(fields["channels"])})
        outcome = Outcome(found, "", found.version)
        if reason := boot.load(settings, models, items[key], outcome):
            now.reasons[key], now.versions[key] = reason, outcome.version
            # A file that is gone, or cannot be opened, may still be right.
            now.refuse(found.sha256, reason, passing=not os.access(found.path, os.R_OK))
    now.ready = {}


def _write(now: Board) -> None:
    try:
        if _folder:
            board.write(_folder, now)
    except OSError as error:
        LOG.error("the board cannot be written: %s", error.strerror)


def after_fork(settings: Settings) -> None:
    """In each worker: watch for what is missing or new. Never raises: that would end the whole server."""
    try:
        if _folder:
            refresh.watch(settings, models, _folder)
    except Exception:
        LOG.exception("this worker does not watch for new models")


def ask_refresh() -> bool:
    """Have the watcher look for new versions now; False where there is none (another server than gunicorn)."""
    if not (prepared and _folder):
        return False
    board.ask(_folder)
    return True


def on_exit() -> None:
    """In the master, at the end."""
    if _folder:
        shutil.rmtree(_folder, ignore_errors=True)


def worker_count(settings: Settings) -> int:
    """WEB_CONCURRENCY, else two workers a core, at most one for each 128 MB that this machine or container may use."""
    if settings.web_concurrency:
        return settings.web_concurrency
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(2 * cores, 8, memory_limit() // (128 << 20)))
