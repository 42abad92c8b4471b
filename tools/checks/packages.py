"""What is installed: the Python, the pins, the interpreter, one package manager."""

from __future__ import annotations

import json
import posixpath
import re
import subprocess
from collections.abc import Iterator

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.checks.base import App, Check, Finding, fail, ok, skip, warn
from tools.checks.dockerfile import image_of

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
# What the packages that are installed here need in turn: name -> version and requirements.
_WHAT_THEY_NEED = """
import importlib.metadata as metadata, json, sys
told = {}
for name in sys.argv[1:]:
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        continue
    told[name] = [found.version, found.requires or []]
print(json.dumps(told))
"""
_LOCKS = ("requirements.txt", "Pipfile.lock", "poetry.lock", "uv.lock")
_DEFAULT_MINOR = 14


def python_version(app: App) -> Finding:
    """The Python that the platform is asked for is one that it has and that the interpreter has wheels for."""
    minor, where = asked_python(app)
    if where == "" and app.platform.name in ("fly", "cloudrun"):
        return skip("no image of a Python that is told")
    if where == "":
        fix = "write .python-version with 3.11, for which tflite-runtime has wheels"
        return warn(f"no Python version is asked for: the platform takes 3.{_DEFAULT_MINOR}", fix, lambda: _pin(app))
    if minor is None:
        fix = "runtime.txt: python-3.11; .python-version: 3.11"
        if where == "PYTHON_VERSION":
            fix = "Render wants the whole version, such as 3.11.11"
        return fail(f"{where} is not understood", fix)
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
    image = image_of(app.root, app.platform.name)
    if image:
        match = re.search(r"\bpython:3\.(\d+)", image.image)
        return (int(match[1]), "Dockerfile") if match else (None, "")
    files = [("runtime.txt", r"python-3\.(\d+)(?:\.\d+)?"), (".python-version", r"(?:python-)?3\.(\d+)(?:\.\d+)?")]
    if app.platform.name == "render":
        del files[0]
        if given := app.environ.get("PYTHON_VERSION"):
            match = re.fullmatch(r"3\.(\d+)\.\d+", given)
            return (int(match[1]) if match else None), "PYTHON_VERSION"
    for name, pattern in files:
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
        none = fail("there is no requirements.txt", "copy dynolite's requirements.txt")
        return skip(f"{others[0]} holds the pins") if others else none
    minor = asked_python(app)[0] or _DEFAULT_MINOR
    try:
        needed = list(requirements_of(app, minor))
    except InvalidRequirement as error:
        return fail(f"requirements.txt: {error}", "correct the line")
    return _listed(app, needed, minor)


def _listed(app: App, needed: list[Requirement], minor: int) -> Finding:
    names = {item.name for item in needed}
    missing = [name for name in ("gunicorn", "flask", "numpy") if name not in names]
    if missing:
        return fail(f"requirements.txt lacks {', '.join(missing)}", "copy dynolite's requirements.txt, or: make pins")
    lacking = list(_lacking(app, needed, minor))
    loose = [item.name for item in needed if not _is_pinned(item)] + lacking
    if loose and "--hash=" in (app.text("requirements.txt") or ""):
        what = "lacks" if lacking else "does not pin"
        told = f"requirements.txt {what} {', '.join((lacking or loose)[:4])}: where one line has a hash, pip wants all"
        return fail(told, "make pins writes them")
    if loose:
        return warn(f"not pinned: {', '.join(loose[:6])}: the next build may differ", "pin each with ==, or: make pins")
    return ok(f"{len(names)} packages, each pinned")


def _is_pinned(item: Requirement) -> bool:
    """One version, or one commit of a repository."""
    if item.url:
        return re.search(r"@[0-9a-f]{40}\b|\.(whl|tar\.gz|zip)\b", item.url) is not None
    return any(part.operator == "===" or (part.operator == "==" and "*" not in part.version) for part in item.specifier)


def _lacking(app: App, needed: list[Requirement], minor: int) -> Iterator[str]:
    """What listed packages need and the list has not, with who needs it; known of versions that are installed here."""
    listed = {item.name: item for item in needed}
    command = [str(app.python), "-c", _WHAT_THEY_NEED, *listed]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for name, (version, lines) in json.loads(told or "{}").items():
        if not listed[name].specifier.contains(version, prereleases=True):
            continue
        for line in lines:
            wanted = Requirement(line)
            extras = ["", *listed[name].extras]
            counts = wanted.marker is None or any(wanted.marker.evaluate(_marks(minor, extra)) for extra in extras)
            if counts and canonicalize_name(wanted.name) not in listed:
                yield f"{canonicalize_name(wanted.name)} (for {name})"


def interpreter(app: App) -> Finding:
    """An interpreter is installed, no training framework, and a numpy that the interpreter was built for."""
    minor = asked_python(app)[0] or _DEFAULT_MINOR
    try:
        needed = {item.name: item for item in requirements_of(app, minor)}
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
        message = f"tflite-runtime with numpy{numpy.specifier or ' of any version'}: the import fails with numpy 2"
        return fail(message, "pin numpy==1.26.4, or take ai-edge-litert")
    return ok(f"{found[0]} {needed[found[0]].specifier}".replace("==", ""))


def lock_files(app: App) -> Finding:
    """One package manager: two lock files make the build fail."""
    if app.platform.name not in ("heroku", "generic"):
        return skip("the Dockerfile or the build command says what is installed")
    found = [name for name in _LOCKS if app.text(name) is not None]
    if app.text("Pipfile") is not None and "Pipfile.lock" not in found:
        fix = "git rm Pipfile" if found else "pipenv lock, and commit Pipfile.lock"
        return fail("Pipfile without Pipfile.lock: the build is refused", fix)
    if len(found) > 1:
        others = [name for name in found if name != "requirements.txt"]
        others += ["Pipfile"] if "Pipfile.lock" in others and app.text("Pipfile") is not None else []
        keep = "requirements.txt" if "requirements.txt" in found else others.pop(0)
        return fail(f"several package managers: {', '.join(found)}", f"keep {keep}: git rm {' '.join(others)}")
    return ok("one package manager") if found else skip("no lock file")


def requirements_of(app: App, minor: int) -> Iterator[Requirement]:
    """The requirements that count on that Python on Linux; InvalidRequirement names a bad line."""
    for line in _lines(app, "requirements.txt", set()):
        requirement = _requirement(line)
        requirement.name = canonicalize_name(requirement.name)
        if requirement.marker is None or requirement.marker.evaluate(_marks(minor)):
            yield requirement


def _lines(app: App, name: str, seen: set[str]) -> Iterator[str]:
    """The lines that name a package, those of files that are included with -r too."""
    seen.add(name)
    text = (app.text(name) or "").replace("\r\n", "\n").replace("\\\n", " ")
    for line in text.splitlines():
        line = re.split(r"\s--hash|\s+#", line.strip())[0].strip()
        included = re.match(r"(?:-r|--requirement)[\s=]*(\S+)", line)
        if included:
            below = posixpath.normpath(posixpath.join(posixpath.dirname(name), included[1]))
            if below not in seen:
                yield from _lines(app, below, seen)
        elif line and not line.startswith(("#", "-")):
            yield line


def _requirement(line: str) -> Requirement:
    """A line that pip takes; where it is a bare URL, with the name that stands in it."""
    if re.match(r"(git\+)?[a-z]+(\+[a-z]+)?://", line):
        named = re.search(r"egg=([\w.-]+)", line) or re.search(
            r"/([A-Za-z0-9_.]+?)(?:-\d[^/]*)?(?:\.git)?(?:@|#|$)", line
        )
        return Requirement(f"{named[1] if named else 'unknown'} @ {line.split(maxsplit=1)[0]}")
    return Requirement(line)


def _marks(minor: int, extra: str = "") -> dict[str, str]:
    """The platform's Python, as the markers of requirements ask for it."""
    marks = {key: str(value) for key, value in default_environment().items()}
    version = {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0", "extra": extra}
    return marks | version | {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}


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
