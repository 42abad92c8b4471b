#!/usr/bin/env python3
"""Will this app build, boot and stay up on that platform? Found out here, before it is pushed.

    folder + platform + settings -> checks, each ok, warn or fail with its fix -> a table, exit code 0 or 1

Files are read, then the app is started once as the platform starts it, asked, weighed and stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from tools import missing

    missing.tell()

from rich.console import Console
from rich.table import Table

from runtime.settings import TABLE
from tools.checks import commands, credentials, declared, deployed, files, packages, platform_files, server, settings
from tools.checks.base import FAIL, OK, SKIP, WARN, App, Check, Finding, fail
from tools.checks.dockerfile import image_of
from tools.checks.platforms import FAILURES, PLATFORMS, Platform
from tools.checks.trial_run import Run

ROOT = Path(__file__).resolve().parent.parent
CHECKS: tuple[Check, ...] = (
    *commands.CHECKS,
    *platform_files.CHECKS,
    *packages.CHECKS,
    *files.CHECKS,
    *credentials.CHECKS,
    *settings.CHECKS,
    *deployed.CHECKS,
    *server.CHECKS,
)
_COLOURS = {OK: "green", WARN: "yellow", FAIL: "bold red", SKIP: "dim"}
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")

EXAMPLES = """examples:
  .venv/bin/python tools/doctor.py                                this checkout on Heroku, with the settings of app.json
  .venv/bin/python tools/doctor.py --platform cloudrun            on Cloud Run, with those of deploy/cloud-run.yaml
  .venv/bin/python tools/doctor.py ~/my-app --set MODEL_URL=https://example.com/model.tflite
  .venv/bin/python tools/doctor.py --failure R14                  only what leads to R14, and what R14 is
  .venv/bin/python tools/doctor.py --no-start --json              only what the files say, for a machine
  .venv/bin/python tools/doctor.py --fix                          repair what is safe to repair, then look again

exit codes: 0 nothing fails, 1 something fails, 2 wrong command line"""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="tools/doctor.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("app", nargs="?", type=Path, default=ROOT, help="the folder to deploy (this checkout)")
    parser.add_argument("--platform", choices=sorted(PLATFORMS), default="heroku", help="where to (heroku)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting; may be repeated")
    parser.add_argument("--failure", choices=sorted(FAILURES), help="only the checks that foretell this failure")
    parser.add_argument("--no-start", action="store_true", help="only read files, start nothing")
    parser.add_argument("--python", type=Path, help="the Python that has the app's packages (.venv-serve's, else this)")
    parser.add_argument("--fix", action="store_true", help="repair what is safe to repair")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    arguments = parser.parse_args(argv)
    if not arguments.app.is_dir():
        parser.error(f"{arguments.app}: there is no such folder")
    if any("=" not in pair for pair in arguments.set):
        parser.error("--set takes NAME=VALUE")
    if arguments.python:
        arguments.python = _program(arguments.python) or parser.error(f"{arguments.python}: there is no such program")
    return arguments


def _program(python: Path) -> Path | None:
    """A program by its path or its name on the PATH, as an absolute path: the app runs in another folder."""
    found = shutil.which(python)
    return Path(found).absolute() if found else None


def environment(root: Path, platform: Platform, given: Sequence[str], own: Mapping[str, str]) -> dict[str, str]:
    """The app's environment: the platform's, the image's, its file's (app.json, ...), this shell's, --set.

    Later ones win.
    """
    environ = {name: own[name] for name in _PASSED_ON if name in own} | dict(platform.environ)
    image = image_of(root, platform.name)
    if image:
        environ |= {name: value for name, value in image.environ.items() if name not in ("PATH", "PYTHONPATH")}
    environ |= declared.settings(root, platform.name)
    environ |= {row.name: own[row.name] for row in TABLE if row.name in own and row.name not in ("PORT", "HOST")}
    return environ | dict(pair.split("=", 1) for pair in given)


def examine(app: App, checks: Sequence[Check], *, fix: bool = False) -> list[tuple[Check, Finding, str]]:
    """Each check with its finding, and with what was repaired: then the finding is that of a second look."""
    found = []
    for check in checks:
        finding, done = _look(check, app), ""
        if fix and finding.repair is not None:
            done = finding.repair()
            finding = _look(check, app)
        found.append((check, finding, done))
    return found


def _look(check: Check, app: App) -> Finding:
    try:
        return check.function(app)
    except Exception as error:  # noqa: BLE001 - an app may be broken in ways that no check foresees
        return fail(f"the check itself failed: {type(error).__name__}: {error}", "look at what it names")


def table(found: Sequence[tuple[Check, Finding, str]]) -> Table:
    """The findings for a person."""
    drawn = Table(show_edge=False, pad_edge=False, expand=True)
    drawn.add_column("")
    drawn.add_column("check", no_wrap=True)
    drawn.add_column("found", ratio=3)
    drawn.add_column("leads to", no_wrap=True)
    for check, finding, done in found:
        text = finding.message
        if done:
            text += f"\nrepaired: {done}"
        elif finding.fix:
            text += f"\n-> {finding.fix}"
        foretells = " ".join(check.foretells) if finding.status in (WARN, FAIL) else ""
        mark = f"[{_COLOURS[finding.status]}]{finding.status}[/]"
        drawn.add_row(mark, check.name, _plain(text), foretells)
    return drawn


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


def as_json(found: Sequence[tuple[Check, Finding, str]], platform: str) -> str:
    """The findings for a machine."""
    rows = [
        {
            "check": check.name,
            "status": finding.status,
            "message": finding.message,
            "fix": finding.fix,
            "repaired": done,
            "leads_to": check.foretells,
        }
        for check, finding, done in found
    ]
    counts = {status: sum(finding.status == status for _, finding, _ in found) for status in _COLOURS}
    return json.dumps({"platform": platform, "counts": counts, "findings": rows}, indent=2)


def main(argv: Sequence[str]) -> int:
    """Examine, print, and return the exit code."""
    arguments = parse_args(argv)
    root = arguments.app.resolve()
    platform = declared.limited_if_readable(root, PLATFORMS[arguments.platform])
    served = root / ".venv-serve" / "bin" / "python"
    python = arguments.python or (served if served.exists() else Path(sys.executable))
    environ = environment(root, platform, arguments.set, os.environ)
    app = App(root, platform, environ, python, None if arguments.no_start else Run)
    checks = [check for check in CHECKS if not (check.starts and arguments.no_start)]
    if arguments.failure:
        checks = [check for check in checks if arguments.failure in check.foretells]
    try:
        found = examine(app, checks, fix=arguments.fix)
    finally:
        app.close()
    if arguments.json:
        print(as_json(found, platform.name))
    else:
        console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
        if arguments.failure:
            console.print(f"{arguments.failure}: {FAILURES[arguments.failure]}\n")
        console.print(table(found))
        counts = ", ".join(f"{sum(item.status == status for _, item, _ in found)} {status}" for status in _COLOURS)
        console.print(f"\n{root.name} on {platform.name}: {counts}")
    return int(any(finding.status == FAIL for _, finding, _ in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
