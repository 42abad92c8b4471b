"""What a server imports before its first prediction: every import is time at the start and memory in each worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import models

ROOT = Path(__file__).resolve().parents[2]
# What only some requests, some settings or some sources need.
LATER = {
    "PIL",
    "click",
    "cryptography",
    "flask",
    "h2",
    "hypothesis",
    "jinja2",
    "multiprocessing",
    "obstore",
    "onnxruntime",
    "pytest",
    "requests",
    "requests_aws4auth",
    "rich",
    "sqlite3",
    "tensorflow",
    "unittest",
    "urllib3",
    "werkzeug",
    "xml",
}
# As gunicorn.conf.py does it, up to the fork: the settings, the application, the worker class, the model.
BOOT = """
import json, os, sys
from runtime import serving
serving.prepared = True
import runtime.wsgi, runtime.worker
from runtime import boot
boot.load_all(runtime.wsgi.settings, serving.models, 120)
assert serving.models.ready
from runtime.asgi import Lane
from runtime.core import Request
from runtime.routes import ROUTES
lane = Lane(runtime.wsgi.app.service, ROUTES)
(route, segments), body = lane._router.find("POST", "/predict"), b'{"instances": [[1, 2, 3, 4]]}'
reply = lane._answer(route, Request("POST", "/predict", {}, body), segments)
assert reply.status == 200, reply.body
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The top names of all modules after the first prediction."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    told = subprocess.run(
        [sys.executable, "-c", BOOT],
        cwd=ROOT,
        env=environ | {"MODEL_URL": str(models.path("mlp")), "ACCESS_LOG": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return set(json.loads(told.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", sorted(LATER))
def test_nothing_is_imported_that_the_first_prediction_does_not_need(name: str, imported: set[str]) -> None:
    """A local model is served without HTTP clients, pictures, metrics' formats or development packages."""
    assert name not in imported
