"""How the app is started: the Procfile, what it names, and the platform's own file."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

from tools.checks.base import App, Check, Finding, fail, ok, skip, warn

COMMAND = "gunicorn runtime.wsgi:app"
_DEVELOPMENT = (
    (r"\bflask\s+run\b", "flask run"),
    (r"\bmanage\.py\s+runserver\b", "manage.py runserver"),
    (r"\bpython3?\s+(?!-m\s+gunicorn)\S+\.py\b", "python FILE.py"),
    (r"\bpython3?\s+-m\s+(flask|http\.server)\b", "a development server"),
)


def web_line(app: App) -> str | None:
    """The command of the Procfile's web process."""
    match = re.search(r"^web\s*:[ \t]*(\S.*?)\s*$", app.text("Procfile") or "", re.MULTILINE)
    return match[1] if match else None


def procfile(app: App) -> Finding:
    """A Procfile, spelled so, with a web process that is no development server."""
    path = app.root / "Procfile"
    if not path.is_file():
        near = [entry for entry in app.root.iterdir() if entry.name.lower() in ("procfile", "procfile.txt")]
        if near:
            fix = f"rename {near[0].name} to Procfile"
            return fail(f"{near[0].name} is not read: the name is Procfile", fix, lambda: _rename(near[0], path))
        fix = f"write a Procfile with the line: web: {COMMAND}"
        return fail("there is no Procfile, so nothing is started", fix, lambda: _write(path, f"web: {COMMAND}\n"))
    command = web_line(app)
    if command is None:
        return fail("the Procfile has no web process", f"add the line: web: {COMMAND}")
    for pattern, name in _DEVELOPMENT:
        if re.search(pattern, command):
            return fail(f"the web process is {name}: one request at a time, no restarts", f"use: web: {COMMAND}")
    if b"\r" in path.read_bytes():
        fix = "end its lines with LF"
        text = path.read_text(encoding="utf-8")
        return fail("the Procfile has Windows line ends: the command gets a \\r", fix, lambda: _write(path, text))
    return ok(f"web: {command}")


def entry_point(app: App) -> Finding:
    """The module that gunicorn is to import is there."""
    command = web_line(app)
    if command is None:
        return skip("no web process")
    words = shlex.split(command)
    if "gunicorn" not in [Path(word).name for word in words]:
        return skip(f"{words[0]} is not gunicorn")
    target = _target(words[1:])
    if not target:
        return fail("gunicorn is not told what to serve", f"use: web: {COMMAND}")
    module = target.partition(":")[0]
    parts = module.split(".")
    folder = re.search(r"--chdir[ =](\S+)", command)
    base = app.root.joinpath(folder[1] if folder else "", *parts)
    if not (base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()):
        return fail(f"there is no module {module} in this folder", f"name one that is there, such as: web: {COMMAND}")
    return ok(f"{target} is there")


def _target(words: list[str]) -> str:
    """The MODULE:APP among gunicorn's arguments; MODULE alone where no word has a colon."""
    named = [word for word in words if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.()]*", word)]
    bare = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if re.fullmatch(r"[A-Za-z_][\w.]*", word) and not before.startswith("-") and not word.endswith(".py")
    ]
    return (named or bare or [""])[-1]


def platform_file(app: App) -> Finding:
    """The file that the platform reads is there and says what it must."""
    readers = {"heroku": _app_json, "render": _render, "fly": _fly, "cloudrun": _docker}
    reader = readers.get(app.platform.name)
    return reader(app) if reader else skip("this platform has no file of its own")


def _app_json(app: App) -> Finding:
    text = app.text("app.json")
    if text is None:
        return skip("no app.json: only the Heroku Button needs one")
    try:
        told = json.loads(text)
    except ValueError as error:
        return fail(f"app.json is not JSON: {error}", "correct it")
    if not isinstance(told, dict):
        return fail("app.json is no object", "correct it")
    return ok("app.json can be read")


def _render(app: App) -> Finding:
    text = app.text("render.yaml")
    if text is None:
        return warn("no render.yaml: its settings must be made by hand", "copy dynolite's render.yaml")
    if "healthCheckPath" not in text:
        return warn(
            "render.yaml has no healthCheckPath: traffic comes before the model", "add healthCheckPath: /health"
        )
    return ok("render.yaml names a health check")


def _fly(app: App) -> Finding:
    text = app.text("fly.toml")
    if text is None:
        return fail("there is no fly.toml", "copy dynolite's fly.toml, or run: fly launch --no-deploy")
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return fail(f"fly.toml is not TOML: {error}", "correct it")
    if told.get("kill_signal", "SIGINT") != "SIGTERM":
        return fail("Fly sends SIGINT: gunicorn drops the requests under way", 'add kill_signal = "SIGTERM"')
    inner = told.get("http_service", {}).get("internal_port")
    given = int(told.get("env", {}).get("PORT", 8000))
    if inner is not None and inner != given:
        return fail(f"Fly asks port {inner}, the server binds {given}", "let internal_port and PORT in [env] agree")
    return ok("fly.toml stops with SIGTERM and asks the right port")


def _docker(app: App) -> Finding:
    text = app.text("Dockerfile")
    if text is None:
        return fail("there is no Dockerfile", "copy dynolite's Dockerfile and .dockerignore")
    if not re.search(r"^USER\s+(?!root|0\b)\S+", text, re.MULTILINE):
        return warn("the image runs as root", "add a user, and USER with its number")
    if re.search(r"^CMD\s+[^\[\s]", text, re.MULTILINE):
        return fail("CMD is a shell line: the shell gets SIGTERM, gunicorn does not", 'use CMD ["gunicorn", ...]')
    return ok("the Dockerfile runs as its own user and gets SIGTERM")


def _rename(old: Path, new: Path) -> str:
    old.rename(new)
    return f"renamed {old.name} to {new.name}"


def _write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8", newline="\n")
    return f"wrote {path.name}"


CHECKS = (
    Check("procfile", "a Procfile with a web process", procfile, ("H10", "H14")),
    Check("entry-point", "what the Procfile names is there", entry_point, ("H10",)),
    Check("platform-file", "the platform's own file", platform_file, ("BUILD",)),
)
