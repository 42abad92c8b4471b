"""What is in the folder that had better not be, and what it weighs."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import InvalidRequirement

from tools.checks.base import App, Check, Finding, fail, ok, warn
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
_SECRETS = (
    ("a private key", re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")),
    ("an AWS access key", re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a Google API key", re.compile(rb"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("a GitHub token", re.compile(rb"\bgh[pousr]_[0-9A-Za-z]{36,}\b")),
    ("a Slack token", re.compile(rb"\bxox[abprs]-[0-9A-Za-z-]{20,}\b")),
    ("a Heroku key", re.compile(rb"\bHRKU-[0-9A-Za-z_-]{30,}\b")),
    (
        "a password in a URL",
        re.compile(rb"\b[a-z][a-z0-9+]{2,}://[^\s:/@\"'<>{}$]+:[^\s:/@\"'<>{}$]{8,}@[a-z0-9-]+\.[a-z]"),
    ),
)
# In a file that is no program and no text, a setting with a value is a setting in use.
_SETTING = re.compile(
    rb"(?m)^\s*(?:export\s+|- )?[\"']?(?:API_KEYS|ADMIN_KEY|MODEL_AUTH|AWS_SECRET_ACCESS_KEY)[\"']?\s*[=:]\s*"
    rb"[\"']?[^\s$<\"'{,][^\s<{,\"']{11,}"
)
_NO_SETTINGS = (".py", ".md", ".rst", ".html", ".js")
_LARGEST_SCANNED = 2 * MB


def virtualenv(app: App) -> Finding:
    """No virtual environment or node_modules among what is deployed."""
    found = sorted({folder for name in app.files if (folder := _environment_of(name))})
    if not found:
        return ok("none is committed")
    fix = f"git rm -r --cached {' '.join(found)}, and name it in .gitignore"
    return fail(
        f"committed: {', '.join(found)}: the build refuses it, or deploys two of it", fix, lambda: _forget(app, found)
    )


def _environment_of(name: str) -> str:
    parts = Path(name).parts
    for depth, part in enumerate(parts[:-1]):
        if part in _NEVER_DEPLOYED or (part == "env" and "site-packages" in parts):
            return "/".join(parts[: depth + 1])
    return "/".join(parts[:-1]) if parts[-1] == "pyvenv.cfg" else ""


def deprecated(app: App) -> Finding:
    """No file that platforms are about to stop reading."""
    old_pin, new_pin = app.text("runtime.txt"), app.text(".python-version")
    if app.platform.name == "render" and old_pin and not new_pin and "PYTHON_VERSION" not in app.environ:
        return warn("Render does not read runtime.txt", "set PYTHON_VERSION, or write .python-version: 3.11")
    if old_pin and new_pin and old_pin.strip().removeprefix("python-") != new_pin.strip():
        return warn("runtime.txt and .python-version differ, and runtime.txt wins", "git rm runtime.txt")
    old = [name for name in (".buildpacks", "setup.py", "Pipfile") if app.text(name) is not None]
    if old:
        return warn(f"out of use: {', '.join(old)}", f"git rm {' '.join(old)}")
    return ok("runtime.txt: deprecated, but still read" if old_pin and app.platform.name == "heroku" else "none")


def weight(app: App) -> Finding:
    """What the slug will weigh against the platform's limit, and what to cut."""
    kept = [name for name in app.files if not is_ignored(name, (app.text(".slugignore") or "").splitlines())]
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


def is_ignored(name: str, patterns: Iterable[str]) -> bool:
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


def secrets(app: App) -> Finding:
    """No key, token or password in what is deployed; the value itself is never shown."""
    found = []
    for name in app.files:
        path = app.root / name
        if Path(name).name in (".env", ".netrc", "credentials.json") and path.stat().st_size:
            found.append(f"{name} (a file of secrets)")
        elif path.stat().st_size <= _LARGEST_SCANNED:
            content = path.read_bytes()
            if b"\0" not in content[:1024]:
                found += _secrets_in(name, content)
    if not found:
        return ok("none found")
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    fix = "take it out, change it where it came from, and set it as a config var: it stays in git's history"
    return fail(f"{', '.join(found[:4])}{more}", fix)


def _secrets_in(name: str, content: bytes) -> list[str]:
    found = []
    patterns = _SECRETS if name.endswith(_NO_SETTINGS) else (*_SECRETS, ("a secret in a setting", _SETTING))
    for what, pattern in patterns:
        match = pattern.search(content)
        if match:
            line = content.count(b"\n", 0, match.start()) + 1
            found.append(f"{name}:{line} ({what})")
    return found


def _compressed(path: Path) -> int:
    packer, size = zlib.compressobj(6), 0
    with path.open("rb") as stream:
        while chunk := stream.read(MB):
            size += len(packer.compress(chunk))
    return size + len(packer.flush())


def _forget(app: App, folders: list[str]) -> str:
    with (app.root / ".gitignore").open("a", encoding="utf-8") as stream:
        stream.writelines(f"/{folder}/\n" for folder in folders)
    command = ["git", "rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", *folders]
    subprocess.run(command, cwd=app.root, capture_output=True, check=False)
    app.__dict__.pop("files", None)
    return f"told git to forget {', '.join(folders)}; the files stay"


def _slugignore(app: App, names: list[str]) -> str:
    (app.root / ".slugignore").write_text("".join(f"/{name}\n" for name in names), encoding="utf-8")
    return "wrote .slugignore"


CHECKS = (
    Check("virtualenv", "no virtual environment is deployed", virtualenv, ("BUILD",)),
    Check("deprecated", "no file that is out of use", deprecated, ("BUILD",)),
    Check("weight", "the slug's weight, and what to cut", weight, ("BUILD", "R10")),
    Check("secrets", "no secrets in the repository", secrets),
)
