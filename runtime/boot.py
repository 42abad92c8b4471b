"""From settings to loaded models: fetch, try in a child process, load; or, where that fails, what was served before.

load_all       in the master, before the workers are forked (gunicorn.conf.py)
in_background  in a process that nobody prepared: any other WSGI server, one thread that keeps trying
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from runtime import cache, hooks, interpreter, model, obtain, trial
from runtime.board import Board
from runtime.errors import ArtifactError, DynoliteError
from runtime.index import EXACT
from runtime.model import Limits
from runtime.models import Canary, Models
from runtime.obtain import Outcome, Wanted
from runtime.settings import Settings, shown_url
from runtime.source import Found

LOG = logging.getLogger("dynolite")
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


def limits(settings: Settings) -> Limits:
    """What one request to a model may use."""
    return Limits(
        settings.interpreters,
        settings.interpreter_threads,
        settings.max_waiting,
        settings.chunk_bytes,
        settings.max_tensor_bytes,
        settings.request_seconds,
    )


def expect_all(settings: Settings, models: Models) -> None:
    """Tell `models` what is to come."""
    for item in obtain.wanted(settings):
        if item.key == item.main:
            models.expect(item.key, "loading")


def load_all(settings: Settings, models: Models, seconds: float) -> Board:
    """Fetch, try and load every model within `seconds`. The board tells what could not be had, and why.

    Where a model cannot be had, the version that this machine served last goes on, if there is one.
    """
    deadline = time.monotonic() + seconds
    expect_all(settings, models)
    listed = obtain.wanted(settings)
    with contextlib.suppress(Exception):  # whatever a broken package raises: the trials will tell
        interpreter.package()  # imported once for them, which are forks, and for this process
    now = Board()
    for number, item in enumerate(listed):
        # One model that hangs must not take the time of all others.
        share = (deadline - time.monotonic()) / (len(listed) - number)
        outcome = obtain.forked(item.model, settings, time.monotonic() + share)
        reason = load(settings, models, item, outcome)
        if reason and not models.digest(item.key):
            _serve_last_good(settings, models, item, outcome, deadline)
        if reason:
            now.reasons[item.key], now.versions[item.key] = reason, outcome.version
    return now


def load(settings: Settings, models: Models, item: Wanted, outcome: Outcome) -> str:
    """Serve what was obtained; why not, "" when it is served. What fails is logged and told in `models`."""
    reason = outcome.reason
    if outcome.found and not reason:
        try:
            serve(settings, models, item, outcome.found)
        except DynoliteError as error:
            reason = str(error)
    if reason:
        log_reason(models, item, replace(outcome, reason=reason))
        note_reason(models, item, reason, outcome.version)
    return reason


def log_reason(models: Models, item: Wanted, outcome: Outcome) -> None:
    """Write why a model, or its new version, is not there; by its name, as where it is ready, if that is known."""
    LOG.error("model=%s version=%s not ready: %s", models.name(item.main), outcome.version or "?", outcome.reason)


def serve(settings: Settings, models: Models, item: Wanted, found: Found) -> None:
    """Load a file that has passed its trial and serve it in the place of what the item's key stood for."""
    if item.key != item.main and models.digest(item.main) == found.sha256:
        models.put_canary(item.main, None)  # the main version is there already: it need not be loaded twice
        return
    loaded = hooks.around(model.load(Path(found.path), limits(settings)), hooks.load(item.model.hooks))
    if loaded.artifact.digest != found.sha256:
        raise ArtifactError(f"{Path(found.path).name} changed after its trial")
    if loaded.artifact.manifest is None:
        loaded.artifact = replace(loaded.artifact, listed=found.version)
    # The first run allocates and packs what the workers then share.
    loaded.self_test(every=False)
    if item.key == item.main:
        told = loaded.artifact.manifest.name if loaded.artifact.manifest else found.name
        models.put(item.model.name or told, loaded, item.key, found.serial, found.channels)
    else:
        models.put_canary(item.main, Canary(item.percent, loaded, found.serial, found.channels))
    LOG.info("model=%s version=%s sha256=%.12s ready", loaded.name, loaded.artifact.version, found.sha256)
    if found.cached:
        kept = cache.prepare(settings.cache_dir, settings.cache_max_bytes)
        kept.write_note(_good_key(item), asdict(found), "good")


def note_reason(models: Models, item: Wanted, reason: str, version: str = "") -> None:
    """Have /health tell why a model, or the `version` of it that is wanted, is not there; "" when it is."""
    if item.key == item.main:
        models.expect(item.key, reason, version)
    else:
        models.expect_canary(item.main, item.percent, reason, version)


def in_background(settings: Settings, models: Models) -> Callable[[], None]:
    """A function to call at each request: in a process it has not seen, it starts a thread that loads the models."""
    started: list[int] = []

    def wake() -> None:
        if os.getpid() not in started:
            started[:] = [os.getpid()]
            expect_all(settings, models)
            threading.Thread(target=_keep_trying, args=(settings, models), daemon=True, name="boot").start()

    return wake


def _keep_trying(settings: Settings, models: Models) -> None:
    pause, missing = _FIRST_PAUSE, {item.key: item for item in obtain.wanted(settings)}
    while missing:
        try:
            serving = {item.key: models.digest(item.key) for item in obtain.wanted(settings)}
            for key, outcome in obtain.spawned(settings, serving, {}).items():
                if key in missing and not load(settings, models, missing[key], outcome):
                    del missing[key]
        except Exception:
            LOG.exception("getting the models failed; trying on")
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _serve_last_good(settings: Settings, models: Models, item: Wanted, outcome: Outcome, deadline: float) -> None:
    """Serve what this machine served last, if it may stand in for what is wanted."""
    try:
        kept = cache.prepare(settings.cache_dir, settings.cache_max_bytes)
        note = kept.note(_good_key(item), "good")
        path = kept.find(note["sha256"]) if "sha256" in note else None
        if path is None or not _may_stand_in(item, note):
            return
        found = Found(**{**note, "path": str(path), "channels": tuple(note["channels"])})
        seconds = min(settings.trial_seconds, max(1.0, deadline - time.monotonic()))
        trial.forked(path, seconds, item.model.hooks)
        serve(settings, models, item, found)
        note_reason(models, item, outcome.reason, outcome.version)
        LOG.warning("model=%s the version that was served last stands in", models.name(item.main))
    except (DynoliteError, KeyError, TypeError) as error:
        LOG.warning("model=%s what was served last cannot stand in: %s", models.name(item.main), error)


def _may_stand_in(item: Wanted, note: Mapping[str, Any]) -> bool:
    """A digest or an exact version that is asked for is never answered by another."""
    asked = item.model
    if asked.sha256 not in ("", note.get("sha256")):
        return False
    return not (asked.is_index and EXACT.fullmatch(asked.version)) or asked.version == note.get("version")


def _good_key(item: Wanted) -> str:
    return cache.key_of(f"{item.key} {shown_url(item.model.url)}")
