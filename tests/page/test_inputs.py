"""What a person gives the page arrives as it was given, or is refused with a reason: numbers, keys, pictures."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from runtime import artifact
from tests.models import path as model_path
from tests.page.conftest import DIGITS, Open, Serve
from tests.page.hand import best, node, run_snippets, wait_answer, wait_form
from tests.server.conftest import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

BEYOND = 2**53 + 1  # no double is this number
LEAST = -(2**63)
KEY = "open-sesame-open-sesame"


def ask(page: Page) -> str:
    """Press Predict; the body that was sent."""
    with page.expect_request(lambda request: "/predict/" in request.url) as sent:
        page.get_by_role("button", name="Predict").click()
    return sent.value.post_data or ""


def wait_number(page: Page, number: int) -> None:
    page.locator("#answer td").get_by_text(str(number), exact=True).wait_for()


def test_whole_numbers_in_fields_are_exact(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(model_path("int64_io")))
    wait_form(page)
    page.get_by_label("x 1").fill(str(BEYOND))
    page.get_by_label("x 2").fill(str(LEAST))
    assert json.loads(ask(page)) == {"instances": [[BEYOND, LEAST]]}
    wait_number(page, BEYOND + 1)
    wait_number(page, LEAST + 1)
    assert json.loads(page.locator("#answer pre").text_content() or "") == {"predictions": [[BEYOND + 1, LEAST + 1]]}


def test_the_copied_requests_have_every_digit(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(model_path("int64_io")))
    wait_form(page)
    page.get_by_label("x 1").fill(str(BEYOND))
    for language, printed in run_snippets(page):
        assert str(BEYOND + 1) in printed, language


def test_the_editor_s_text_is_sent_as_it_stands(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(model_path("int64_io")))
    wait_form(page)
    page.get_by_label("x 1").fill(str(BEYOND))
    page.get_by_role("button", name="JSON", exact=True).click()
    editor = page.get_by_label("The request's body")
    assert json.loads(editor.input_value()) == {"instances": [[BEYOND, 0]]}
    text = f'{{"instances" :\n[[ {BEYOND},1 ]]}}'
    editor.fill(text)
    assert ask(page) == text
    wait_number(page, BEYOND + 1)
    assert text in (page.locator("#snippet code").text_content() or "")
    page.get_by_role("button", name="Form").click()
    assert page.get_by_label("x 1").input_value() == str(BEYOND)


def test_words_with_signs_of_javascript_are_copied_as_they_are(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(model_path("string_lookup")))
    wait_form(page)
    page.get_by_role("button", name="JSON", exact=True).click()
    body = json.dumps({"instances": ["`${1}`", "\\", '"', "'", "\n", "\\`"]})
    page.get_by_label("The request's body").fill(body)
    page.locator("#languages").get_by_role("button", name="JavaScript").click()
    code = (page.locator("#snippet code").text_content() or "").partition("const reply")[0] + "console.log(body);"
    done = subprocess.run([node(), "-e", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == body + "\n"


@pytest.mark.parametrize("written", ["1,234", "0x10", "1e", ".5", "Infinity", "1 000"])
def test_what_is_no_number_of_json_s_is_refused(serve: Serve, open_page: Open, written: str) -> None:
    page = open_page(serve(model_path("packed")))
    wait_form(page)
    page.get_by_label("height").fill(written)
    page.get_by_role("button", name="Predict").click()
    page.get_by_text(f"height: expected a number, got {written}. Write it as JSON does").wait_for()
    assert page.get_by_label("height").get_attribute("aria-invalid") == "true"
    page.get_by_label("height").fill("1.5e0")
    assert json.loads(ask(page))["instances"][0][2] == 1.5


@pytest.mark.parametrize("written", ["1.0", "1e3", "0x10", "007"])
def test_what_is_no_whole_number_is_refused(serve: Serve, open_page: Open, written: str) -> None:
    page = open_page(serve(model_path("int64_io")))
    wait_form(page)
    page.get_by_label("x 1").fill(written)
    page.get_by_role("button", name="Predict").click()
    page.get_by_text(f"x 1: expected a whole number, got {written}. Write it in digits").wait_for()


@pytest.mark.parametrize(
    "given", ["ключ-ключ-ключ-ключ", "two words are no key", "k" * 5000, "bell\x07bell\x07bell\x07"]
)
def test_what_no_header_can_hold_is_no_key(serve: Serve, open_page: Open, given: str) -> None:
    """It is told at the door and kept nowhere, and the right key opens after it."""
    page = open_page(serve(model_path("packed"), API_KEYS=f"ali:{KEY}"), expected=("401",))
    page.get_by_label("API key").fill(given)
    page.get_by_role("button", name="Open").click()
    page.get_by_text("This is no key").wait_for()
    assert page.get_by_label("API key").get_attribute("aria-invalid") == "true"
    assert page.evaluate("sessionStorage.length") == 0
    page.reload()
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Open").click()
    wait_form(page)


@pytest.mark.parametrize(("link", "says"), [("OpenAPI", '"openapi"'), ("Metrics", "# TYPE")])
def test_the_links_at_the_foot_are_asked_with_the_key(serve: Serve, open_page: Open, link: str, says: str) -> None:
    page = open_page(serve(model_path("packed"), API_KEYS=f"ali:{KEY}"), expected=("401",))
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("link", name=link).wait_for(state="hidden")
    page.get_by_role("button", name="Open").click()
    page.get_by_role("link", name=link).click()
    page.get_by_text(says).first.wait_for()


def digit(tmp_path: Path, *, dark: bool = False) -> tuple[Path, str]:
    """A PNG of a golden digit, light on dark as the model knows it, or dark on light; and its label."""
    found = artifact.read(DIGITS)
    assert found.samples is not None
    pixels = np.kron(found.samples.inputs["image"][0].reshape(8, 8), np.ones((4, 4))).astype(np.uint8)
    Image.fromarray(255 - pixels if dark else pixels).save(tmp_path / "digit.png")
    return tmp_path / "digit.png", found.labels[int(np.argmax(found.samples.outputs["probabilities"][0]))]


@pytest.mark.parametrize("place", ["#pad", "#answer-card", "footer"])
def test_a_picture_dropped_anywhere_is_taken(serve: Serve, open_page: Open, tmp_path: Path, place: str) -> None:
    """As a person's own hand does it, to which a browser answers by opening the file."""
    picture, label = digit(tmp_path)
    page = open_page(serve(DIGITS))
    page.locator("#pad").wait_for()
    drop(page, place, picture)
    wait_answer(page)
    assert best(page) == label


def test_a_file_dropped_on_a_form_that_takes_none_is_left_alone(serve: Serve, open_page: Open, tmp_path: Path) -> None:
    picture, _ = digit(tmp_path)
    page = open_page(serve(model_path("packed")))
    wait_form(page)
    page.get_by_label("height").fill("2.5")
    page.evaluate(
        "addEventListener('dragover', (event) => (window.kept = [...(window.kept ?? []), event.defaultPrevented]))"
    )
    drop(page, "#answer-card", picture)
    drop(page, "#field-0-2", picture)
    page.wait_for_function("window.kept?.length >= 2")
    assert all(page.evaluate("window.kept"))
    ask(page)
    wait_answer(page)
    assert page.get_by_label("height").input_value() == "2.5"


def drop(page: Page, selector: str, file: Path) -> None:
    """Drag a file from outside the browser over an element and let it go there."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    assert box
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})


def test_a_dark_digit_is_inverted_with_the_keyboard(serve: Serve, open_page: Open, tmp_path: Path) -> None:
    """The preview shows it, the answer follows, and a drawing or an example is never inverted."""
    picture, label = digit(tmp_path, dark=True)
    page = open_page(serve(DIGITS))
    page.locator("#pad").wait_for()
    invert = page.get_by_role("checkbox", name="Invert the image (the model's examples are mostly dark)")
    assert invert.is_hidden()
    page.set_input_files("#file", picture)
    wait_answer(page)
    corner = "() => document.querySelector('.easel canvas.seen').getContext('2d').getImageData(0, 0, 1, 1).data[0]"
    assert page.evaluate(corner) == 255
    invert.focus()
    page.keyboard.press("Space")
    page.wait_for_function("label => document.querySelector('.bars li .label')?.textContent === label", arg=label)
    assert page.evaluate(corner) == 0
    page.get_by_role("button", name="Fill in an example").click()
    invert.wait_for(state="hidden")


def test_a_picture_in_colours_is_not_inverted(serve: Serve, open_page: Open, tmp_path: Path) -> None:
    picture, _ = digit(tmp_path)
    page = open_page(serve(model_path("image_to_image")))
    wait_form(page)
    page.set_input_files("#file", picture)
    wait_answer(page, "canvas")
    assert page.locator("#invert").count() == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_where_a_photo_may_be_inverted(
    serve: Serve, open_page: Open, tmp_path: Path, dark: bool
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(serve(DIGITS), dark=dark, size=(390, 844))
    page.locator("#pad").wait_for()
    page.set_input_files("#file", digit(tmp_path)[0])
    page.get_by_label("Invert").wait_for()
    wait_answer(page)
    page.evaluate("Promise.allSettled(document.getAnimations().map((one) => one.finished)).then(() => null)")
    found = Axe().run(page).response["violations"]
    assert [(item["id"], item["impact"], item["nodes"][0]["html"]) for item in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
