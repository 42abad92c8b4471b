"""Make a virtual environment and fill it with pinned packages: by uv if possible, else by pip.

uv is much the faster and needs no ensurepip; pip obeys its user's settings and mirrors, which uv
does not read. Only the standard library of Python 3.8 is used here: see tools/environments.py.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.pythons import Python, output_of


class VenvError(Exception):
    """An environment cannot be made; the message says what to do about it."""


def find_uv(tools_folder: Path) -> str | None:
    """A uv that runs: the one on PATH, or the one that `install_uv` put into the folder."""
    for path in (shutil.which("uv"), str(tools_folder / "bin" / "uv")):
        if path and output_of([path, "--version"]).startswith("uv "):
            return path
    return None


def install_uv(tools_folder: Path, pins: Path, python: Python) -> str | None:
    """Put uv, at the version in the pins, into an environment of its own; None if it fails."""
    if not python.pip:
        return None
    say("installing uv, which installs the rest")
    requirements = tools_folder / "uv.txt"
    try:
        run([python.path, "-m", "venv", "--clear", str(tools_folder)])
        requirements.write_text(pin_of("uv", pins.read_text("utf-8")), "utf-8")
        pip_install(tools_folder / "bin" / "python", ["-r", str(requirements)])
    except VenvError as error:
        say(f"uv cannot be had, so pip does it, more slowly\n{error}")
    return find_uv(tools_folder)


def pin_of(package: str, pins: str) -> str:
    """The lines of one package in the text of a requirements file: its version and its hashes."""
    pin = re.search(rf"^{package}==(?:.*\\\n)+.*\n", pins, re.MULTILINE)
    if pin is None:
        raise VenvError(f"{package} is not pinned with hashes")
    return pin.group()


def make_venv(folder: Path, python: Python, uv: str | None, packages: Sequence[str]) -> None:
    """Make the folder anew and install what the arguments in `packages` say, hashes checked."""
    target = folder / "bin" / "python"
    if uv is not None:
        install = [uv, "pip", "install", "--python", str(target), "--require-hashes"]
        try:
            run([uv, "venv", "--quiet", "--no-project", "--clear", "-p", python.path, str(folder)])
            run([*install, *packages])
        except VenvError as error:
            if not python.pip:
                raise
            say(f"uv failed, so pip tries\n{error}")
        else:
            return
    if not python.pip:
        raise VenvError(no_ensurepip(python))
    run([python.path, "-m", "venv", "--clear", str(folder)])
    pip_install(target, packages)


def no_ensurepip(python: Python) -> str:
    """What to do about a Python from which Debian split off half of the venv module."""
    return (
        f"{python} cannot make virtual environments: its ensurepip module is missing.\n"
        "On Debian and Ubuntu: sudo apt-get install python3-venv "
        f"(or python3.{python.version[1]}-venv)"
    )


def pip_install(python: Path, packages: Sequence[str]) -> None:
    """Install with the environment's own pip, hashes checked."""
    options = ["--disable-pip-version-check", "--no-input", "--require-hashes"]
    run([str(python), "-m", "pip", "install", *options, *packages])


def run(command: Sequence[str]) -> None:
    """Run one step: on a terminal it draws its own progress, elsewhere the time is told."""
    if sys.stderr.isatty():
        code, text = subprocess.run(command, check=False, stdout=sys.stderr).returncode, ""
    else:
        code, text = run_told(command)
    if code != 0:
        raise VenvError(f"{' '.join(command)}\nfailed with exit code {code}\n{text}".rstrip())


def run_told(command: Sequence[str]) -> tuple[int, str]:
    """Run one step, keep what it prints, and tell every ten seconds that it still runs."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for seconds in itertools.count(10, 10):
            try:
                output = process.communicate(timeout=10)[0]
            except subprocess.TimeoutExpired:
                say(f"... {seconds} s")
            else:
                break
    return process.returncode, output.decode("utf-8", "replace")


def say(message: str) -> None:
    """Progress goes to stderr: stdout is for the answer."""
    print(f"environments: {message}", file=sys.stderr, flush=True)
