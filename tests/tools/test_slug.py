"""The slug: it serves within its budget, can be built again on what it left, and nothing else is ever slimmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests import models
from tests.server.conftest import launch
from tools import slug
from tools.slug_parts import Part, draw, table, weigh

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the platform is Linux")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slug, built once."""
    return slug.build(sys.executable, tmp_path_factory.mktemp("slug") / "built")


def run(app: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run the slug's own Python in the app's folder."""
    prefix = app / ".heroku" / "python"
    path = f"{prefix / 'bin'}:{os.environ['PATH']}"
    environ = os.environ | {"LD_LIBRARY_PATH": str(prefix / "lib"), "PATH": path}
    return subprocess.run(command, cwd=app, env=environ, check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_the_slug_serves_within_its_budget(app: Path) -> None:
    """What is left answers a prediction, shows its page and its metrics; 40 MB are not exceeded (LiteRT: 44)."""
    prefix = app / ".heroku" / "python"
    environ = {
        "LD_LIBRARY_PATH": str(prefix / "lib"),
        "MODEL_URL": str(models.path("mlp")),
        "HOST": "127.0.0.1",
        "PORT": "0",
        "WEB_CONCURRENCY": "1",
    }
    interpreter = str(prefix / "bin" / "python3")
    server = launch([interpreter, "-m", "gunicorn", "--chdir", str(app), "runtime.wsgi:app"], environ)
    try:
        server.wait_ready()
        asked = urllib.request.Request(server.url + "/predict", b'{"instances": [[1, 2, 3, 4]]}')
        with urllib.request.urlopen(asked, timeout=120) as reply:
            assert len(json.load(reply)["predictions"][0]) == 3
        for path in ("/", "/metrics", "/openapi.json"):
            assert server.get(path).status_code == 200
    finally:
        assert server.stop() == 0
    total = weigh(app)[1]
    assert total < (40e6 if sys.version_info < (3, 12) else 44e6)


@pytest.mark.slow
def test_the_next_build_works_on_what_this_one_left(app: Path) -> None:
    """The bundled pip is there, knows every package, can install again what was slimmed, and the hook can run again."""
    library = next((app / ".heroku" / "python" / "lib").glob("python3.*"))
    pip = next((library / "ensurepip" / "_bundled").glob("pip-*.whl"))
    again = run(app, "python3", f"{pip}/pip", "install", "--no-cache-dir", "-r", "requirements.txt")
    assert again.returncode == 0, again.stderr
    assert "Successfully installed" not in again.stdout
    anew = run(app, "python3", f"{pip}/pip", "install", "--force-reinstall", "--no-deps", "pip", "markupsafe")
    assert anew.returncode == 0, anew.stderr
    hook = run(app, "bin/post_compile")
    assert "taken out of the slug" in hook.stdout, hook.stdout + hook.stderr


def test_only_a_slug_is_slimmed(tmp_path: Path) -> None:
    """Run on a developer's machine, the hook touches nothing."""
    told = subprocess.run(
        [sys.executable, str(ROOT / "bin" / "slim.py"), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "nothing to slim" in told.stdout


def test_a_slug_that_would_not_start_is_left_whole(tmp_path: Path) -> None:
    """When what must import does not, every file is back in its place."""
    prefix = tmp_path / ".heroku" / "python"
    tests = prefix / "lib" / "python3.11" / "site-packages" / "numpy" / "tests"
    tests.mkdir(parents=True)
    (tests / "test_a.py").write_text("pass")
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python3").write_text("#!/bin/sh\nexit 1\n")
    (prefix / "bin" / "python3").chmod(0o755)
    done = subprocess.run([sys.executable, str(ROOT / "bin" / "slim.py"), str(prefix)], check=False)
    assert done.returncode == 1
    assert (tests / "test_a.py").read_text() == "pass"
    assert not (prefix / "set-aside").exists()


def test_the_table_and_the_picture_name_every_heavy_part() -> None:
    """People read both: names are there, and in the picture nothing that breaks the XML."""
    parts = [Part("numpy", 60_000_000, 17_000_000), Part("<odd>", 400_000, 100_000)]
    assert "numpy" in table(parts, 17_100_000)
    assert "&lt;odd&gt;" in draw(parts, 17_100_000)
