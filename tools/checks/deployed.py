"""Whether a model that lies in the folder goes with it: what Git or .slugignore leaves out is not there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from runtime import index, source
from runtime.errors import SettingError, SourceError
from runtime.model_settings import ModelSettings
from runtime.settings import from_env
from tools.checks.base import App, Check, Finding, ok, skip, warn
from tools.checks.files import is_ignored


def model_file(app: App) -> Finding:
    """Every model that is given by a path is among what is deployed, an index's artifact too."""
    try:
        models = from_env(app.environ).models
    except SettingError:
        return skip("the settings cannot be read")
    paths = [path for model in models if model.url and source.is_local(model) for path in _paths(app.root, model)]
    if not paths:
        return ok("no model is given by a path")
    for path in paths:
        reason, fix = _missing(app, path)
        if reason:
            return warn(f"{path} {reason}: after the push it is not there", fix)
    return ok("deployed with the app")


def _paths(root: Path, model: ModelSettings) -> Iterator[str]:
    """What the server will read, from the app's folder where it lies in it: the file, or the index and its artifact."""
    parts = urlsplit(model.url)
    named = Path(os.path.normpath(root / (unquote(parts.path) if parts.scheme else model.url)))
    yield _from(root, named)
    if model.is_index and named.is_file():
        try:
            chosen = index.choose(index.loads(named.read_bytes()), model.version)
        except SourceError:
            return  # the start tells it
        yield _from(root, named.parent / unquote(chosen.url))


def _from(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _missing(app: App, path: str) -> tuple[str, str]:
    """Why a file will not be there, and what to do; "" if it will."""
    elsewhere = "publish it to a store, and set MODEL_URL to its URL: docs/publish.md"
    if Path(path).is_absolute():
        return (
            "is not in the folder that is deployed",
            f"copy it into the folder (a mounted volume needs nothing), or {elsewhere}",
        )
    if not (app.root / path).is_file():
        return "does not exist", f"correct MODEL_URL: a path counts from the app's folder; or {elsewhere}"
    if path not in app.files:
        ignored = _git(app, "check-ignore", "--quiet", "--", path)
        why = "is not in Git, for .gitignore leaves it out" if ignored else "is not in Git"
        return why, f"git add {'--force ' if ignored else ''}{path}, and commit; or {elsewhere}"
    if app.platform.name == "heroku" and is_ignored(path, (app.text(".slugignore") or "").splitlines()):
        return "is left out of the slug by .slugignore", f"take its line out of .slugignore, or {elsewhere}"
    return "", ""


def _git(app: App, *arguments: str) -> bool:
    return subprocess.run(["git", *arguments], cwd=app.root, capture_output=True, check=False).returncode == 0


CHECKS = (Check("model-file", "a model given by a path is deployed with the app", model_file),)
