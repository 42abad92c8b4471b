"""What a Dockerfile makes: its last stage's command, user, environment, and which of the folder's files it holds."""

from __future__ import annotations

import fnmatch
import json
import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.checks import declared


@dataclass
class Stage:
    """One FROM and what follows it: pairs of an instruction's name and its arguments."""

    image: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)


class Dockerfile:
    """A Dockerfile, read. The last stage is the image; a stage that stands on another goes on where that ends."""

    def __init__(self, text: str) -> None:
        self.stages: list[Stage] = []
        given: dict[str, str] = {}
        for name, arguments in _instructions(text):
            if name == "FROM":
                words = [word for word in _filled(arguments, given).split() if not word.startswith("--")]
                named = words[2] if len(words) == 3 else str(len(self.stages))
                self.stages.append(Stage(words[0] if words else "", named))
            elif self.stages:
                self.stages[-1].steps.append((name, arguments))
            elif name == "ARG":
                given.update([arguments.partition("=")[::2]])

    @property
    def chain(self) -> list[Stage]:
        """The stages that the image consists of, the first one first."""
        return self._below(self.stages[-1]) if self.stages else []

    @property
    def image(self) -> str:
        """The image that all stands on, such as python:3.11-slim."""
        return self.chain[0].image if self.chain else ""

    def last(self, *names: str) -> tuple[str, str] | None:
        """The last instruction of one of these names, with its arguments."""
        found = [step for stage in self.chain for step in stage.steps if step[0] in names]
        return found[-1] if found else None

    @property
    def environ(self) -> dict[str, str]:
        """What ENV sets, but for values that are made of others."""
        found: dict[str, str] = {}
        for stage in self.chain:
            for name, arguments in stage.steps:
                if name == "ENV":
                    found.update(_pairs(arguments))
        return {name: value for name, value in found.items() if "$" not in value}

    @property
    def workdir(self) -> str:
        """The folder in which the command runs."""
        found = "/"
        for stage in self.chain:
            for name, arguments in stage.steps:
                if name == "WORKDIR":
                    found = posixpath.join(found, arguments)
        return found

    def holds(self, path: str) -> bool:
        """Whether a file of the folder gets into the image, to the same place below its WORKDIR."""
        return posixpath.normpath(posixpath.join(self.workdir, path)) in self._places(path, self.chain)

    def _below(self, stage: Stage) -> list[Stage]:
        before = self.stages[: self.stages.index(stage)]
        base = next((found for found in reversed(before) if found.name == stage.image), None)
        return [*(self._below(base) if base else []), stage]

    def _places(self, path: str, chain: list[Stage]) -> set[str]:
        """Where in the file system of these stages a file of the folder lies."""
        found: set[str] = set()
        workdir = "/"
        for stage in chain:
            for name, arguments in stage.steps:
                if name == "WORKDIR":
                    workdir = posixpath.join(workdir, arguments)
                elif name in ("COPY", "ADD"):
                    found |= self._copied(path, arguments, workdir)
        return found

    def _copied(self, path: str, arguments: str, workdir: str) -> set[str]:
        words = _array(arguments) or shlex.split(arguments)
        options = [word for word in words if word.startswith("--")]
        *sources, target = [word for word in words if not word.startswith("--")] or [""]
        named = next((word.partition("=")[2] for word in options if word.startswith("--from=")), None)
        if named is None:
            present = {posixpath.join("/", path)}
        else:
            stages = [stage for number, stage in enumerate(self.stages) if named in (stage.name, str(number))]
            present = self._places(path, self._below(stages[-1])) if stages else set()
        target = posixpath.join(workdir, target) + ("/" if target in (".", "..") else "")
        many = len(sources) > 1 or target.endswith("/")
        landed = (_landing(place, source, target, many=many) for place in present for source in sources)
        return {posixpath.normpath(place) for place in landed if place}


def _landing(place: str, source: str, target: str, *, many: bool) -> str:
    """Where a file at `place` lands when `source`, itself or a folder above it, is copied; "" if that is another."""
    pattern = posixpath.normpath(posixpath.join("/", source))
    parts = place.strip("/").split("/")
    for depth in range(len(parts) + 1):
        above = "/" + "/".join(parts[:depth])
        if not fnmatch.fnmatchcase(above, pattern) or above.count("/") != pattern.count("/"):
            continue
        if depth < len(parts):
            return posixpath.join(target, *parts[depth:])
        return posixpath.join(target, parts[-1]) if many else target
    return ""


def image_of(root: Path, platform: str) -> Dockerfile | None:
    """The Dockerfile by which that platform builds the app; None where it builds without one."""
    name = "Dockerfile"
    try:
        file = declared.read(root, platform)
        if platform == "fly" and file is not None:
            name = file.get(str, "build", "dockerfile") or name
            if file.get(str, "build", "image") or file.get(str, "build", "builder"):
                return None
        elif platform == "render":
            if file is None or "docker" not in (file.get(str, "runtime"), file.get(str, "env")):
                return None
            name = file.get(str, "dockerfilePath") or name
        elif platform not in ("fly", "cloudrun"):
            return None
    except declared.DamagedError:
        if platform == "render":
            return None
    path = root / name
    return Dockerfile(path.read_text(encoding="utf-8-sig", errors="replace")) if path.is_file() else None


def is_left_out(path: str, lines: list[str]) -> bool:
    """Whether .dockerignore keeps a file from the build: its last line that matches it or a folder above decides."""
    parts = path.split("/")
    above = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    out = False
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        pattern = re.compile(_expression(posixpath.normpath(text.removeprefix("!").strip().lstrip("/"))))
        if any(pattern.fullmatch(place) for place in above):
            out = not text.startswith("!")
    return out


def _expression(pattern: str) -> str:
    made = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*")
    return made.replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def words_of(arguments: str) -> list[str] | None:
    """The words of an instruction in exec form; None for the shell form."""
    return _array(arguments)


def _array(arguments: str) -> list[str] | None:
    try:
        found = json.loads(arguments)
    except ValueError:
        return None
    return found if isinstance(found, list) and all(isinstance(word, str) for word in found) else None


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = iter(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    for line in lines:
        whole = line.strip()
        while whole.endswith("\\"):
            whole = f"{whole[:-1]} {next(lines, '').strip()}"
        name, _, arguments = whole.partition(" ")
        for mark in re.findall(r"<<-?[\"']?(\w+)", arguments):
            while (inner := next(lines, None)) is not None and inner.strip() != mark:
                pass
        yield name.upper(), arguments.strip()


def _filled(text: str, given: dict[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda match: given.get(match[1], ""), text)


def _pairs(arguments: str) -> dict[str, str]:
    try:
        words = shlex.split(arguments)
    except ValueError:
        return {}
    if "=" in words[0]:
        return dict(word.split("=", 1) for word in words if "=" in word)
    return {words[0]: " ".join(words[1:])}
