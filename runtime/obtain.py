"""Get models ready to be loaded: each is fetched and then tried, in processes that may die.

    forked(wanted)    at boot, in the master: one fork fetches, another tries
    spawned(...)      later, from a worker: one new Python fetches all that is wanted and has each new file tried

No library that only fetches is ever imported in a process that serves, and no download touches its memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from runtime import child, source, trial
from runtime.errors import ArtifactError, DynoliteError, TrialEndedError
from runtime.machine import memory_limit
from runtime.model_settings import ModelSettings
from runtime.settings import Settings, from_env
from runtime.source import Found

_CANARY = "@canary"
_BOOT_RETRIES_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that the settings ask for; `key` is what it goes by until its artifact is read, `percent` a canary's."""

    key: str
    model: ModelSettings
    percent: float = 100.0

    @property
    def main(self) -> str:
        """The key of the model whose canary this is, or its own."""
        return self.key.removesuffix(_CANARY)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt: a file that may be loaded (or is served already), or the `reason` why not.

    `version` is the one that is wanted, as far as that is known; `found` what was fetched, even if it is refused.
    `passing`: the reason is none that lies in the file. With neither file nor reason the attempt is still under way.
    """

    found: Found | None = None
    reason: str = ""
    version: str = ""
    passing: bool = False


def wanted(settings: Settings) -> tuple[Wanted, ...]:
    """Every model that the settings ask for, the default first, each with its canary behind it."""
    listed = []
    for model in settings.models:
        key = model.name or "model"
        listed.append(Wanted(key, model))
        if model.canary:
            version, percent = model.canary
            listed.append(Wanted(key + _CANARY, replace(model, version=version, canary=None), percent))
    return tuple(listed)


def forked(asked: ModelSettings, settings: Settings, deadline: float) -> Outcome:
    """Fetch and try one model before `deadline` (of `time.monotonic`)."""
    left = max(0.0, deadline - time.monotonic())
    # Until the workers are there nobody is answered: what fails now is better tried again later.
    ask = source.Ask(deadline, retry_until=time.monotonic() + _BOOT_RETRIES_SECONDS)
    if source.is_local(asked) or asked.base64:
        outcome = _fetch(asked, settings, ask)
    else:
        # In a process of its own: it can be ended in time whatever it waits for, and takes its libraries with it.
        def work(tell: child.Tell) -> None:
            telling = replace(ask, chose=lambda version: tell(_line("", Outcome(version=version))))
            tell(_line("", _fetch(asked, settings, telling)))

        answer = child.forked(work, left)
        ended = f"had {left:.0f} s at the start (BOOT_SECONDS)" if answer.late else f"ended{answer.how}"
        outcome = _last(answer, "", f"the process that fetches {ended}; trying on")
    if outcome.found is None or outcome.reason:
        return outcome
    seconds = min(settings.trial_seconds, max(1.0, deadline - time.monotonic()))
    return _tried(outcome, lambda path: trial.forked(path, seconds, asked.hooks))


def spawned(settings: Settings, serving: Mapping[str, str], refused: Mapping[str, str]) -> dict[str, Outcome]:
    """Fetch all that is wanted and try what is new, each within FETCH_SECONDS and TRIAL_SECONDS.

    `serving`: the digest now served, by key; `refused`: why not, by digest: neither is tried (again).
    """
    seconds = len(wanted(settings)) * (settings.fetch_seconds + settings.trial_seconds) + 10
    argument = json.dumps({"serving": serving, "refused": refused})
    answer = child.spawned("runtime.obtain", [argument], seconds, os.environ)
    ended = f"the process that fetches was ended{answer.how}; it is started again"
    return {item.key: _last(answer, item.key, ended) for item in wanted(settings)}


def main(argv: list[str]) -> int:
    """In the new Python: print an outcome a line."""
    child.end_with_parent()
    known = json.loads(argv[0])
    settings = from_env(os.environ)
    ready: set[str] = set()  # the master is yet to load them
    for item in wanted(settings):
        deadline, serving = time.monotonic() + settings.fetch_seconds, known["serving"].get(item.key, "")
        ask = source.Ask(deadline, serving, keep=frozenset(ready))
        outcome = _attempt(item, settings, ask, known["refused"])
        if outcome.found and not outcome.reason:
            ready.add(outcome.found.sha256)
        _print(item.key, outcome)
    return 0


def _attempt(item: Wanted, settings: Settings, ask: source.Ask, refused: Mapping[str, str]) -> Outcome:
    telling = replace(ask, chose=lambda version: _print(item.key, Outcome(version=version)))
    outcome = _fetch(item.model, settings, telling)
    if outcome.found is None or outcome.found.sha256 == ask.serving:
        return outcome
    if outcome.found.sha256 in refused:
        return replace(outcome, reason=refused[outcome.found.sha256])
    memory = max(256 << 20, memory_limit() // 2)
    return _tried(outcome, lambda path: trial.spawned(path, settings.trial_seconds, memory, item.model.hooks))


def _fetch(asked: ModelSettings, settings: Settings, ask: source.Ask) -> Outcome:
    chosen = [""]

    def chose(version: str) -> None:
        chosen[0] = version
        ask.chose(version)

    try:
        found = source.fetch(asked, settings, replace(ask, chose=chose))
    except DynoliteError as error:
        return Outcome(None, str(error), chosen[0])
    except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold the URL, and secrets with it
        return Outcome(None, f"fetching failed with {type(error).__name__}", chosen[0])
    return Outcome(found, "", found.version)


def _tried(outcome: Outcome, attempt: Callable[[Path], trial.Passed]) -> Outcome:
    """The outcome after its file's trial."""
    assert outcome.found  # noqa: S101 - only what was found is tried
    try:
        passed = attempt(Path(outcome.found.path))
        _refuse_unsure(outcome.found, passed)
    except DynoliteError as error:
        return replace(outcome, reason=str(error), passing=isinstance(error, TrialEndedError))
    return replace(outcome, version=outcome.version or passed.version)


def _print(key: str, outcome: Outcome) -> None:
    sys.stdout.buffer.write(_line(key, outcome))
    sys.stdout.flush()


def _line(key: str, outcome: Outcome) -> bytes:
    """An outcome for another process."""
    return json.dumps({"key": key} | asdict(outcome)).encode() + b"\n"


def _last(answer: child.Answer, key: str, ended: str) -> Outcome:
    """The last that a process told under this key; for the reason `ended`, where that was not its last word."""
    outcome = Outcome()
    for line in answer.said.decode().splitlines():
        with contextlib.suppress(ValueError):  # a line that a crash cut off
            told = json.loads(line)
            if told.pop("key") == key:
                found = told["found"] and Found(**{**told["found"], "channels": tuple(told["found"]["channels"])})
                outcome = Outcome(**{**told, "found": found})
    return outcome if outcome.found or outcome.reason else replace(outcome, reason=ended)


def _refuse_unsure(found: Found, passed: trial.Passed) -> None:
    if not (found.sure or passed.manifest):
        raise ArtifactError(
            "the file has no manifest, and its URL no digest to tell a whole file from a broken one: "
            "pack it with tools/export.py, or set MODEL_SHA256, or MODEL_PLAIN=allow"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
