"""What the demo is made of: the Procfile's server, freshness by content, digits drawn in characters."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.models import path
from tools import procfile_server
from tools.freshness import Freshness
from tools.pixel_art import draw, enlarge
from tools.procfile_server import ProcfileServer, ServerError, free_port, web_command


def test_web_command(tmp_path: Path) -> None:
    """The web line is found among others, and its absence is told."""
    procfile = tmp_path / "Procfile"
    procfile.write_text("release: true\nweb:  gunicorn a:b --x 1\nworker: false\n")
    assert web_command(procfile) == "gunicorn a:b --x 1"
    procfile.write_text("release: true\nweb:\nworker: false\n")
    with pytest.raises(ServerError, match="no web process"):
        web_command(procfile)


def test_server_answers_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server serves the model it was told to, whatever the environment says, and is gone after the context."""
    monkeypatch.setenv("MODEL_URL", "nowhere.tflite")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("BOOT_SECONDS", "120")
    lines: list[str] = []
    with ProcfileServer({"MODEL_URL": str(path("mlp"))}, free_port(), lines.append) as server:
        assert server.wait_ready(240)["model"] == "mlp"
    assert any("Shutting down" in line for line in lines)
    with pytest.raises(ServerError, match="exit code"):
        server.wait()


def test_server_that_cannot_start() -> None:
    """A server that ends by itself is told at once, with its exit code."""
    with (
        ProcfileServer({"WEB_THREADS": "many"}, free_port(), lambda _: None) as server,
        pytest.raises(ServerError, match="exit code"),
    ):
        server.wait_ready(240)


@pytest.mark.slow
def test_server_without_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stays unready is an error that carries the reason from /health; here a second is an answer."""
    answers: list[object] = []
    clock = SimpleNamespace(monotonic=lambda: float(len(answers)), sleep=time.sleep)
    with ProcfileServer({"MODEL_URL": str(path("packed_wrong"))}, free_port(), lambda _: None) as server:
        server.session.hooks["response"].append(lambda reply, **_: answers.append(reply))
        monkeypatch.setattr(procfile_server, "time", clock)
        with pytest.raises(ServerError, match=r"not ready within 10 s: .*reason"):
            server.wait_ready(seconds=10)


def test_freshness(tmp_path: Path) -> None:
    """Only a kept stamp, unchanged ingredients and existing products make a thing fresh."""
    ingredient, product = tmp_path / "ingredient", tmp_path / "product"
    ingredient.write_text("flour")
    state = Freshness(tmp_path / "deep" / "stamp", [ingredient])
    assert not state.holds()
    state.keep()
    assert state.holds()
    assert not state.holds(product)
    product.touch()
    assert state.holds(product)
    ingredient.write_text("sugar")
    assert not state.holds(product)
    ingredient.unlink()
    assert not state.holds(product)


def test_enlarge() -> None:
    """Enlarging doubles both sides, keeps a flat image flat and goes evenly from one pixel to the next."""
    assert (enlarge(np.full((2, 3), 0.5)) == np.full((4, 6), 0.5)).all()
    assert enlarge(np.array([[0.0, 1.0]])).tolist() == [[0.0, 0.25, 0.75, 1.0]] * 2


def test_draw() -> None:
    """Bright is ink, two rows to a line of characters; with shades every character carries two greys."""
    image = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert draw(image, shades=False).plain.splitlines() == ["██  ", "  ██"]
    shaded = draw(image, shades=True)
    assert len(shaded.plain.splitlines()) == 2
    assert {str(span.style) for span in shaded.spans} >= {"#ffffff on #bfbfbf"}
