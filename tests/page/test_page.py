"""The page in a real browser: a model of each kind is asked by hand, and the answer read as a person reads it."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime import artifact
from tests.models import path as model_path
from tests.page.conftest import DIGITS, Open, Serve
from tests.page.hand import DIGITS as HAND
from tests.page.hand import best, draw, wait_answer, wait_form

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent

DROP = """([selector, type, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], "a.png", { type }));
    const options = { dataTransfer: data, clipboardData: data, bubbles: true, cancelable: true };
    const event = selector ? new DragEvent("drop", options) : new ClipboardEvent("paste", options);
    (selector ? document.querySelector(selector) : document).dispatchEvent(event);
}"""


@pytest.mark.parametrize("name", HAND)
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.45, 0.4)], ids=["large", "small, in a corner"])
def test_a_drawn_digit_is_recognized(serve: Serve, open_page: Open, name: str, scale: float, shift: float) -> None:
    page = open_page(serve(DIGITS))
    draw(page, HAND[name], scale, shift)
    page.wait_for_function("name => document.querySelector('.bars li .label')?.textContent === name", arg=name)


def test_a_digit_is_drawn_with_the_keyboard(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(DIGITS))
    page.locator("#pad").focus()
    for keys in (["ArrowUp"] * 6, [" "], ["ArrowDown"] * 12, [" "]):
        for key in keys:
            page.keyboard.press(key)
    wait_answer(page)
    assert best(page) == "one"


def png_of(pixels: NDArray[np.uint8], path: Path) -> bytes:
    Image.fromarray(pixels).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("way", ["drop", "paste", "file"])
def test_an_image_is_dropped_pasted_or_chosen(serve: Serve, open_page: Open, tmp_path: Path, way: str) -> None:
    samples = artifact.read(DIGITS).samples
    assert samples is not None
    pixels = samples.inputs["image"][0].reshape(8, 8).astype(np.uint8)
    content = png_of(np.kron(pixels, np.ones((4, 4), np.uint8)), tmp_path / "digit.png")
    page = open_page(serve(DIGITS))
    page.locator("#drop").wait_for()
    if way == "file":
        page.set_input_files("#file", tmp_path / "digit.png")
    else:
        page.evaluate(DROP, ["#drop" if way == "drop" else "", "image/png", list(content)])
    wait_answer(page)
    labels = artifact.read(DIGITS).labels
    assert best(page) == labels[int(np.argmax(samples.outputs["probabilities"][0]))]


def test_what_is_no_image_is_told(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(DIGITS))
    page.locator("#drop").wait_for()
    page.evaluate(DROP, ["#drop", "text/plain", [65, 66]])
    page.get_by_text("Expected an image file").wait_for()
    page.evaluate(DROP, ["#drop", "image/png", [65, 66]])
    page.get_by_text("This image cannot be read.").wait_for()


def test_a_feature_form_is_filled_from_a_golden_sample(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(model_path("packed")))
    samples = artifact.read(model_path("packed")).samples
    assert samples is not None
    wait_form(page)
    shown = [float(page.get_by_label(name).input_value()) for name in ("length", "width", "height", "weight")]
    assert np.allclose(shown, samples.inputs["features"][0, 0], rtol=1e-6)
    page.get_by_role("button", name="Predict").click()
    wait_answer(page)
    want = samples.outputs["probabilities"][0, 0]
    assert best(page) == ("small", "middle", "large")[int(np.argmax(want))]
    assert page.locator(".bars li .number").first.inner_text() == f"{100 * want.max():.1f} %"


def test_a_field_that_is_no_number_is_named(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(model_path("packed")))
    wait_form(page)
    page.get_by_label("height").fill("tall")
    page.get_by_role("button", name="Predict").click()
    page.get_by_text("height: expected a number, got tall.").wait_for()
    assert page.get_by_label("height").get_attribute("aria-invalid") == "true"
    page.get_by_label("height").fill("0.5")
    page.get_by_role("button", name="Predict").click()
    wait_answer(page)


def test_bad_json_and_a_bad_request_are_told(serve: Serve, open_page: Open) -> None:
    page = open_page(serve(model_path("packed")), expected=("400",))
    wait_form(page)
    page.get_by_role("button", name="JSON").click()
    editor = page.get_by_label("The request's body")
    assert len(json.loads(editor.input_value())["instances"][0]) == 4
    editor.fill('{"instances": [[1, 2')
    page.get_by_role("button", name="Predict").click()
    page.get_by_text("This is not JSON").wait_for()
    editor.fill('{"instances": [[1, 2]]}')
    page.get_by_role("button", name="Predict").click()
    page.get_by_text("expected each row of shape [4]").wait_for()


@pytest.mark.parametrize(
    ("name", "selector", "told"),
    [
        ("two_inputs", "h3", ["product", "sum"]),
        ("scalar_out", "h3", ["total", "vector"]),
        ("whole", "figure, table, p", None),
        ("dynamic_length", "table, .big, .bars", None),
        ("string_lookup", ".big", ["0"]),
        ("bool_io", "td", ["true", "true", "true"]),
        ("image_to_image", "canvas", [""]),
        ("lstm", "table, .bars", None),
    ],
)
def test_every_kind_of_model_has_an_example_that_is_answered(
    serve: Serve, open_page: Open, name: str, selector: str, told: list[str] | None
) -> None:
    page = open_page(serve(model_path(name)))
    wait_form(page)
    page.get_by_role("button", name="Predict").click()
    wait_answer(page, selector)
    assert page.locator("#answer .bad").count() == 0
    if told is not None:
        assert page.locator(f"#answer {selector}").all_inner_texts() == told


def test_a_picture_among_the_outputs_is_shown(serve: Serve, open_page: Open, tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = (255, 0, 0)
    content = png_of(pixels, tmp_path / "red.png")
    page = open_page(serve(model_path("image_to_image")))
    wait_form(page)
    page.evaluate(DROP, ["#drop", "image/png", list(content)])
    seen = "(name) => [...document.querySelector(name).getContext('2d').getImageData(0, 0, 1, 1).data]"
    page.locator("#answer canvas").wait_for()
    assert page.evaluate(seen, ".easel canvas.seen") == [255, 0, 0, 255]
    reply = json.loads(page.locator("#answer pre").text_content() or "")
    corner = reply["predictions"][0][0][0]
    assert page.evaluate(seen, "#answer canvas")[:3] == [min(255, round(255 * value)) for value in corner]


def test_a_picture_of_any_size_is_taken_as_it_is(serve: Serve, open_page: Open, tmp_path: Path) -> None:
    content = png_of(np.full((20, 30, 3), (255, 0, 0), np.uint8), tmp_path / "red.png")
    page = open_page(serve(HERE / "any_picture.tflite"))
    wait_form(page)
    page.evaluate(DROP, ["#drop", "image/png", list(content)])
    page.get_by_text("What the model gets: 30 \u00d7 20").wait_for()
    page.locator("#answer canvas").wait_for()
    seen = "() => [...document.querySelector('#answer canvas').getContext('2d').getImageData(29, 19, 1, 1).data]"
    assert page.evaluate(seen) == [0, 255, 255, 255]


@pytest.mark.parametrize(("volume", "heard"), [(0.9, "class 1"), (0.05, "class 0")], ids=["loud", "quiet"])
def test_a_sound_is_heard(serve: Serve, open_page: Open, tmp_path: Path, volume: float, heard: str) -> None:
    samples = volume * np.sin(np.arange(16000) / 8)
    with wave.open(str(tmp_path / "tone.wav"), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes((samples * 32767).astype("<i2").tobytes())
    page = open_page(serve(HERE / "sound.tflite"))
    wait_form(page)
    page.set_input_files("#file", tmp_path / "tone.wav")
    wait_answer(page)
    assert best(page) == heard
    page.get_by_text("4000 samples of tone.wav").wait_for()


def test_what_is_no_sound_is_told(serve: Serve, open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "tone.wav").write_bytes(b"RIFF, but no more")
    page = open_page(serve(HERE / "sound.tflite"))
    wait_form(page)
    page.set_input_files("#file", tmp_path / "tone.wav")
    page.get_by_text("This sound cannot be read.").wait_for()
