"""The virtual environments of this checkout, made from nothing but a `python3`.

    Pythons on this machine -> the best for the purpose -> a venv -> the pinned packages -> a stamp

    name     folder         Python                      holds
    dev      .venv          3.11, else 3.12, 3.13       requirements-dev.txt (everything)
    litert   .venv-litert   3.13, else 3.12, 3.14       requirements.txt, requirements-test.txt
    serve    .venv-serve    3.11, else 3.12 to 3.14     requirements.txt (what a slug holds)

An environment whose stamp has the digest of its requirements is left as it is.
Only the standard library of Python 3.8 is used here: the system's own python3 runs this file.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from tools.pythons import Python, find_pythons, output_of  # noqa: E402
from tools.venvs import VenvError, find_uv, install_uv, make_venv, no_ensurepip, say  # noqa: E402

TOOLS_FOLDER = ROOT / ".venv-tools"
STAMP = "dynolite.json"
EXIT_NO_PYTHON = 3

EXAMPLES = """examples:
  python3 tools/environments.py dev          make or refresh .venv, print the path of its python
  python3 tools/environments.py litert       the same for .venv-litert; exit code 3: no Python fits
  python3 tools/environments.py list         the Pythons found here, and which environments stand
  python3 tools/environments.py list --json
  python3 tools/environments.py tested       which interpreters `make test` ran here, which not
"""


class NoPythonError(VenvError):
    """None of the Pythons that an environment can do with is on this machine."""


class Environment(NamedTuple):
    """One virtual environment: where it is, what it holds, which Python 3 it wants, best first."""

    name: str
    requirements: tuple[str, ...]
    minors: tuple[int, ...]
    options: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where it is."""
        return ROOT / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> list[str]:
        """What an installer is told to install."""
        files = ((ROOT / name) for name in self.requirements)
        return [*self.options, *(word for file in files for word in ("-r", str(file)))]

    def digest(self) -> str:
        """A sha256 over all that decides what the environment holds."""
        digest = hashlib.sha256()
        for name in self.requirements:
            digest.update((ROOT / name).read_bytes())
        return digest.hexdigest()

    def stamp(self) -> dict[str, str]:
        """What `ensure` wrote when it was done; empty if it was not, or if the Python is gone."""
        try:
            stamp: dict[str, str] = json.loads((self.folder / STAMP).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if self.python.exists() else {}

    def is_ready(self) -> bool:
        """Whether it stands and holds what its requirements say today."""
        return self.stamp().get("digest") == self.digest()


ENVIRONMENTS = {
    # --no-deps, because tf-keras asks for tensorflow also where tensorflow-cpu is.
    "dev": Environment(".venv", ("requirements-dev.txt",), (11, 12, 13), ("--no-deps",)),
    "litert": Environment(".venv-litert", ("requirements.txt", "requirements-test.txt"), (13, 12, 14)),
    "serve": Environment(".venv-serve", ("requirements.txt",), (11, 12, 13, 14)),
}


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One maker of environments at a time in this checkout."""
    with (ROOT / ".venv.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure(environment: Environment) -> None:
    """Make the environment, unless it stands and is up to date."""
    with locked():
        if environment.is_ready():
            return
        start = time.monotonic()
        uv = find_uv(TOOLS_FOLDER)
        python = best_python(environment, uv)
        say(f"making {environment.name} with {python}")
        uv = uv or install_uv(TOOLS_FOLDER, ROOT / "requirements-dev.txt", python)
        say(f"installing {', '.join(environment.requirements)}")
        make_venv(environment.folder, python, uv, environment.packages)
        stamp = {"digest": environment.digest(), "version": python.dotted, "made_with": python.path}
        (environment.folder / STAMP).write_text(json.dumps(stamp), "utf-8")
        say(f"{environment.name} is ready ({time.monotonic() - start:.0f} s)")


def best_python(environment: Environment, uv: str | None) -> Python:
    """The Python that the environment likes best, of those that can make one."""
    pythons = list(find_pythons(environment.minors, uv))
    able = [python for python in pythons if python.pip or uv is not None]
    if able:
        return min(able, key=lambda python: environment.minors.index(python.version[1]))
    if pythons:
        raise VenvError(no_ensurepip(pythons[0]))
    wanted = ", ".join(f"3.{minor}" for minor in environment.minors)
    raise NoPythonError(
        f"{environment.name} needs one of Python {wanted}; none was found on PATH, in /usr/bin, "
        f"with pyenv or with uv (which installs one: uv python install 3.{environment.minors[0]})"
    )


def tested() -> int:
    """Tell which interpreters the tests ran on; an error where CI must have both and has not."""
    ran: dict[str, str] = {}
    for environment in (ENVIRONMENTS["dev"], ENVIRONMENTS["litert"]):
        package = interpreter_in(environment) if environment.is_ready() else ""
        if package:
            version = environment.stamp()["version"]
            ran[package.split()[0]] = f"{package} (Python {version})"
    reasons = {
        "tflite-runtime": "tflite-runtime (needs Python 3.11 on Linux)",
        "ai-edge-litert": "ai-edge-litert (needs Python 3.12 or newer)",
    }
    missing = [reason for package, reason in reasons.items() if package not in ran]
    print("interpreters tested:    ", ", ".join(ran.values()) or "none")
    print("interpreters not tested:", ", ".join(missing) or "none")
    return 1 if missing and os.environ.get("CI") == "true" else 0


def interpreter_in(environment: Environment) -> str:
    """The interpreter package that production uses there, such as `tflite-runtime 2.14.0`."""
    code = "import importlib.metadata as m, sys; print(sys.argv[1], m.version(sys.argv[1]))"
    for package in ("tflite-runtime", "ai-edge-litert"):
        answer = output_of([str(environment.python), "-c", code, package]).strip()
        if answer:
            return answer
    return ""


def listing() -> dict[str, list[dict[str, Any]]]:
    """The Pythons found here, and which environments stand."""
    pythons = sorted(find_pythons((11, 12, 13, 14), find_uv(TOOLS_FOLDER)), key=lambda python: python.version)
    return {
        "pythons": [{"version": python.dotted, "path": python.path, "can_make_venv": python.pip} for python in pythons],
        "environments": [
            {"name": name, "folder": environment.name, "ready": environment.is_ready()}
            for name, environment in ENVIRONMENTS.items()
        ],
    }


def print_listing(found: dict[str, list[dict[str, Any]]]) -> None:
    """The listing for a person."""
    for python in found["pythons"]:
        note = "" if python["can_make_venv"] else "  (no ensurepip: python3-venv is not installed)"
        print(f"Python {python['version']:8} {python['path']}{note}")
    for environment in found["environments"]:
        state = "ready" if environment["ready"] else "not made, or out of date"
        print(f"{environment['name']:8} {environment['folder']:14} {state}")


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="tools/environments.py",
        description="Make the virtual environments of this checkout, and find Pythons for them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=[*ENVIRONMENTS, "list", "tested"])
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Do what the command line asks, and return the exit code."""
    arguments = parse_args(argv)
    if arguments.what == "tested":
        return tested()
    if arguments.what == "list":
        found = listing()
        if arguments.json:
            print(json.dumps(found, indent=2))
        else:
            print_listing(found)
        return 0
    environment = ENVIRONMENTS[arguments.what]
    try:
        ensure(environment)
    except VenvError as error:
        say(str(error))
        return EXIT_NO_PYTHON if isinstance(error, NoPythonError) else 1
    answer = {"python": str(environment.python), **environment.stamp()}
    print(json.dumps(answer) if arguments.json else environment.python)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
