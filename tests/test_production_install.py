"""Production stands alone: only requirements.txt, only runtime/, by stock pip, and it serves."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from tests import models
from tools.pythons import find_pythons

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
SLUG = ("runtime", "gunicorn.conf.py", "Procfile", "requirements.txt")
COMES_WITH_A_VENV = {"pip", "setuptools"}
DEVELOPMENT = (
    "ai_edge_quantizer",
    "hypothesis",
    "keras",
    "mypy",
    "pytest",
    "ruff",
    "scipy",
    "sklearn",
    "tensorflow",
    "tests",
    "tf_keras",
    "tools",
    "uv",
)


class Install(NamedTuple):
    """A folder with what a slug holds, and an environment with what production needs."""

    folder: Path
    bin: Path

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of a process there: this one's, without a trace of development."""
        left_out = ("PYTHON", "VIRTUAL_ENV", "MODEL", "WEB_", "GUNICORN_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        return {**kept, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", **more}

    def run(self, *command: str) -> str:
        """Run a program of the environment and return what it prints."""
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.folder,
            env=self.environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module", params=[11, 12, 13], ids=lambda minor: f"3.{minor}")
def install(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """requirements.txt, installed into a new environment as a platform's build would."""
    python = next((found for found in find_pythons([request.param], None) if found.pip), None)
    if python is None:
        pytest.skip(f"this machine has no Python 3.{request.param}")
    folder = tmp_path_factory.mktemp("slug")
    for name in SLUG:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc"))
        else:
            shutil.copy(ROOT / name, folder)
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([python.path, "-m", "venv", environment], check=True)
    made = Install(folder, environment / "bin")
    made.run("pip", "install", "--disable-pip-version-check", "-r", "requirements.txt")
    return made


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def serving(install: Install, model: Path) -> Iterator[str]:
    """The address of a server started with the Procfile's own command."""
    port = free_port()
    command = (install.folder / "Procfile").read_text("utf-8").removeprefix("web:").split()
    log = install.folder / "server.log"
    environ = install.environ(PORT=str(port), MODEL_URL=str(model), WEB_CONCURRENCY="1")
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [install.bin / command[0], *command[1:]],
            cwd=install.folder,
            env=environ,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_ready(f"{address}/health", process, log)
            yield address
        finally:
            process.terminate()
            assert process.wait(180) == 0, log.read_text("utf-8")


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server is ready; fail with its log if it ends, or takes three minutes."""
    deadline = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(requests.RequestException):  # while the model is tried, connections wait
            if requests.get(url, timeout=30).status_code == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"the server did not become ready:\n{log.read_text('utf-8')}")


def test_what_is_installed_is_what_is_pinned_and_it_fits_together(install: Install) -> None:
    listed = json.loads(install.run("pip", "list", "--format=json", "--disable-pip-version-check"))
    installed = {package["name"].lower().replace("_", "-").replace(".", "-") for package in listed}
    pins = (ROOT / "requirements.txt").read_text("utf-8")
    pinned = set(re.findall(r"^([a-z0-9-]+)==", pins, re.MULTILINE))
    assert installed - COMES_WITH_A_VENV <= pinned
    assert "No broken requirements" in install.run("pip", "check")


@pytest.mark.parametrize("name", DEVELOPMENT)
def test_nothing_of_development_can_be_imported(install: Install, name: str) -> None:
    code = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
    assert install.run("python", "-c", code) == "None\n"


def test_it_answers_a_prediction(install: Install) -> None:
    """The model's outputs are the row sum of `a` and `b`, and the row sum of `a` times `b`."""
    with serving(install, models.path("two_inputs")) as address:
        health = requests.get(f"{address}/health", timeout=120).json()
        body = {"instances": [{"a": [1, 2, 3], "b": [4, 5]}, {"a": [0, 0, 1], "b": [2, 3]}]}
        reply = requests.post(f"{address}/predict", json=body, timeout=120)
    assert health["model"] == "two_inputs"
    assert reply.status_code == 200
    assert reply.json() == {
        "predictions": [
            {"product": [24.0, 30.0], "sum": [15.0]},
            {"product": [2.0, 3.0], "sum": [6.0]},
        ]
    }
