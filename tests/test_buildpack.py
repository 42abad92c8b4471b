"""Heroku's Python buildpack, replayed: checkout less .slugignore, build steps, the dyno's environment, a boot.

A virtual environment in `.heroku/python` stands in for the Python that the buildpack unpacks there; so PYTHONHOME,
which the buildpack sets for its own, is left out.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.server.conftest import Server, launch
from tools.checks.deployed import is_ignored
from tools.checks.trial_run import memory_of
from tools.procfile_server import web_command
from tools.pythons import find_pythons

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
# What the buildpack's scripts in .profile.d set before the Procfile's line runs; WEB_CONCURRENCY as on 512 MB.
PROFILE = """\
export PATH="$HOME/.heroku/python/bin:$PATH"
export PYTHONUNBUFFERED=true
export LD_LIBRARY_PATH="$HOME/.heroku/vendor/lib:$HOME/.heroku/python/lib:${LD_LIBRARY_PATH:-}"
export LANG="${LANG:-en_US.UTF-8}" PYTHONHASHSEED="${PYTHONHASHSEED:-random}" PYTHONPATH="${PYTHONPATH:-$HOME}"
export FORWARDED_ALLOW_IPS="${FORWARDED_ALLOW_IPS:-*}"
export GUNICORN_CMD_ARGS="${GUNICORN_CMD_ARGS:---access-logfile -}"
export DYNO_RAM=512 WEB_CONCURRENCY="${WEB_CONCURRENCY:-2}" WEB_CONCURRENCY_SET_BY=heroku/python
"""


@pytest.fixture(scope="module")
def slug(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app as the build leaves it."""
    app = tmp_path_factory.mktemp("build") / "app"
    patterns = (ROOT / ".slugignore").read_text(encoding="utf-8").splitlines()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        if (ROOT / name).is_file() and not is_ignored(name, patterns):
            (app / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, app / name)
    minor = int((app / "runtime.txt").read_text(encoding="utf-8").strip().removeprefix("python-3."))
    python = next((found for found in find_pythons([minor], None) if found.pip), None)
    if python is None:
        pytest.skip(f"this machine has no Python 3.{minor}")
    home = app / ".heroku" / "python"
    subprocess.run([python.path, "-m", "venv", home], check=True)
    build = {"PATH": f"{home}/bin:/usr/bin:/bin", "HOME": str(app), "BUILD_DIR": str(app), "STACK": "heroku-24"}
    build |= {
        name: os.environ[name] for name in ("PIP_INDEX_URL", "PIP_CONFIG_FILE", "SSL_CERT_FILE") if name in os.environ
    }
    steps = [["pip", "install", "--requirement", "requirements.txt", "--no-cache-dir", "--disable-pip-version-check"]]
    if (app / "bin" / "post_compile").is_file():
        steps.append(["bash", "-e", "bin/post_compile"])
    for step in steps:
        done = subprocess.run(step, cwd=app, env=build, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    (app / ".profile.d").mkdir()
    (app / ".profile.d" / "python.sh").write_text(PROFILE, encoding="utf-8")
    return app


def boot(app: Path, **config: str) -> Server:
    """The web process as a dyno starts it: from $HOME, .profile.d first, then the Procfile's line."""
    line = (
        f"cd {shlex.quote(str(app))}; for f in .profile.d/*.sh; do . ./$f; done; exec {web_command(app / 'Procfile')}"
    )
    dyno = {"HOME": str(app), "PORT": "0", "DYNO": "web.1", "HOST": "127.0.0.1", "PATH": "/usr/bin:/bin"}
    return launch(["/bin/bash", "-c", line], dyno | config)


@pytest.fixture(scope="module")
def dyno(slug: Path) -> Iterator[Server]:
    """The slug, booted with what the Heroku Button sets."""
    server = boot(slug, MODEL_URL="examples/digits/digits.tflite")
    server.wait_ready()
    yield server
    server.stop()


def test_the_button_alone_gives_a_working_app(dyno: Server, slug: Path) -> None:
    """The default model answers the example on its page, from the slug's own Python."""
    told = dyno.get("/health").json()
    assert (told["ready"], told["model"]) == (True, "digits")
    example = dyno.get("/page/example.json").content
    assert len(dyno.post("/predict", data=example).json()["predictions"][0]) == 10
    assert dyno.get("/").status_code == 200
    assert Path(f"/proc/{dyno.pid}/cwd").readlink() == slug


def test_the_dyno_environment_is_heeded(dyno: Server) -> None:
    """Two workers by WEB_CONCURRENCY, and GUNICORN_CMD_ARGS, which beats the configuration file, does no harm."""
    await_workers(dyno)
    asked = dyno.get("/health", headers={"X-Request-Id": "0b1c7a3e-dead-4e0f-8c5f-1234567890ab"})
    assert asked.headers["X-Request-Id"] == "0b1c7a3e-dead-4e0f-8c5f-1234567890ab"


def await_workers(dyno: Server) -> None:
    """Both are there; the first answers before the second is."""
    children = Path(f"/proc/{dyno.pid}/task/{dyno.pid}/children")
    deadline = time.monotonic() + 60
    while len(children.read_text().split()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(children.read_text().split()) == 2


def test_the_slug_holds_nothing_that_is_not_needed(slug: Path) -> None:
    kept = {path.name for path in slug.iterdir()}
    assert not kept & {"tests", "tools", "docs", "Makefile", "deploy", ".ci"}
    assert {path.name for path in (slug / "examples").rglob("*") if path.is_file()} == {"digits.tflite"}


def test_a_dyno_that_is_stopped_ends_within_its_grace(slug: Path) -> None:
    server = boot(slug, MODEL_URL="examples/digits/digits.tflite")
    server.wait_ready()
    assert server.stop() == 0  # SIGKILL, after the 30 s, would be another code
    with pytest.raises(requests.ConnectionError):
        server.get("/health")


def test_a_dyno_whose_model_is_missing_boots_and_says_why(slug: Path) -> None:
    """No crash loop: H10 would hide the reason."""
    server = boot(slug, MODEL_URL="https://127.0.0.1:9/none.tflite", BOOT_SECONDS="1")
    try:
        assert "reason" in server.wait_ready(status=503).json()
    finally:
        server.stop()


def test_memory_stays_far_below_the_dyno(dyno: Server) -> None:
    """All processes of two workers together, after both have answered: less than half of 512 MB."""
    await_workers(dyno)
    example = dyno.get("/page/example.json").content
    for _ in range(20):
        dyno.post("/predict", data=example)
    used, processes = memory_of(dyno.pid)
    assert processes == 3
    assert 0 < used < 256 << 20
