"""Keep the generated parts of the docs true: the table of settings, and what each command's --help prints.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`, NAME being `settings` or `help tools/export.py`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from runtime.settings import TABLE, Setting  # noqa: E402

_PART = re.compile(r"<!-- generated: (?P<name>[^\n]+?) -->\n.*?<!-- end -->", re.DOTALL)
_EXAMPLES = """examples:
  .venv/bin/python tools/docs.py           write the generated parts of README.md and docs/ anew
  .venv/bin/python tools/docs.py --check   change nothing; exit code 1 when a part is out of date
"""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="docs.py", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Rewrite (or check) every page; exit code 1 when a check finds one out of date."""
    options = parse_args(argv)
    stale = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text()
        true = _PART.sub(
            lambda part: f"<!-- generated: {part['name']} -->\n{_generate(part['name'])}<!-- end -->", text
        )
        if true != text:
            stale.append(page.relative_to(ROOT).as_posix())
            if not options.check:
                page.write_text(true)
    for name in stale:
        sys.stdout.write(
            f"{name}: {'out of date: run .venv/bin/python tools/docs.py' if options.check else 'written'}\n"
        )
    return 1 if stale and options.check else 0


def _generate(name: str) -> str:
    if name == "settings":
        return "| setting | default | what it does |\n|---|---|---|\n" + "".join(map(_row, TABLE))
    if name.startswith("help "):
        return f"```\n{_help(name.removeprefix('help '))}```\n"
    raise SystemExit(f"docs.py: there is no generated part named {name!r}")


def _row(setting: Setting) -> str:
    return f"| `{setting.name}` | {_default(setting)} | {setting.why} |\n"


def _default(setting: Setting) -> str:
    value = setting.default
    if isinstance(value, bool):
        return "on" if value else "off"
    if value in (None, "", (), Path()) or (value == 0 and isinstance(value, int)):
        return ""
    if isinstance(value, int) and value >= 1 << 30 and value % (1 << 30) == 0:
        return f"{value >> 30}G"
    if isinstance(value, int) and value >= 1 << 20 and value % (1 << 20) == 0:
        return f"{value >> 20}M"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _help(command: str) -> str:
    """What `python COMMAND --help` prints at 100 columns."""
    environ = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, *command.split(), "--help"], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout.replace(str(ROOT), ".").rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
