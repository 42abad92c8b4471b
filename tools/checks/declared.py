"""The platform's own file: the settings that the app will see if nobody sets others, and the limits that it asks for.

app.json, render.yaml, fly.toml, deploy/cloud-run.yaml -> Declared -> settings, Platform
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from runtime.errors import DynoliteError
from tools.checks.platforms import Platform

FILES = {
    "heroku": "app.json",
    "render": "render.yaml",
    "fly": "fly.toml",
    "cloudrun": "deploy/cloud-run.yaml",
    "generic": "app.json",
}
CONTAINER = ("spec", "template", "spec", "containers", 0)
_SPEC = CONTAINER[:3]
_KINDS = {dict: "an object", list: "a list", str: "a text", int: "a number"}
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# MB and the WEB_CONCURRENCY that the buildpack makes of them.
_DYNOS = {"standard-2x": (1024, 4), "performance-m": (2560, 5), "performance-l": (14336, 17)}
_RENDER_PLANS = {"standard": 2048, "pro": 4096, "pro plus": 8192, "pro max": 16384, "pro ultra": 32768}
_FLY_SIZES = {"shared-cpu-2x": 512, "shared-cpu-4x": 1024, "shared-cpu-8x": 2048, "performance-1x": 2048}
T = TypeVar("T")


class DamagedError(DynoliteError):
    """The file cannot be read, or holds something else where a platform looks; says which file, and where in it."""


@dataclass(frozen=True)
class Declared:
    """A platform's file as it stands."""

    name: str
    told: Any

    def get(self, kind: type[T], *path: str | int) -> T | None:
        """What stands at that path, None where nothing does; DamagedError where it is something else."""
        found = self.told
        for depth, key in enumerate(path):
            wanted: type = list if isinstance(key, int) else dict
            found = self._checked(wanted, found, path[:depth])
            try:
                found = found[key]
            except (KeyError, IndexError):
                return None
            if found is None:
                return None
        checked: T = self._checked(kind, found, path)
        return checked

    def _checked(self, kind: type, found: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(found, kind):
            return found
        where = ".".join(map(str, path)) or "the whole"
        raise DamagedError(f"{self.name}: {where} is not {_KINDS.get(kind, kind.__name__)}, but {found!r:.40}")


def read(root: Path, platform: str) -> Declared | None:
    """The platform's file; None where there is none, DamagedError where it cannot be read."""
    return _read(root, FILES[platform])


def _read(root: Path, name: str) -> Declared | None:
    path = root / name
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        told: Any = _parsed(name, text)
    except json.JSONDecodeError as error:
        raise DamagedError(f"{name} is not JSON: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise DamagedError(f"{name} is not TOML: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise DamagedError(f"{name} is not YAML: {error.problem}{where}") from None
    except yaml.YAMLError as error:
        raise DamagedError(f"{name} is not YAML: {error}") from None
    found = Declared(name, told)
    if name == "render.yaml":
        services = found.get(list, "services") or []
        web = [service for service in services if isinstance(service, dict) and service.get("type") == "web"]
        found = Declared(name, (web or services or [{}])[0])
    found.get(dict)
    return found


def _parsed(name: str, text: str) -> Any:
    if name == "app.json":
        return json.loads(text)
    if name == "fly.toml":
        return tomllib.loads(text)
    return next(iter(yaml.safe_load_all(text)), None) or {}


def settings(root: Path, platform: str) -> dict[str, str]:
    """Names and values; none where the file is missing or damaged, which the check `platform-file` tells."""
    try:
        return _settings(read(root, platform))
    except DamagedError:
        return {}


def every_setting(root: Path) -> list[tuple[str, str, str]]:
    """File, name and value of every setting that any platform's file holds in plain."""
    found = []
    for file in dict.fromkeys(FILES.values()):
        try:
            found += [(file, name, value) for name, value in _settings(_read(root, file)).items()]
        except DamagedError:
            continue
    return found


def _settings(file: Declared | None) -> dict[str, str]:
    if file is None:
        return {}
    if file.name == "app.json":
        told = file.get(dict, "env") or {}
        pairs = {name: value.get("value") if isinstance(value, dict) else value for name, value in told.items()}
    elif file.name == "fly.toml":
        pairs = file.get(dict, "env") or {}
    else:
        path, key = (("envVars",), "key") if file.name == "render.yaml" else ((*CONTAINER, "env"), "name")
        entries = file.get(list, *path) or []
        pairs = {entry[key]: entry.get("value") for entry in entries if isinstance(entry, dict) and key in entry}
    return {str(name): str(value) for name, value in pairs.items() if value is not None}


def limited(root: Path, platform: Platform) -> Platform:
    """The platform with the limits that the app's own file asks for; DamagedError where that cannot be read."""
    file = read(root, platform.name)
    _settings(file)
    change = {"heroku": _dyno, "render": _render, "fly": _fly, "cloudrun": _cloud_run}.get(platform.name)
    return replace(platform, **change(file)) if file and change else platform


def limited_if_readable(root: Path, platform: Platform) -> Platform:
    """The same, but the platform as it is where its file is damaged: the check `platform-file` tells that."""
    try:
        return limited(root, platform)
    except DamagedError:
        return platform


def _dyno(file: Declared) -> dict[str, Any]:
    found = _DYNOS.get((file.get(str, "formation", "web", "size") or "").lower())
    if found is None:
        return {}
    memory, workers = found
    cmd_args = ("GUNICORN_CMD_ARGS", "--access-logfile -")
    return {"memory_mb": memory, "environ": (("DYNO", "web.1"), ("WEB_CONCURRENCY", str(workers)), cmd_args)}


def _render(file: Declared) -> dict[str, Any]:
    grace = file.get(int, "maxShutdownDelaySeconds")
    memory = _RENDER_PLANS.get(file.get(str, "plan") or "")
    return ({"grace_seconds": float(grace)} if grace else {}) | ({"memory_mb": memory} if memory else {})


def _fly(file: Declared) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "kill_timeout" in file.told:
        found["grace_seconds"] = _seconds(file)
    vm = file.get(dict, "vm", 0) if isinstance(file.told.get("vm"), list) else file.get(dict, "vm")
    if vm:
        asked = vm.get("memory_mb") or vm.get("memory")
        size = _FLY_SIZES.get(str(vm.get("size")))
        if asked or size:
            found["memory_mb"] = _bytes("fly.toml: vm.memory", asked, 1 << 20) >> 20 if asked else size
    return found


def _cloud_run(file: Declared) -> dict[str, Any]:
    memory = file.get(str, *CONTAINER, "resources", "limits", "memory")
    seconds = file.get(int, *_SPEC, "timeoutSeconds")
    found: dict[str, Any] = {"request_seconds": float(seconds)} if seconds else {}
    return found | ({"memory_mb": _bytes(f"{file.name}: the memory's limit", memory, 1) >> 20} if memory else {})


def _seconds(file: Declared) -> float:
    """Fly's kill_timeout: a number of seconds, or a text such as 30s or 2m."""
    given = file.told["kill_timeout"]
    match = re.fullmatch(r"(\d+)(s|m)?", str(given))
    if match is None:
        raise DamagedError(f"fly.toml: kill_timeout is no time: {given!r}")
    return float(match[1]) * (60 if match[2] == "m" else 1)


def _bytes(what: str, given: object, unit: int) -> int:
    match = re.fullmatch(r"(\d+)\s*((?:[kmg]i?)?)b?", str(given).lower())
    if match is None:
        raise DamagedError(f"{what} is no size: {given!r}")
    return int(match[1]) * (_UNITS[match[2][:1]] if match[2] else unit)
