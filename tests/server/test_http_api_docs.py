"""docs/http-api.md is true: its examples run as they stand, and print what stands behind them."""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import artifact
from runtime.core import STATUS
from runtime.manifest import Image
from tests.server.conftest import PATIENCE, ROOT, Server, Start

PAGE = (ROOT / "docs" / "http-api.md").read_text("utf-8")
# Each example, with the output behind it if the next fence holds one.
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
OUTPUTS = ("json", "text")
EXAMPLES = [
    (kind, code, FENCES[index + 1] if FENCES[index + 1 :] and FENCES[index + 1][0] in OUTPUTS else None)
    for index, (kind, code) in enumerate(FENCES)
    if kind not in OUTPUTS
]


@pytest.fixture(scope="module")
def server(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The digits, as if they had been exported with images."""
    path = tmp_path_factory.mktemp("model") / "digits.tflite"
    shipped = artifact.read(ROOT / "examples" / "digits" / "digits.tflite")
    assert shipped.manifest is not None
    (image,) = shipped.manifest.inputs
    manifest = replace(shipped.manifest, inputs=(replace(image, image=Image(8, 8, 1)),))
    flatbuffer = shipped.path.read_bytes()[: manifest.flatbuffer.bytes]
    artifact.write(path, flatbuffer, manifest, shipped.labels, shipped.samples)
    return start_shared(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples run, one after the other."""
    made = tmp_path_factory.mktemp("examples")
    shutil.copy(ROOT / "examples" / "digits" / "six.json", made)
    return made


@pytest.mark.parametrize(("kind", "code", "output"), EXAMPLES, ids=lambda value: None)
def test_examples_run_and_print_what_they_say(
    kind: str, code: str, output: tuple[str, str] | None, server: Server, folder: Path
) -> None:
    """As a reader would run them, but for the address."""
    code = code.replace("http://localhost:8000", server.url).replace(
        "localhost:8000", server.url.removeprefix("http://")
    )
    done = subprocess.run(
        command(kind, code), cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE, input=""
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() or "np.save" in code
    assert '"error"' not in done.stdout
    if output:
        assert close(parsed(output[0], done.stdout), parsed(*output)), done.stdout


def command(kind: str, code: str) -> list[str]:
    """What runs the example; skips it where that is not installed."""
    if kind == "python":
        for package in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"{package} is not installed here")
        return [sys.executable, "-c", code]
    program, *options = {"sh": ("bash", "-euo", "pipefail", "-c"), "js": ("node", "--input-type=module", "-e")}[kind]
    found = shutil.which(program)
    if found is None or (kind == "sh" and shutil.which("curl") is None):
        pytest.skip(f"{program} or curl is not installed")
    return [found, *options, code]


def parsed(kind: str, text: str) -> Any:
    return json.loads(text) if kind == "json" else ast.literal_eval(text.strip())


def close(got: Any, want: Any) -> bool:
    """Equal, numbers to the digits that the page shows."""
    if isinstance(want, float):
        return bool(abs(got - want) <= 0.02 * abs(want) + 1e-9)
    if isinstance(want, list):
        return len(got) == len(want) and all(map(close, got, want))
    if isinstance(want, dict):
        return bool(got.keys() == want.keys() and all(close(got[key], want[key]) for key in want))
    return bool(got == want)


def test_the_page_tells_every_status_that_an_error_can_have() -> None:
    """The table of errors has the statuses of the core's own table."""
    told = set(map(int, re.findall(r"\b[45]\d\d\b", PAGE.partition("## Errors")[2])))
    # 499 is for the log: nobody is there to read it.
    assert {status for _, status in STATUS} - {499} <= told


def test_what_the_page_says_of_unknown_parameters_and_of_arrays(server: Server, folder: Path) -> None:
    """A parameter that nobody knows changes nothing; the numbers of a .npy file are those of the JSON."""
    body = json.loads((folder / "six.json").read_text())
    plain = server.post("/predict", json=body)
    assert server.post("/predict?pretty=1&topk=3", json=body).content == plain.content
    stream = io.BytesIO()
    np.save(stream, np.array(body["instances"], np.float32))
    array = server.post("/predict", data=stream.getvalue(), headers={"Content-Type": "application/x-npy"})
    assert array.content == plain.content
