"""docs/upgrade.md, followed to the letter: an app takes a new release, and keeps what is its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.conftest import launch
from tools.checks.base import App
from tools.checks.packages import requirements_of
from tools.checks.platforms import PLATFORMS
from tools.procfile_server import web_command

ROOT = Path(__file__).resolve().parent.parent
DOUBLES = """\
def after(outputs):
    return {name: 2 * array for name, array in outputs.items()}
"""


def git(folder: Path, *arguments: str) -> str:
    options = ["-c", "user.name=someone", "-c", "user.email=someone@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *options, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commands(how: str) -> str:
    """The shell commands under that mark in docs/upgrade.md."""
    text = (ROOT / "docs" / "upgrade.md").read_text(encoding="utf-8")
    match = re.search(rf"<!-- test: {how} -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert match is not None
    return match[1]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A repository with the release of today, and with v0.2.0: a file changed, one added, one gone."""
    folder = tmp_path / "dynolite"
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "README.md").touch()
    (folder / "runtime" / "outdated.py").write_text('"""Gone in the next release."""\n')
    git(folder, "init", "--quiet")
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--message", "v0.1.0")
    git(folder, "tag", "v0.1.0")
    version = folder / "runtime" / "__init__.py"
    text = version.read_text(encoding="utf-8")
    version.write_text(re.sub(r'__version__ = "[^"]*"', '__version__ = "0.2.0"', text), encoding="utf-8")
    (folder / "runtime" / "outdated.py").unlink()
    (folder / "runtime" / "latest.py").write_text('"""New in this release."""\n')
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "v0.2.0")
    git(folder, "tag", "v0.2.0")
    git(folder, "checkout", "--quiet", "v0.1.0")
    return folder


def make_app(release: Path, folder: Path, how: str) -> None:
    """An app on v0.1.0, cloned or from the template, with files of its own."""
    if how == "clone":
        git(release.parent, "clone", "--quiet", "--no-tags", str(release), str(folder))
        git(folder, "checkout", "--quiet", "-B", "main")
    else:
        shutil.copytree(release, folder, ignore=shutil.ignore_patterns(".git"))
        git(folder, "init", "--quiet")
    (folder / "hooks.py").write_text(DOUBLES)
    (folder / "models").mkdir()
    shutil.copy(ROOT / "examples" / "digits" / "digits.tflite", folder / "models" / "mine.tflite")
    (folder / "README.md").write_text("# My app\n")
    manifest = (folder / "app.json").read_text(encoding="utf-8")
    changed = manifest.replace("examples/digits/digits.tflite", "models/mine.tflite")
    assert changed != manifest
    (folder / "app.json").write_text(changed, encoding="utf-8")
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--message", "My app")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["clone", "template"])
def test_an_app_takes_a_release_and_keeps_its_own(release: Path, tmp_path: Path, how: str) -> None:
    app = tmp_path / "app"
    make_app(release, app, how)
    script = commands(how).replace("https://github.com/OWNER/dynolite.git", str(release))
    names = {"GIT_AUTHOR_NAME": "me", "GIT_AUTHOR_EMAIL": "me@example.com", "PATH": "/usr/bin:/bin"}
    names |= {"GIT_COMMITTER_NAME": "me", "GIT_COMMITTER_EMAIL": "me@example.com", "HOME": str(tmp_path)}
    done = subprocess.run(["sh", "-ec", script], cwd=app, env=names, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    assert git(app, "status", "--porcelain") == ""
    assert '__version__ = "0.2.0"' in (app / "runtime" / "__init__.py").read_text(encoding="utf-8")
    assert (app / "runtime" / "latest.py").is_file()
    assert not (app / "runtime" / "outdated.py").exists()
    assert (app / "hooks.py").read_text() == DOUBLES
    assert (app / "README.md").read_text() == "# My app\n"
    assert "models/mine.tflite" in (app / "app.json").read_text(encoding="utf-8")
    serve_and_ask(app)


def serve_and_ask(app: Path) -> None:
    """The upgraded app runs with its own model and its own hook, which doubles the probabilities."""
    command = f"cd '{app}' && exec {web_command(app / 'Procfile')}"
    settings = {"MODEL_URL": "models/mine.tflite", "HOST": "127.0.0.1", "PORT": "0", "WEB_CONCURRENCY": "1"}
    settings["PATH"] = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    server = launch(["/bin/sh", "-c", command], settings)
    try:
        assert "0.2.0" in server.wait_ready().json()["server"]
        example = server.get("/page/example.json").content
        (row,) = server.post("/predict", data=example).json()["predictions"]
        assert sum(row) == pytest.approx(2.0, abs=1e-3)
    finally:
        server.stop()


def test_the_audit_reads_every_pin() -> None:
    """Each package that production pins is one that `make audit` looks up."""
    auditor = str(Path(sys.executable).parent / "pip-audit")
    command = [
        auditor,
        "--dry-run",
        "--disable-pip",
        "--require-hashes",
        "--requirement",
        str(ROOT / "requirements.txt"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = re.search(r"would have audited (\d+) packages", done.stderr)
    assert told is not None, done.stderr
    here = App(ROOT, PLATFORMS["heroku"], {}, Path(sys.executable))
    assert int(told[1]) == len(list(requirements_of(here, sys.version_info.minor)))
