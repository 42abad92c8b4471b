"""A real browser (Debian's Chromium, driven by Playwright) in front of real servers.

Every page is watched while it is open: errors in its scripts, violations of its Content-Security-Policy and requests
to any other host fail the test that caused them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.conftest import PATIENCE, Server, start_gunicorn

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits" / "digits.tflite"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
WATCH = "addEventListener('securitypolicyviolation', (event) => console.error('CSP ' + event.violatedDirective));"
Open = Callable[..., "Page"]
Serve = Callable[..., Server]


@dataclass
class Watcher:
    """What must not happen on a page, as it happens."""

    home: str
    problems: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def watch(self, page: Page) -> None:
        """From now on."""
        page.add_init_script(WATCH)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._said)
        page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        if message.type == "error" and not any(word in message.text for word in self.expected):
            self.problems.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.home, "data:", "blob:")):
            self.problems.append(f"asked {request.url}")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, without a screen; the tests are skipped on a machine that has none, but not in CI.

    It keeps an event loop running, in which no other test could start one of its own: it ends with this folder's tests.
    """
    if CHROMIUM is None and os.environ.get("CI") != "true":
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), timeout=1000 * PATIENCE)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """`open_page(server, dark=..., width=..., height=..., expected=(...)) -> Page`, watched to the test's end."""
    contexts, watchers = [], []

    def begin(
        server: Server,
        path: str = "/",
        *,
        dark: bool = False,
        size: tuple[int, int] = (1200, 900),
        expected: tuple[str, ...] = (),
    ) -> Page:
        context = browser.new_context(
            color_scheme="dark" if dark else "light", viewport={"width": size[0], "height": size[1]}
        )
        contexts.append(context)
        context.set_default_timeout(1000 * PATIENCE)
        page = context.new_page()
        watcher = Watcher(server.url, expected=expected)
        watchers.append(watcher)
        watcher.watch(page)
        page.goto(server.url + path)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert [problem for watcher in watchers for problem in watcher.problems] == []


@pytest.fixture(scope="package")
def serve() -> Iterator[Serve]:
    """`serve(model, NAME="value", ...) -> Server`: one server for each different call, to the end of this folder."""
    running: dict[tuple[str, ...], Server] = {}

    def begin(model: Path, **environ: str) -> Server:
        key = (str(model), *(f"{name}={value}" for name, value in sorted(environ.items())))
        if key not in running:
            running[key] = start_gunicorn(model, **environ)
            running[key].wait_ready()
        return running[key]

    yield begin
    for server in running.values():
        server.process.terminate()
    for server in running.values():
        server.stop()
