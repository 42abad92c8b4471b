"""The OpenAPI document against the server that it describes: its examples work, and a fuzzer finds nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import model, openapi
from runtime.models import Models
from runtime.settings import from_env
from tests import models
from tests.server.conftest import PATIENCE, Server, Start

FUZZER = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
KEY = "web-key-0123456789"
NAMES: tuple[str, ...] = (
    "packed",
    "two_inputs",
    "whole",
    "cnn",
    "string_lookup",
    "bool_io",
    "uint8_image",
    "scalar_out",
)
NAMES += ("nan_out", "int64_io", "image_to_image")
# No schema says which word ids and lengths these take, nor that their rows are equally long.
REFUSING = ("embedding", "dynamic_length", "least_length")


def document(name: str) -> dict[str, Any]:
    """The document of a server with that model, made without one."""
    served = Models()
    served.expect(name, "loading")
    served.put(name, model.load(models.path(name)))
    return openapi.document(from_env({}), served.states, closed=False)


@pytest.fixture(scope="module")
def packed(start_shared: Start) -> Server:
    """A server with a packed model and keys."""
    return start_shared(models.path("packed"), API_KEYS=f"web:{KEY}")


def test_every_example_is_answered(packed: Server) -> None:
    """Each protocol's example is a golden sample that the server answers with 200."""
    headers = {"Authorization": f"Bearer {KEY}"}
    told = packed.get("/openapi.json", headers=headers).json()
    asked = 0
    for path, operations in told["paths"].items():
        if "post" in operations:
            (media,) = operations["post"]["requestBody"]["content"].values()
            for example in media["examples"].values():
                reply = packed.post(path, json=example["value"], headers=headers)
                assert reply.status_code == 200, (path, reply.text)
                asked += 1
    assert asked == 4


def test_examples_are_golden_samples() -> None:
    """Not made up: the first of the artifact's own samples."""
    loaded = model.load(models.path("packed"))
    assert loaded.artifact.samples is not None
    inputs, _ = next(iter(loaded.artifact.samples))
    content = document("packed")["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert content["examples"]["sample"]["value"] == {"instances": inputs["features"].tolist()}


def test_the_document_names_what_needs_a_key(packed: Server) -> None:
    """With keys every operation asks for one, but those of health; without keys none does."""
    told = packed.get("/openapi.json", headers={"X-API-Key": KEY}).json()
    open_paths = {path for path, item in told["paths"].items() if next(iter(item.values())).get("security") == []}
    assert open_paths == {"/health", "/health/live", "/v2/health/live", "/v2/health/ready"}
    assert "securitySchemes" not in document("packed")["components"]


@pytest.mark.parametrize("name", [*NAMES, *REFUSING])
def test_a_document_is_json_and_small(name: str) -> None:
    """Whatever the signature, it can be written, and stays readable."""
    assert len(json.dumps(document(name))) < 200_000


@pytest.mark.parametrize("name", REFUSING)
def test_what_the_model_may_refuse_is_told(name: str) -> None:
    """Its operations say what a 422 is; those of other models have nothing to say. The examples are of use anyway."""
    operations = {path: item["post"] for path, item in document(name)["paths"].items() if "post" in item}
    assert len(operations) == 4
    for operation in operations.values():
        assert "422" in operation["description"]
        assert "lengths" in operation["responses"]["422"]["description"]
    assert "description" not in document("mlp")["paths"]["/predict"]["post"]
    example = operations["/predict"]["requestBody"]["content"]["application/json"]["examples"]["sample"]["value"]
    loaded = model.load(models.path(name))
    rows = {spec.name: np.array(example["instances"], spec.dtype) for spec in loaded.signature.inputs}
    assert loaded.predict(rows)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_model_of_complex_numbers_is_not_offered_in_json(side: str) -> None:
    """Nothing here carries them: the document lists what can be asked of the model, and the other models."""
    served = Models()
    for name in ("mlp", "odd"):
        served.expect(name, "loading")
        served.put(name, model.load(models.path("mlp")))
    odd = served.get("odd")
    inputs, outputs = odd.signature.inputs, odd.signature.outputs
    if side == "inputs":
        inputs = (replace(inputs[0], dtype="complex64"),)
    else:
        outputs = (replace(outputs[0], dtype="complex64"),)
    odd.signature = replace(odd.signature, inputs=inputs, outputs=outputs)
    paths = json.loads(json.dumps(openapi.document(from_env({}), served.states, closed=False)))["paths"]
    assert "post" in paths["/predict/mlp"]
    assert "/v2/models/odd" in paths
    assert not [path for path, item in paths.items() if "odd" in path and "post" in item]


@pytest.mark.slow
@pytest.mark.skipif(FUZZER is None, reason="schemathesis is in requirements-dev.txt only")
@pytest.mark.parametrize(("name", "worker"), [*((name, "fast") for name in NAMES + REFUSING), ("packed", "threads")])
def test_a_fuzzer_finds_nothing(name: str, worker: str, start: Start, tmp_path: Path) -> None:
    """schemathesis: valid bodies are taken, invalid ones refused, every reply is one that the document has."""
    server = start(models.path(name), WORKER_CLASS=worker, API_KEYS=f"web:{KEY}")
    options = ["--header", f"Authorization: Bearer {KEY}", "--max-examples", "12", "--seed", "1", "--no-color"]
    options += ["--request-timeout", f"{PATIENCE:g}", "--suppress-health-check", "too_slow"]
    command = [str(FUZZER), "run", f"{server.url}/openapi.json", *options]
    if name in REFUSING:
        expected = '[checks.positive_data_acceptance]\nexpected-statuses = ["200", "400", "422"]\n'
        (tmp_path / "schemathesis.toml").write_text(expected)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "No issues found" in done.stdout
