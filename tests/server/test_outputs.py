"""Which outputs a client gets, and in which form, where their names and values are odd."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from tests import models
from tests.server.conftest import Server, Start

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow

_HOOKS = """
import numpy as np

OUTPUTS = {"a,b": ("float32", (-1, 3)), "b": ("int64", (-1, 2)), "word": ("string", (-1,))}


def after(outputs):
    scores = outputs["probabilities"]
    words = np.array([b"cat\\0" if row[0] > 0.5 else b"dog" for row in scores] + [None], object)[:-1]
    return {"a,b": scores, "b": np.array([[2**53, 2**53 + 1]] * len(scores)), "word": words}
"""
CAT, DOG = [1, 2, 3, 4], [-9, -9, 9, 9]
NPY = {"Accept": "application/x-npy"}


@pytest.fixture(scope="module", params=["threads", "fast"])
def server(start_shared: Start, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The small classifier, whose hooks give more."""
    hooks = tmp_path_factory.mktemp("hooks") / "odd_outputs.py"
    Path(hooks).write_text(_HOOKS)
    return start_shared(models.path("mlp"), WORKER_CLASS=str(request.param), MODEL_HOOKS=str(hooks))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("a,b", {"a,b"}),
        ("a%2Cb", {"a,b"}),
        ("b,%20a,b", {"a,b", "b"}),
        ("a,b,b,word", {"a,b", "b", "word"}),
        ("a,b,a,b,word", {"a,b", "word"}),
    ],
)
def test_a_name_may_hold_a_comma(server: Server, query: str, names: set[str]) -> None:
    """Plain or encoded, which a server cannot tell apart."""
    reply = server.post(f"/predict?outputs={query}", json={"instances": [DOG, CAT]}).json()["predictions"][0]
    assert (set(reply) if isinstance(reply, dict) else {"a,b"}) == names


def test_what_no_name_begins_is_no_output(server: Server) -> None:
    """The part between two commas that fits nothing is told."""
    refused = server.post("/predict?outputs=b,a,c", json={"instances": [DOG]})
    assert refused.status_code == 400
    assert "there is no 'a', this model gives 'a,b', 'b' and 'word'" in refused.json()["error"]


def test_a_string_that_numpy_would_cut_is_not_written_as_one(server: Server) -> None:
    """JSON keeps its NUL; other strings are .npy data, of one row too."""
    path = "/predict?outputs=word"
    assert server.post(path, json={"instances": [CAT]}).json() == {"predictions": ["cat\0"]}
    assert server.post(path, json={"instances": [CAT]}, headers=NPY).status_code == 406
    assert np.load(io.BytesIO(server.post(path, json={"features": DOG}, headers=NPY).content)).tolist() == b"dog"


def test_large_integers_are_ranked_exactly(server: Server) -> None:
    """2**53 + 1 is more than 2**53, in both protocols."""
    first = server.post("/predict?outputs=b&top_k=1", json={"instances": [DOG]}).json()["predictions"][0][0]
    assert first == {"score": 2**53 + 1, "index": 1}
    entry = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": DOG}
    wish = {"name": "b", "parameters": {"classification": 1}}
    told = server.post("/v2/models/mlp/infer", json={"inputs": [entry], "outputs": [wish]}).json()["outputs"][0]
    assert told["data"] == [f"{2**53 + 1}:1"]
