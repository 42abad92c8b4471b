"""Whether what the app needs of the folder goes with it: what Git, .slugignore or the image leaves out is not there."""

from __future__ import annotations

import fnmatch
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from runtime import index, source
from runtime.errors import SettingError, SourceError
from runtime.model_settings import ModelSettings
from runtime.settings import from_env
from tools.checks.base import App, Check, Finding, fail, ok, skip, warn
from tools.checks.commands import command_of
from tools.checks.dockerfile import image_of, is_left_out

_BY_GIT = ("heroku", "render", "generic")
_ELSEWHERE = "publish it to a store, and set MODEL_URL to its URL: docs/publish.md"


def code(app: App) -> Finding:
    """What the build and the start read is among what is deployed."""
    needed = ["gunicorn.conf.py", *_inside(app.root / "runtime", app.root)]
    needed = [name for name in needed if (app.root / name).is_file()]
    missing = [(name, *left_out(app, name)) for name in needed]
    missing += [(name, *left_out(app, name, built=False)) for name in _read_by_the_build(app)]
    told = [(name, why, fix) for name, why, fix in missing if why]
    if told:
        name, why, fix = told[0]
        more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
        return fail(f"{name}{more} {why}", fix)
    return ok("deployed with the app")


def _read_by_the_build(app: App) -> Iterator[str]:
    command = command_of(app)
    read = ["requirements.txt"]
    if image_of(app.root, app.platform.name) is None:
        read += ["runtime.txt", ".python-version", "Pipfile.lock", "poetry.lock", "uv.lock"]
        read += ["Procfile"] if command and command.where == "the Procfile" else []
    return (name for name in read if (app.root / name).is_file())


def _inside(folder: Path, root: Path) -> list[str]:
    return sorted(
        path.relative_to(root).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def model_file(app: App) -> Finding:
    """Every model that is given by a path is among what is deployed, an index's artifact too; hooks likewise."""
    try:
        models = from_env(app.environ).models
    except SettingError:
        return skip("the settings cannot be read")
    paths = [path for model in models if model.url and source.is_local(model) for path in _paths(app.root, model)]
    for path in paths:
        why, fix = _missing(app, path)
        if why:
            return warn(f"{path} {why}: after the push it is not there", fix)
    hooks = [path for model in models for path in _hooks(app, model)]
    for path in hooks:
        why, fix = left_out(app, path)
        if why:
            return warn(f"{path} {why}: the model is served without it, or not at all", fix)
    return ok("deployed with the app" if paths or hooks else "no model is given by a path")


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


def _hooks(app: App, model: ModelSettings) -> Iterator[str]:
    """The file of a model's hooks, if it lies in the folder: given by path or module, or the one that lies there."""
    given = model.hooks if model.label else app.environ.get("MODEL_HOOKS", "").strip() or "hooks.py"
    parts = given.replace(".", "/")
    for named in [given] if given.endswith(".py") else [f"{parts}.py", f"{parts}/__init__.py"]:
        path = Path(os.path.normpath(app.root / named))
        if given and path.is_relative_to(app.root) and path.is_file():
            yield _from(app.root, path)


def _from(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _missing(app: App, path: str) -> tuple[str, str]:
    """Why a model's file will not be there, and what to do; "" if it will."""
    if Path(path).is_absolute():
        fix = f"copy it into the folder (a mounted volume needs nothing), or {_ELSEWHERE}"
        return "is not in the folder that is deployed", fix
    if not (app.root / path).is_file():
        return "does not exist", f"correct MODEL_URL: a path counts from the app's folder; or {_ELSEWHERE}"
    why, fix = left_out(app, path)
    return why, f"{fix}; or {_ELSEWHERE}" if fix else ""


def left_out(app: App, path: str, *, built: bool = True) -> tuple[str, str]:
    """Why a file of the folder is not deployed, and what to do; "" if it is. `built`: it is to be in the image too."""
    if app.platform.name in _BY_GIT and path not in app.deployed:
        ignored = _git(app, "check-ignore", "--quiet", "--", path)
        why = "is not in Git, for .gitignore leaves it out" if ignored else "is not in Git"
        return why, f"git add {'--force ' if ignored else ''}{path}, and commit"
    if app.platform.name == "heroku" and built and is_ignored(path, (app.text(".slugignore") or "").splitlines()):
        return "is left out of the slug by .slugignore", "take its line out of .slugignore"
    image = image_of(app.root, app.platform.name)
    if image is None:
        return "", ""
    if is_left_out(path, (app.text(".dockerignore") or "").splitlines()):
        return "is kept from the image by .dockerignore", f"add to .dockerignore: !{path}{_and_copy(path, built)}"
    if built and not image.holds(path):
        return "is not copied into the image", f"add to the Dockerfile: COPY {path} ./{path}"
    return "", ""


def _and_copy(path: str, built: bool) -> str:
    return f"; and to the Dockerfile, unless it is there: COPY {path} ./{path}" if built else ""


def is_ignored(name: str, patterns: list[str]) -> bool:
    """Whether a line of .slugignore names this path, or a folder above it."""
    parts = name.split("/")
    above = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    for line in patterns:
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        if pattern.startswith("/"):
            matched = any(fnmatch.fnmatchcase(path, pattern.strip("/")) for path in above)
        else:
            matched = any(fnmatch.fnmatchcase(part, pattern.rstrip("/")) for part in parts)
        if matched:
            return True
    return False


def _git(app: App, *arguments: str) -> bool:
    return subprocess.run(["git", *arguments], cwd=app.root, capture_output=True, check=False).returncode == 0


CHECKS = (
    Check("code", "what the build and the start read is deployed", code, ("BUILD", "H10")),
    Check("model-file", "a model or hooks in the folder are deployed with the app", model_file),
)
