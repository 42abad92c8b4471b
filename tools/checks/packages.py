"""What is installed: the Python, the pins, the interpreter, one package manager."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from tools.checks.base import App, Check, Finding, fail, ok, skip, warn

# The last Python 3 for which each interpreter has wheels on PyPI.
_LAST_WHEEL = {"tflite-runtime": 11, "ai-edge-litert": 14}
_HEAVY = {
    "tensorflow": "600 MB",
    "tensorflow-cpu": "600 MB",
    "keras": "TensorFlow behind it",
    "torch": "2 GB",
    "jax": "400 MB",
    "tf-keras": "TensorFlow behind it",
}
_LOCKS = ("requirements.txt", "Pipfile.lock", "poetry.lock", "uv.lock")
_DEFAULT_MINOR = 14


def python_version(app: App) -> Finding:
    """The Python that the platform is asked for is one that it has and that the interpreter has wheels for."""
    minor, where = asked_python(app)
    if where == "":
        fix = "write .python-version with 3.11, for which tflite-runtime has wheels"
        return warn(f"no Python version is asked for: the platform takes 3.{_DEFAULT_MINOR}", fix, lambda: _pin(app))
    if minor is None:
        return fail(f"{where} is not understood", "runtime.txt: python-3.11; .python-version: 3.11")
    if minor not in app.platform.pythons:
        known = f"3.{min(app.platform.pythons)} to 3.{max(app.platform.pythons)}"
        return fail(f"{where} asks for Python 3.{minor}, the platform has {known}", "ask for 3.11")
    for name, last in _LAST_WHEEL.items():
        if minor > last and name in {requirement.name for requirement in requirements_of(app, minor)}:
            fix = f"ask for Python 3.{last}, or replace {name} by ai-edge-litert"
            return fail(f"{name} has no wheel for Python 3.{minor}", fix)
    return ok(f"Python 3.{minor} ({where})")


def asked_python(app: App) -> tuple[int | None, str]:
    """The minor version that is asked for, and what asks; runtime.txt is read before .python-version."""
    if app.platform.name in ("fly", "cloudrun"):
        match = re.search(r"^(?:ARG PYTHON=|FROM python:)3\.(\d+)", app.text("Dockerfile") or "", re.MULTILINE)
        return (int(match[1]), "Dockerfile") if match else (None, "")
    if app.platform.name == "render" and (given := app.environ.get("PYTHON_VERSION")):
        match = re.fullmatch(r"3\.(\d+)\.\d+", given)
        return (int(match[1]) if match else None), "PYTHON_VERSION"
    for name, pattern in (
        ("runtime.txt", r"python-3\.(\d+)(?:\.\d+)?"),
        (".python-version", r"(?:python-)?3\.(\d+)(?:\.\d+)?"),
    ):
        text = app.text(name)
        if text is not None:
            lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
            match = re.fullmatch(pattern, lines[0]) if len(lines) == 1 else None
            return (int(match[1]) if match else None), name
    return None, ""


def pins(app: App) -> Finding:
    """Every package, and what it needs in turn, has one version."""
    if app.text("requirements.txt") is None:
        others = [name for name in _LOCKS if app.text(name) is not None]
        if others:
            return skip(f"{others[0]} holds the pins")
        return fail("there is no requirements.txt", "copy dynolite's requirements.txt")
    minor = asked_python(app)[0] or _DEFAULT_MINOR
    try:
        needed = list(requirements_of(app, minor))
    except InvalidRequirement as error:
        return fail(f"requirements.txt: {error}", "correct the line")
    loose = [item.name for item in needed if not any(part.operator in ("==", "===") for part in item.specifier)]
    if loose:
        return warn(f"not pinned: {', '.join(loose[:6])}: the next build may differ", "pin each with ==, or: make pins")
    names = {item.name.lower() for item in needed}
    missing = [name for name in ("gunicorn", "flask", "numpy") if name not in names]
    if missing:
        return fail(f"requirements.txt lacks {', '.join(missing)}", "copy dynolite's requirements.txt, or: make pins")
    return ok(f"{len(names)} packages, each pinned")


def interpreter(app: App) -> Finding:
    """An interpreter is installed, no training framework, and a numpy that the interpreter was built for."""
    minor = asked_python(app)[0] or _DEFAULT_MINOR
    try:
        needed = {item.name.lower(): item for item in requirements_of(app, minor)}
    except InvalidRequirement:
        return skip("requirements.txt cannot be read")
    if not needed:
        return skip("no requirements.txt")
    heavy = [name for name in needed if name in _HEAVY]
    if heavy:
        fix = f"take {heavy[0]} out of requirements.txt: export the model with tools/export.py, and serve the .tflite"
        return fail(f"{heavy[0]} would be installed ({_HEAVY[heavy[0]]})", fix)
    found = [name for name in _LAST_WHEEL if name in needed]
    if not found:
        fix = 'add tflite-runtime==2.14.0 ; python_version == "3.11"'
        return fail(f"no interpreter is installed on Python 3.{minor}", fix)
    numpy = needed.get("numpy")
    if found[0] == "tflite-runtime" and numpy is not None and _version(numpy) >= Version("2"):
        message = f"tflite-runtime with numpy {_version(numpy)}: the import fails (_ARRAY_API not found)"
        return fail(message, "pin numpy==1.26.4, or take ai-edge-litert")
    return ok(f"{found[0]} {needed[found[0]].specifier}".replace("==", ""))


def lock_files(app: App) -> Finding:
    """One package manager: two lock files make the build fail."""
    found = [name for name in _LOCKS if app.text(name) is not None]
    if len(found) > 1:
        fix = f"keep requirements.txt: git rm {' '.join(name for name in found if name != 'requirements.txt')}"
        return fail(f"several package managers: {', '.join(found)}", fix)
    if app.text("Pipfile") is not None and "Pipfile.lock" not in found:
        return warn("Pipfile without Pipfile.lock", "git rm Pipfile")
    return ok("one package manager") if found else skip("no lock file")


def requirements_of(app: App, minor: int) -> Iterator[Requirement]:
    """The requirements that count on that Python on Linux; InvalidRequirement names a bad line."""
    marks = default_environment() | {
        "python_version": f"3.{minor}",
        "python_full_version": f"3.{minor}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
    }
    text = (app.text("requirements.txt") or "").replace("\\\n", " ")
    for line in text.splitlines():
        line = re.split(r"\s--hash|\s+#", line.strip())[0].strip()
        if not line or line.startswith(("#", "-")):
            continue
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({key: str(value) for key, value in marks.items()}):
            yield requirement


def _version(requirement: Requirement) -> Version:
    """The version that it names first; a bare name may become anything, so the newest."""
    named = [
        part.version.removesuffix(".*") for part in requirement.specifier if part.operator in ("==", "<", "<=", "~=")
    ]
    return Version(named[0]) if named else Version("999")


def _pin(app: App) -> str:
    (app.root / ".python-version").write_text("3.11\n", encoding="utf-8")
    return "wrote .python-version: 3.11"


CHECKS = (
    Check("python-version", "a Python that platform and interpreter have", python_version, ("BUILD",)),
    Check("pins", "every package has one version", pins, ("BUILD", "H10")),
    Check("interpreter", "a small interpreter, and a numpy that fits it", interpreter, ("BUILD", "H10", "R14", "R15")),
    Check("lock-files", "one package manager", lock_files, ("BUILD",)),
)
