"""What is in the folder that had better not be, and what it weighs."""

from __future__ import annotations

import shlex
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

from packaging.requirements import InvalidRequirement

from tools.checks.base import App, Check, Finding, fail, ok, skip, warn
from tools.checks.deployed import is_ignored, left_out
from tools.checks.dockerfile import image_of
from tools.checks.packages import asked_python, requirements_of

MB = 1 << 20
# The Python that a platform puts into the slug, and how far the packages shrink: measured, see docs/performance.md.
_PYTHON_BYTES, _PACKAGES_RATIO = 16 * MB, 0.4
_SLUG_WARN_MB = 300
_NEVER_DEPLOYED = (".venv", "venv", "node_modules")
_NEVER_NEEDED = ("tests", "docs", "tools", "notebooks", "data", "examples")
_SIZE_OF_PACKAGES = """
import importlib.metadata as metadata, sys
total, missing = 0, []
for name in sys.argv[1:]:
    try:
        files = metadata.distribution(name).files or ()
    except metadata.PackageNotFoundError:
        missing.append(name)
        continue
    total += sum(path.stat().st_size for file in files if (path := file.locate()).is_file() and path.suffix != ".pyc")
print(total, *missing)
"""


def virtualenv(app: App) -> Finding:
    """No virtual environment or node_modules among what is deployed."""
    first: dict[str, str] = {}
    for name in app.files:
        first.setdefault(_environment_of(name), name)
    later = [] if app.tracked else (app.text(".gitignore") or "").splitlines()
    found = sorted(
        folder
        for folder, name in first.items()
        if folder and not left_out(app, name)[0] and not is_ignored(name, later)
    )
    if not found:
        return ok("none is deployed")
    names = shlex.join(found)
    if app.tracked is None:
        message = f"{', '.join(found)}: not in Git yet, nothing is; with it the build fails, or deploys two of it"
        return warn(message, f"before the first git add, name it in .gitignore: {names}", lambda: _ignore(app, found))
    fix = f"git rm -r --cached {names}, and name it in .gitignore"
    return fail(
        f"committed: {', '.join(found)}: the build refuses it, or deploys two of it", fix, lambda: _forget(app, found)
    )


def _environment_of(name: str) -> str:
    parts = Path(name).parts
    for depth, part in enumerate(parts[:-1]):
        if part in _NEVER_DEPLOYED or (parts[depth + 1] == "lib" and "site-packages" in parts):
            return "/".join(parts[: depth + 1])
    return "/".join(parts[:-1]) if parts[-1] == "pyvenv.cfg" else ""


def deprecated(app: App) -> Finding:
    """No file that platforms are about to stop reading."""
    if image_of(app.root, app.platform.name):
        return skip("the Dockerfile says what is installed")
    old_pin, new_pin = app.text("runtime.txt"), app.text(".python-version")
    if app.platform.name == "render":
        if old_pin and not new_pin and "PYTHON_VERSION" not in app.environ:
            fix = "set PYTHON_VERSION to the whole version, such as 3.11.11, or write .python-version: 3.11"
            return warn("Render does not read runtime.txt", fix)
    elif old_pin and new_pin and old_pin.strip().removeprefix("python-") != new_pin.strip():
        return warn("runtime.txt and .python-version differ, and runtime.txt wins", "git rm runtime.txt")
    old = [name for name in (".buildpacks", "setup.py") if app.text(name) is not None]
    if old:
        return warn(f"out of use: {', '.join(old)}", f"git rm {' '.join(old)}")
    return ok("runtime.txt: deprecated, but still read" if old_pin and app.platform.name == "heroku" else "none")


def weight(app: App) -> Finding:
    """What the slug, or the image without its base, will weigh against the platform's limit, and what to cut."""
    kept = [name for name in app.files if not left_out(app, name)[0]]
    sizes = {name: _compressed(app.root / name) for name in kept}
    packages, missing = _packages(app)
    total = sum(sizes.values()) + packages + _PYTHON_BYTES
    folders: Counter[str] = Counter()
    for name, size in sizes.items():
        folders["/".join(Path(name).parts[:2])] += size
    heavy = [f"{name} {size / MB:.1f} MB" for name, size in folders.most_common(3) if size > MB]
    own = sum(sizes.values())
    told = f"at most about {total / MB:.0f} MB: checkout {own / MB:.1f}, packages {packages / MB:.0f}, Python 16"
    if missing:
        told += f" (not installed here, not weighed: {', '.join(missing[:3])})"
    cut = ", ".join(heavy) or "packages: see tools/slug.py"
    if total > app.platform.slug_mb * MB:
        return fail(f"{told}; the limit is {app.platform.slug_mb}", f"cut {cut}")
    if app.platform.name == "heroku" and total > _SLUG_WARN_MB * MB:
        return warn(f"{told}; slow from {_SLUG_WARN_MB} on", f"cut {cut}")
    needless = sorted({name.split("/")[0] for name in kept} & set(_NEVER_NEEDED))
    if app.platform.name == "heroku" and app.text(".slugignore") is None and needless:
        fix = f"write a .slugignore with {', '.join('/' + name for name in needless)}"
        return warn(f"{told}; {', '.join(needless)} would be in it", fix, lambda: _slugignore(app, needless))
    return ok(told)


def _packages(app: App) -> tuple[float, list[str]]:
    """Bytes that the packages take in a slug, and which are not installed in the Python that is looked at."""
    try:
        names = [
            requirement.name for requirement in requirements_of(app, asked_python(app)[0] or sys.version_info.minor)
        ]
    except InvalidRequirement:
        return 0.0, ["requirements.txt cannot be read"]
    command = [str(app.python), "-c", _SIZE_OF_PACKAGES, *names]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return (int(told[0]) * _PACKAGES_RATIO, told[1:]) if told else (0.0, ["all of them"])


def _compressed(path: Path) -> int:
    packer, size = zlib.compressobj(6), 0
    with path.open("rb") as stream:
        while chunk := stream.read(MB):
            size += len(packer.compress(chunk))
    return size + len(packer.flush())


def _forget(app: App, folders: list[str]) -> str:
    _ignore(app, folders)
    command = ["git", "rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", *folders]
    subprocess.run(command, cwd=app.root, capture_output=True, check=False)
    for known in ("files", "deployed", "tracked"):
        app.__dict__.pop(known, None)
    return f"told git to forget {', '.join(folders)}; the files stay"


def _ignore(app: App, folders: list[str]) -> str:
    with (app.root / ".gitignore").open("a", encoding="utf-8") as stream:
        stream.writelines(f"/{folder}/\n" for folder in folders)
    return f"named {', '.join(folders)} in .gitignore"


def _slugignore(app: App, names: list[str]) -> str:
    (app.root / ".slugignore").write_text("".join(f"/{name}\n" for name in names), encoding="utf-8")
    return "wrote .slugignore"


CHECKS = (
    Check("virtualenv", "no virtual environment is deployed", virtualenv, ("BUILD",)),
    Check("deprecated", "no file that is out of use", deprecated, ("BUILD",)),
    Check("weight", "the slug's weight, and what to cut", weight, ("BUILD", "R10")),
)
