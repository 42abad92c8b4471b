"""What a command says that is run by a Python without its packages: one line, with the Python that has them.

Only the standard library is used here: whatever `python` a person has types this in.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent


def tell() -> None:
    """Have a package that is missing told so; called by a command before it imports any."""
    sys.excepthook = _told


def advice(package: str, script: str) -> str:
    """What to do where this Python has no such package, in one line."""
    call = f".venv/bin/python tools/{script} ..."
    if (ROOT / ".venv" / "bin" / "python").exists() and Path(sys.prefix) != ROOT / ".venv":
        return f"dynolite: this Python has no {package}: run {call}"
    made = "run `make demo` once (or `python3 tools/environments.py dev`)"
    return f"dynolite: this Python has no {package}: {made}, then {call}"


def _told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    package = (getattr(error, "name", "") or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or package in ("", "runtime", "tools"):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write(advice(package, Path(sys.argv[0]).name) + "\n")
    raise SystemExit(2)
