"""What stands around the forms, in a real browser: requests to copy, the key, time, and that everybody can use it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from runtime import artifact
from tests.models import path as model_path
from tests.page.conftest import DIGITS, Open, Serve
from tests.page.hand import DIGITS as HAND
from tests.page.hand import draw, run_snippets, wait_answer, wait_form, wait_still
from tests.page.screenshots import PICTURES, take
from tests.server.conftest import start_gunicorn

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow


def test_on_a_phone_the_answer_is_told_before_it_is_scrolled_to(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(DIGITS), size=(390, 844))
    draw(page, HAND["three"])
    page.locator("#brief").get_by_text("three").wait_for()
    page.locator("#brief").click()
    page.locator("#brief").wait_for(state="hidden")


def test_the_copied_request_gives_the_answer_on_the_screen(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(model_path("packed")))
    wait_form(page)
    page.get_by_role("button", name="Predict").click()
    wait_answer(page)
    want = json.loads(page.locator("#answer pre").text_content() or "")
    for language, printed in run_snippets(page):
        numbers = [float(number) for number in re.findall(r"\d\.\d+(?:e-\d+)?", printed)]
        assert np.allclose(numbers, want["predictions"][0], rtol=1e-5), language


def test_a_large_request_is_saved_to_a_file(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(DIGITS))
    page.get_by_role("button", name="Fill in an example").click()
    wait_answer(page)
    page.get_by_role("button", name="JSON", exact=True).click()
    page.get_by_label("The request's body").fill(json.dumps({"instances": [np.zeros((8, 8, 1)).tolist()] * 20}))
    with page.expect_download() as saved:
        page.locator("#save").click()
    body = json.loads(Path(saved.value.path()).read_text())
    assert np.shape(body["instances"]) == (20, 8, 8, 1)
    assert "@request.json" in page.locator("#snippet code").inner_text()


def test_text_from_a_model_is_only_ever_text(serve: Serve, open_page: Open, tmp_path: Path) -> None:
    found = artifact.read(model_path("packed"))
    assert found.manifest is not None
    hostile = "<img src=x onerror=document.title='taken'>"
    target = tmp_path / "hostile.tflite"
    artifact.write(
        target, model_path("packed").read_bytes(), found.manifest, (hostile, "middle", "large"), found.samples
    )
    page = open_page(serve(target))
    wait_form(page)
    page.get_by_role("button", name="Predict").click()
    wait_answer(page)
    assert hostile in page.locator(".bars .label").all_inner_texts()
    assert page.locator("#answer img").count() == 0
    assert page.title() == "packed · dynolite"


def test_the_time_is_told_by_stage(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(DIGITS))
    page.get_by_role("button", name="Fill in an example").click()
    wait_answer(page)
    stages = page.locator("#timing .legend li").all_inner_texts()
    assert [stage.split()[0] for stage in stages] == ["decode", "queue", "invoke", "encode"]
    page.get_by_text("Predictions", exact=True).wait_for()


def test_a_key_opens_the_page(serve: Serve, open_page: Open) -> None:
    server = serve(model_path("packed"), API_KEYS="ali:open-sesame-open-sesame")
    page = open_page(server, expected=("401",))
    page.get_by_label("API key").fill("a-wrong-key-a-wrong-key")
    page.get_by_role("button", name="Open").click()
    page.get_by_text("The server does not know this key.").wait_for()
    assert page.locator("#bench").is_hidden()
    page.get_by_label("API key").fill("open-sesame-open-sesame")
    page.get_by_role("button", name="Open").click()
    wait_form(page)
    page.get_by_role("button", name="Predict").click()
    wait_answer(page)
    snippet = page.locator("#snippet code").inner_text()
    assert "$API_KEY" in snippet
    assert "sesame" not in snippet
    # In one step: the page looks at the server by itself too, and would lock the button away.
    page.evaluate("sessionStorage.clear(); document.querySelector('#ask').click()")
    page.get_by_label("API key").fill("open-sesame-open-sesame")
    page.get_by_role("button", name="Open").click()
    with page.expect_response(lambda reply: "/predict/" in reply.url and reply.status == 200):
        page.get_by_role("button", name="Predict").click()


def test_one_of_several_models_is_chosen(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(DIGITS, MODEL_URL_OTHER=str(model_path("packed"))))
    page.locator("#pad").wait_for()
    page.get_by_label("Model", exact=True).select_option("other")
    page.get_by_label("height").wait_for()
    wait_form(page)
    page.get_by_role("button", name="Predict").click()
    wait_answer(page)
    assert "/predict/other" in page.locator("#snippet code").inner_text()
    assert page.title() == "other \u00b7 dynolite"


def test_a_server_without_a_model_says_why(open_page: Open, tmp_path: Path) -> None:
    missing = tmp_path / "missing.tflite"
    server = start_gunicorn(missing)
    try:
        page = open_page(server)
        page.get_by_text("not ready", exact=True).wait_for()
        page.get_by_role("alert").get_by_text("missing.tflite").wait_for()
    finally:
        server.stop()


def ask_example(page: Page) -> None:
    """Fill one in and ask, once the page has nothing else to do: a later answer would replace this one."""
    page.locator("#bench").wait_for()
    if page.locator("#pad").count() == 0:
        wait_form(page)
    page.evaluate("document.querySelector('#provenance').textContent = ''")
    page.get_by_role("button", name="Fill in an example").click()
    wait_form(page)
    page.get_by_role("button", name="Predict").click()
    page.locator("#ask:enabled").wait_for()
    wait_answer(page, "details")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["digits", "packed", "image_to_image", "dynamic_length"])
def test_axe_finds_nothing_serious(serve: Serve, open_page: Open, name: str, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(serve(DIGITS if name == "digits" else model_path(name)), dark=dark, size=(390, 844))
    ask_example(page)
    page.locator("#answer summary").click()
    page.wait_for_timeout(400)
    wait_still(page)
    found = Axe().run(page).response["violations"]
    assert [(item["id"], item["impact"], item["nodes"][0]["html"]) for item in found] == []


@pytest.mark.parametrize("name", ["digits", "packed", "image_to_image", "two_inputs", "dynamic_length"])
def test_nothing_is_wider_than_a_phone(serve: Serve, open_page: Open, name: str) -> None:
    page = open_page(serve(DIGITS if name == "digits" else model_path(name)), size=(360, 740))
    ask_example(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_pictures_of_the_docs_can_be_taken(serve: Serve, browser: Browser, tmp_path: Path) -> None:
    for path in take(browser, serve(DIGITS), tmp_path):
        with Image.open(path) as picture:
            assert len(picture.getcolors(64) or []) > 8
        assert path.stat().st_size < 200_000
    assert {path.name for path in tmp_path.iterdir()} == set(PICTURES)


def test_everything_is_reached_with_the_keyboard(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(model_path("packed")))
    wait_form(page)
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached[0] == "Skip to the form"
    for wanted in ("field-0-0", "ask", "another", "Python", "copy"):
        assert wanted in reached
