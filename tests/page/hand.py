"""A person at the page: how a hand writes the ten digits, draws them, what is then read, and copied to be run.

The strokes of each digit are points on a pad that is one unit wide and high.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.server.conftest import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Page

Point = tuple[float, float]
Stroke = list[Point]


def arc(x: float, y: float, width: float, height: float, start: float, end: float) -> Stroke:
    """Points on an ellipse around (x, y), from one angle to the other; degrees, 0 is right, 90 is down."""
    steps = max(4, int(abs(end - start) / 15))
    angles = [math.radians(start + (end - start) * step / steps) for step in range(steps + 1)]
    return [(x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles]


DIGITS: dict[str, list[Stroke]] = {
    "zero": [arc(0.5, 0.5, 0.2, 0.34, -90, 270)],
    "one": [[(0.38, 0.3), (0.52, 0.15), (0.52, 0.85)]],
    "two": [[*arc(0.5, 0.33, 0.2, 0.18, -170, 30), (0.3, 0.84), (0.74, 0.84)]],
    "three": [[*arc(0.48, 0.32, 0.19, 0.17, -150, 90), *arc(0.48, 0.67, 0.21, 0.18, -90, 150)]],
    "four": [[(0.55, 0.12), (0.25, 0.58), (0.75, 0.58)], [(0.6, 0.35), (0.55, 0.9)]],
    "five": [[(0.7, 0.15), (0.36, 0.15), (0.33, 0.45), *arc(0.47, 0.64, 0.22, 0.21, -110, 140)]],
    "six": [[(0.62, 0.12), (0.42, 0.35), (0.34, 0.6), *arc(0.5, 0.68, 0.17, 0.17, 180, -180)]],
    "seven": [[(0.27, 0.17), (0.74, 0.17), (0.45, 0.86)], [(0.36, 0.52), (0.68, 0.52)]],
    "eight": [[*arc(0.5, 0.33, 0.16, 0.17, 90, -270), *arc(0.5, 0.68, 0.19, 0.18, -90, 270)]],
    "nine": [[*arc(0.5, 0.34, 0.18, 0.2, 0, -360), (0.66, 0.5), (0.6, 0.88)]],
}


def draw(page: Page, strokes: list[Stroke], scale: float = 1.0, shift: float = 0.0) -> None:
    """Draw with the mouse, larger or smaller, and moved to the right and down."""
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box
    for stroke in strokes:
        places = [(box["x"] + box["width"] * (x * scale + shift), box["y"] + box["height"] * (y * scale + shift))
                  for x, y in stroke]  # fmt: skip
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=3)
        page.mouse.up()


def best(page: Page) -> str:
    """The label on the first bar."""
    return page.locator(".bars li .label").first.inner_text()


def wait_form(page: Page) -> None:
    """Until the example that a page begins with is in its form: it comes a moment later and replaces what is there."""
    page.wait_for_function("() => document.querySelector('#provenance').textContent !== ''")


def wait_still(page: Page) -> None:
    """Until nothing on the page moves any more."""
    page.evaluate("Promise.allSettled(document.getAnimations().map((one) => one.finished)).then(() => null)")


def wait_answer(page: Page, selector: str = ".bars li") -> None:
    page.locator(f"#answer {selector}").first.wait_for()


def node() -> str:
    """The JavaScript that Playwright brings."""
    from playwright._impl._driver import compute_driver_executable

    return str(compute_driver_executable()[0])


def run_snippets(page: Page) -> Iterator[tuple[str, str]]:
    """Run the request that the page gives to copy; each language with what was printed."""
    for language, command in {
        "curl": ["sh", "-c"],
        "Python": [sys.executable, "-c"],
        "JavaScript": [node(), "--input-type=module", "-e"],
    }.items():
        page.locator("#languages").get_by_role("button", name=language).click()
        code = page.locator("#snippet code").text_content() or ""
        done = subprocess.run([*command, code], capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        yield language, done.stdout
