"""The docs are true: generated parts are up to date, links lead somewhere, every setting and command is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.settings import TABLE

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = sorted(path for path in (ROOT / "tools").glob("*.py") if 'if __name__ == "__main__"' in path.read_text())


def test_generated_parts_are_up_to_date() -> None:
    """`python tools/docs.py` would change nothing."""
    done = subprocess.run(
        [sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_that_exist(page: Path) -> None:
    """Every relative link of a page has its target."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", page.read_text())
    for target in filter(None, (first or second for first, second in targets)):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


def test_every_setting_is_in_the_docs() -> None:
    """The table of settings stands in docs/settings.md, row by row."""
    text = (ROOT / "docs" / "settings.md").read_text()
    assert not [row.name for row in TABLE if f"| `{row.name}` |" not in text]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda path: path.name)
def test_every_command_teaches_by_example(command: Path) -> None:
    """--help works, and shows how to call the command."""
    done = subprocess.run([sys.executable, command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"tools/{command.name}" in done.stdout or "make " in done.stdout
    # A `python` of the reader's own has not the packages.
    assert not re.search(r"(?<![/\w])python tools/", done.stdout)


def test_the_docs_speak_of_every_page() -> None:
    """Every page is in the index of its folder, and every index in the README or in docs/README.md."""
    folders = [page.parent for page in (ROOT / "docs").rglob("README.md")]
    missing = [
        page
        for folder in folders
        for page in folder.glob("*.md")
        if page.name != "README.md" and f"({page.name})" not in (folder / "README.md").read_text()
    ]
    assert not missing
