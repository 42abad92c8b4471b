"""What a person gives the page arrives as it was given, or is refused with a reason: numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.models import path as model_path
from tests.page.conftest import Open, Serve
from tests.page.hand import wait_form
from tests.server.conftest import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

BEYOND = 2**53 + 1  # no double is this number
LEAST = -(2**63)


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
    from playwright._impl._driver import compute_driver_executable

    page = open_page(serve(model_path("int64_io")))
    wait_form(page)
    page.get_by_label("x 1").fill(str(BEYOND))
    node = str(compute_driver_executable()[0])
    for language, command in {
        "curl": ["sh", "-c"],
        "Python": [sys.executable, "-c"],
        "JavaScript": [node, "--input-type=module", "-e"],
    }.items():
        page.locator("#languages").get_by_role("button", name=language).click()
        code = page.locator("#snippet code").text_content() or ""
        done = subprocess.run([*command, code], capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        assert str(BEYOND + 1) in done.stdout, language


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
    from playwright._impl._driver import compute_driver_executable

    page = open_page(serve(model_path("string_lookup")))
    wait_form(page)
    page.get_by_role("button", name="JSON", exact=True).click()
    body = json.dumps({"instances": ["`${1}`", "\\", '"', "'", "\n", "\\`"]})
    page.get_by_label("The request's body").fill(body)
    page.locator("#languages").get_by_role("button", name="JavaScript").click()
    code = (page.locator("#snippet code").text_content() or "").partition("const reply")[0] + "console.log(body);"
    node = str(compute_driver_executable()[0])
    done = subprocess.run([node, "-e", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
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
