"""The examples do what they say: the client against a real server, the Django site under gunicorn."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import requests

from runtime import model
from tests import models
from tests.server.conftest import Start, launch, start

__all__ = ["start"]
ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "examples" / "digits" / "digits.tflite"
KEY = "web-key-0123456789"
six = np.array(json.loads((ROOT / "examples" / "digits" / "six.json").read_text())["instances"], np.float32)


@pytest.fixture(scope="module")
def client() -> ModuleType:
    """examples/client.py, as a module."""
    spec = importlib.util.spec_from_file_location("client", ROOT / "examples" / "client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_client_gives_the_models_own_arrays(client: ModuleType, start: Start) -> None:
    """An array for an array, to the bit, with a key; a wrong shape is told in the server's words."""
    server = start(models.path("float64_io"), API_KEYS=f"web:{KEY}", MODEL_PLAIN="allow")
    rows = np.random.default_rng(0).random((2, 2))
    asking = client.Client(server.url, key=KEY)
    want = model.load(models.path("float64_io")).predict({"x": rows})["half"]
    np.testing.assert_array_equal(asking.predict(rows), want)
    np.testing.assert_array_equal(asking.predict({"x": rows})["half"], want)
    with pytest.raises(client.RefusedError, match="expected each row of shape") as refused:
        asking.predict(rows[:, :1])
    assert refused.value.status == 400
    with pytest.raises(client.RefusedError) as refused:
        client.Client(server.url, key="another-key-0123456789").predict(rows)
    assert refused.value.status == 401


def test_the_client_takes_several_inputs_and_waits_when_told(
    client: ModuleType, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrays by name both ways; a 429 is asked again after its Retry-After. It comes when two ask within a second."""
    server = start(models.path("two_inputs"), RATE_LIMIT="1/s")
    inputs = {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 2), np.float32)}
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    monkeypatch.setattr(client, "time", SimpleNamespace(sleep=wait))
    asking = client.Client(server.url, model="two_inputs", tries=10)
    while not waits:
        outputs = asking.predict(inputs)
        np.testing.assert_array_equal(outputs["sum"], [[5.0], [5.0]])
        assert outputs["product"].shape == (2, 2)
    impatient = client.Client(server.url, tries=1)
    with pytest.raises(client.RefusedError) as refused:
        _ = [impatient.predict(inputs) for _ in range(10_000)]
    assert refused.value.status == 429


def test_the_client_runs_as_a_command(start: Start, tmp_path: Path) -> None:
    """As its docstring says: a URL and a .npy file."""
    server = start(DIGITS)
    np.save(tmp_path / "six.npy", six)
    command = [sys.executable, "examples/client.py", server.url, str(tmp_path / "six.npy")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    scores = [float(number) for number in re.findall(r"\d[\d.e+-]*", done.stdout)]
    assert len(scores) == 10
    assert int(np.argmax(scores)) == 6


def test_the_embedding_page_runs() -> None:
    """docs/embedding.md: the code as it stands there."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "embedding.md").read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("(2, 10) TensorSpec(name='image', dtype='float32', shape=(-1, 8, 8, 1)")


def test_the_django_site_reads_a_six() -> None:
    """Under real gunicorn with real Django: the reply of its README; bad bodies are 400, the model loaded once."""
    pytest.importorskip("django", reason="Django is in requirements-dev.txt only")
    command = [sys.executable, "-m", "gunicorn", "--chdir", "examples/django", "-c", "/dev/null", "-b", "127.0.0.1:0"]
    server = launch([*command, "digits_site:application"], {})
    try:
        body = (ROOT / "examples" / "digits" / "six.json").read_text()
        replies = [requests.post(f"{server.url}/digit", data=body, timeout=120) for _ in range(3)]
        told = re.findall(r"```json\n(.*?)```", (ROOT / "examples" / "django" / "README.md").read_text(), re.DOTALL)
        assert [reply.json() for reply in replies] == [json.loads(told[0])] * 3
        assert server.log.count("XNNPACK delegate") <= 1
        for wrong in ("no json", "{}", '{"instances": [[1, 2]]}', '{"instances": ["x"]}'):
            refused = requests.post(f"{server.url}/digit", data=wrong, timeout=120)
            assert refused.status_code == 400, refused.text
        assert requests.get(f"{server.url}/digit", timeout=120).status_code == 405
    finally:
        server.stop()
