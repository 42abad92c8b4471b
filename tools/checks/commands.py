"""How the app is started: the command that the platform runs, wherever it is written, and what it names.

Heroku, generic    the Procfile
Render             startCommand in render.yaml, dockerCommand or the Dockerfile where it builds one
Fly                [processes] in fly.toml, else the Dockerfile, else (buildpacks) the Procfile
Cloud Run          command and args in deploy/cloud-run.yaml, else the Dockerfile
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.checks import declared
from tools.checks.base import App, Check, Finding, fail, ok, skip
from tools.checks.dockerfile import Dockerfile, image_of, words_of

COMMAND = "gunicorn runtime.wsgi:app"
_DEVELOPMENT = (
    (r"\bflask\s+run\b", "flask run"),
    (r"\bmanage\.py\s+runserver\b", "manage.py runserver"),
    (r"\bpython3?\s+(?!-m\s+gunicorn)\S+\.py\b", "python FILE.py"),
    (r"\bpython3?\s+-m\s+(flask|http\.server)\b", "a development server"),
)
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Command:
    """A line for /bin/sh, where it is written, and how the right one is written there."""

    line: str
    where: str
    right: str
    shell_form: bool = False

    @property
    def words(self) -> list[str]:
        """The line's words; ValueError where a quotation mark has no second one."""
        return shlex.split(self.line)


def command_of(app: App) -> Command | None:
    """The command that the platform starts; None where there is none, or where it stands in a damaged file."""
    found: Callable[[App], Command | None] = {"render": _of_render, "fly": _of_fly, "cloudrun": _of_cloud_run}.get(
        app.platform.name, _of_procfile
    )
    try:
        return found(app)
    except declared.DamagedError:
        return None


def _of_procfile(app: App) -> Command | None:
    match = re.search(r"^web\s*:[ \t]*(\S.*?)\s*$", app.text("Procfile") or "", re.MULTILINE)
    return Command(match[1], "the Procfile", f"web: {COMMAND}") if match else None


def _of_render(app: App) -> Command | None:
    file = declared.read(app.root, "render")
    if file and (image := image_of(app.root, "render")):
        line = file.get(str, "dockerCommand")
        return _written(line, "dockerCommand in render.yaml", "dockerCommand") if line else _of_image(image)
    line = file.get(str, "startCommand") if file else None
    return _written(line, "startCommand in render.yaml", "startCommand") if line else _of_procfile(app)


def _of_fly(app: App) -> Command | None:
    file = declared.read(app.root, "fly")
    processes = file.get(dict, "processes") if file else None
    if file and processes:
        served = file.get(list, "http_service", "processes") or ["app"]
        line = processes.get(served[0]) or next(iter(processes.values()))
        return _written(str(line), "[processes] in fly.toml", "app")
    image = image_of(app.root, "fly")
    return _of_image(image) if image else _of_procfile(app)


def _of_cloud_run(app: App) -> Command | None:
    file = declared.read(app.root, "cloudrun")
    image = image_of(app.root, "cloudrun")
    entry = file.get(list, *declared.CONTAINER, "command") if file else None
    arguments = file.get(list, *declared.CONTAINER, "args") if file else None
    if file and (entry or arguments):
        entry = entry or (image and words_of((image.last("ENTRYPOINT") or ("", ""))[1])) or []
        return Command(shlex.join(map(str, [*entry, *(arguments or [])])), f"command in {file.name}", "leave it out")
    return _of_image(image) if image else None


def _written(line: str, where: str, key: str) -> Command:
    return Command(line.strip(), where, f"{key}: {COMMAND}")


def _of_image(image: Dockerfile) -> Command | None:
    """ENTRYPOINT and CMD together, as Docker joins them; neither form is told from the other later."""
    entry, command = image.last("ENTRYPOINT"), image.last("CMD")
    given = entry or command
    if given is None or not given[1]:
        return None
    right = f"{given[0]} {json.dumps(COMMAND.split())}"
    where = f"{given[0]} in the Dockerfile"
    first = words_of(given[1])
    if first is None:
        return Command(given[1], where, right, shell_form=not given[1].startswith("exec "))
    if entry and command:
        more = words_of(command[1])
        first = [*first, *(["/bin/sh", "-c", command[1]] if more is None else more)]
    return Command(shlex.join(first), where, right)


def command(app: App) -> Finding:
    """There is one, where the platform looks for it, and it is no development server."""
    found = command_of(app)
    path = app.root / "Procfile"
    if found is None:
        return _none(app, path)
    if found.where == "the Procfile" and (finding := _form(path)):
        return finding
    problem = _problem(found)
    return fail(f"{found.where} {problem}", f"use: {found.right}") if problem else ok(f"{found.line} ({found.where})")


def _problem(found: Command) -> str:
    """What is wrong with a command, "" if nothing is."""
    try:
        words = found.words
    except ValueError as error:
        return f"cannot be read ({str(error).lower()}): {found.line}"
    for pattern, name in _DEVELOPMENT:
        if re.search(pattern, found.line):
            return f"starts {name}: one request at a time, no restarts"
    if found.shell_form:
        return "is a shell line: the shell gets SIGTERM, gunicorn does not"
    return "" if words else "is empty"


def _none(app: App, path: Path) -> Finding:
    """Nothing says what to start: why not, where that platform looks."""
    try:
        file = declared.read(app.root, app.platform.name)
    except declared.DamagedError as error:
        return skip(str(error))
    if app.platform.name == "render":
        where = "render.yaml has no startCommand" if file else "there is no render.yaml"
        return fail(f"{where}, so nothing says what to start", f"add startCommand: {COMMAND}")
    if app.platform.name == "cloudrun" or image_of(app.root, app.platform.name):
        there = (app.root / "Dockerfile").is_file()
        fix = f"add to the Dockerfile: CMD {json.dumps(COMMAND.split())}" if there else "copy dynolite's Dockerfile"
        return fail("the Dockerfile has no CMD" if there else "there is no Dockerfile, so nothing is started", fix)
    if path.is_file():
        return fail("the Procfile has no web process", f"add the line: web: {COMMAND}")
    near = [entry for entry in app.root.iterdir() if entry.name.lower() in ("procfile", "procfile.txt")]
    if near:
        fix = f"rename {near[0].name} to Procfile"
        return fail(f"{near[0].name} is not read: the name is Procfile", fix, lambda: _rename(near[0], path))
    fix = f"write a Procfile with the line: web: {COMMAND}"
    return fail("there is no Procfile, so nothing is started", fix, lambda: _write(path, f"web: {COMMAND}\n"))


def _form(path: Path) -> Finding | None:
    """What is wrong with the Procfile's bytes, if anything is."""
    content = path.read_bytes()
    text = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    if content.startswith(_BOM):
        message = "the Procfile begins with a byte order mark: its first process has another name"
        return fail(message, "save it as UTF-8 without BOM", lambda: _write(path, text))
    if b"\r" in content:
        message = "the Procfile has Windows line ends: the command gets a \\r"
        return fail(message, "end its lines with LF", lambda: _write(path, text))
    return None


def entry_point(app: App) -> Finding:
    """The module that gunicorn is to import is there."""
    found = command_of(app)
    if found is None:
        return skip("nothing is started")
    try:
        words = found.words
    except ValueError:
        return skip(f"{found.where} cannot be read")
    names = [Path(word).name for word in words]
    if "gunicorn" not in names:
        return skip(f"{' '.join(words[:1])} is not gunicorn")
    target = _target(words[names.index("gunicorn") + 1 :])
    if not target:
        return fail("gunicorn is not told what to serve", f"use: {found.right}")
    module = target.partition(":")[0]
    folder = re.search(r"--chdir[ =](\S+)", found.line)
    base = app.root.joinpath(folder[1] if folder else "", *module.split("."))
    if not (base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()):
        return fail(f"there is no module {module} in this folder", f"name one that is there, such as: {found.right}")
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


def _rename(old: Path, new: Path) -> str:
    old.rename(new)
    return f"renamed {old.name} to {new.name}"


def _write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8", newline="\n")
    return f"wrote {path.name}"


CHECKS = (
    Check("command", "the command that the platform starts", command, ("H10", "H14")),
    Check("entry-point", "what the command names is there", entry_point, ("H10",)),
)
