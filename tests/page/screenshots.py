"""The pictures of the page in the docs, taken from a real browser in front of a real server.

python -m tests.page.screenshots            writes docs/images/page.png and page-phone.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tests.page.hand import DIGITS as HAND
from tests.page.hand import draw, wait_still
from tests.server.conftest import PATIENCE, Server, start_gunicorn

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits" / "digits.tflite"
PICTURES = {
    "page.png": ("light", (1120, 640), "three"),
    "page-phone.png": ("dark", (390, 844), "five"),
}


def take(browser: Browser, server: Server, folder: Path) -> list[Path]:
    """Draw a digit on each page, and write the pictures in 64 colours, which is enough for a page."""
    made = []
    for name, (scheme, (width, height), digit) in PICTURES.items():
        context = browser.new_context(
            color_scheme="dark" if scheme == "dark" else "light",
            viewport={"width": width, "height": height},
            device_scale_factor=1.5,
        )
        context.set_default_timeout(1000 * PATIENCE)
        page = context.new_page()
        page.goto(server.url)
        draw(page, HAND[digit])
        page.locator(".bars li").first.wait_for()
        page.wait_for_timeout(600)
        wait_still(page)
        page.evaluate("scrollTo(0, 0)")
        path = folder / name
        page.screenshot(path=path)
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
        made.append(path)
        context.close()
    return made


def main(argv: list[str]) -> int:
    """Write the pictures into the folder that argv names, docs/images without one."""
    from playwright.sync_api import sync_playwright

    from tests.page.conftest import CHROMIUM, FLAGS

    folder = Path(argv[0]) if argv else ROOT / "docs" / "images"
    server = start_gunicorn(DIGITS)
    try:
        server.wait_ready()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            for path in take(browser, server, folder):
                print(f"{path} {path.stat().st_size // 1024} KB")
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
