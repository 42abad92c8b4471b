"""Hooks behind a real server: whose fault an error is, by its status, and what the log says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import models
from tests.server.conftest import Start

REFUSING = """
from runtime.errors import RefusedError, RequestError

def before(inputs):
    first = inputs["features"][0, 0]
    if first == 1:
        raise RefusedError("no ones today")
    if first == 2:
        raise RequestError("no twos ever")
    return {"features": inputs["features"][:, :3]}
"""


@pytest.mark.parametrize("lane", ["fast", pytest.param("threads", marks=pytest.mark.slow)])
def test_a_shape_that_does_not_fit_is_the_hooks_fault(lane: str, start: Start, tmp_path: Path) -> None:
    """The client sent four features as asked: 500, and the file in the log. What a hook refuses is not."""
    path = tmp_path / "mine.py"
    path.write_text(REFUSING)
    server = start(models.path("mlp"), MODEL_HOOKS=str(path), WORKER_CLASS=lane)
    told = {first: server.post("/predict", json={"instances": [[first, 0, 0, 0]]}) for first in (0, 1, 2)}
    assert {first: reply.status_code for first, reply in told.items()} == {0: 500, 1: 422, 2: 400}
    assert "shape" not in told[0].text
    assert told[1].json()["error"] == "no ones today"
    assert told[2].json()["error"] == "no twos ever"
    server.stop()
    assert "mine.py: before() gave something else than is to come of it: input 'features': " in server.log
