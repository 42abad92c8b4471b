"""The interpreters that a model can be proven on, and the Python environment that holds each.

    tflite-runtime   Python 3.11 with numpy 1: the environment `serve`
    litert           Python 3.12 or newer with numpy 2: the environment `litert`

The running Python serves where it has the package itself.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools import environments, venvs
from tools.errors import UnprovenError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Target:
    """An interpreter: its name on the command line, its package, its module, its environment."""

    name: str
    package: str
    module: str
    environment: str


TARGETS = {
    "tflite-runtime": Target("tflite-runtime", "tflite-runtime", "tflite_runtime", "serve"),
    "litert": Target("litert", "ai-edge-litert", "ai_edge_litert", "litert"),
}


@dataclass(frozen=True)
class Bench:
    """Where candidates are tried: the targets asked for, and the Pythons to run them with.

    `missing` says of each target that cannot be had here why not. Where none can be had, `pythons`
    holds another interpreter in their stead, so that there are figures at all.
    """

    targets: tuple[Target, ...]
    pythons: Mapping[str, Path]
    missing: Mapping[str, str]


def bench(name: str, say: Callable[[str], None]) -> Bench:
    """The bench for a target's name, `both`, or nothing for the default."""
    targets = chosen(name)
    pythons, missing = {}, {}
    for target in targets:
        try:
            pythons[target.name] = python_for(target, say)
        except UnprovenError as error:
            missing[target.name] = str(error)
    if not pythons:
        others = (target for target in TARGETS.values() if target.name not in missing)
        for other in others:
            with contextlib.suppress(UnprovenError):
                pythons[other.name] = python_for(other, say)
    return Bench(tuple(targets), pythons, missing)


def default() -> str:
    """The target that requirements.txt installs for the Python of runtime.txt."""
    text = (ROOT / "runtime.txt").read_text("utf-8") if (ROOT / "runtime.txt").exists() else ""
    version = re.search(r"python-(\d+)\.(\d+)", text)
    told = (int(version[1]), int(version[2])) if version else (3, 11)
    return "tflite-runtime" if told <= (3, 11) and sys.platform == "linux" else "litert"


def chosen(name: str) -> list[Target]:
    """The targets that a command line means: one, or both."""
    names = list(TARGETS) if name == "both" else [name or default()]
    return [TARGETS[name] for name in names]


def python_for(target: Target, say: Callable[[str], None]) -> Path:
    """A Python whose interpreter is the target's; its environment is made if it is not there.

    Raises UnprovenError when none can be had on this machine.
    """
    if _is_here(target):
        return Path(sys.executable)
    environment = environments.ENVIRONMENTS[target.environment]
    if not environment.is_ready():
        say(f"making {environment.name} to prove the model on {target.package}")
        try:
            environments.ensure(environment)
        except venvs.VenvError as error:
            raise UnprovenError(_missing(target, str(error))) from None
    found = environments.interpreter_in(environment)
    if not found.startswith(target.package):
        raise UnprovenError(_missing(target, f"{environment.name} has {found or 'none'}"))
    return environment.python


def _is_here(target: Target) -> bool:
    """Whether runtime.interpreter would choose the target in this very Python."""
    for other in TARGETS.values():
        if importlib.util.find_spec(other.module) is not None:
            return other is target
    return False


def _missing(target: Target, why: str) -> str:
    needs = "Python 3.11 on Linux" if target.name == "tflite-runtime" else "Python 3.12 or newer"
    return (
        f"{target.package} cannot be had on this machine ({why}): install {needs}, choose another "
        "--target, or add --allow-unproven to write a file whose manifest says that it is unproven"
    )
