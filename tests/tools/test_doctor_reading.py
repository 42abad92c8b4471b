"""What the doctor reads of a platform's files before it judges: commands, limits, and what an image holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.broken_apps import Case, app_of, nothing, replace, sound
from tools.checks import declared
from tools.checks.commands import command_of
from tools.checks.dockerfile import Dockerfile, is_left_out
from tools.checks.platforms import PLATFORMS


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("runtime/a.py", False),
        ("runtime/deep/b.py", False),
        ("runtime/deep/__pycache__/b.pyc", True),
        ("hooks.py", False),
        ("tools/a.py", True),
        ("models/big/a.tflite", False),
        ("models/big/a.txt", True),
        (".env", True),
    ],
)
def test_dockerignore_is_read_as_docker_reads_it(name: str, left_out: bool) -> None:
    """The last line that matches decides; a folder counts for what is in it."""
    lines = ["# a comment", "*", "!runtime", "!/hooks.py", "!models/**/*.tflite", "**/__pycache__"]
    assert is_left_out(name, lines) is left_out


@pytest.mark.parametrize(
    ("copied", "holds"),
    [
        ("COPY . .", True),
        ("COPY . ./", True),
        ("COPY models models", True),
        ("COPY models/ /app/models/", True),
        ("COPY models/*.tflite hooks.py* ./models/", True),
        ('COPY ["models/a.tflite", "models/a.tflite"]', True),
        ("COPY --chown=10001 models/a.tflite models/", True),
        ("COPY models ./", False),
        ("COPY models/a.tflite ./", False),
        ("COPY mode?s/*.txt ./models/", False),
        ("COPY --from=build /src/models ./models", True),
        ("COPY --from=0 /src ./", True),
        ("COPY --from=build /src/other ./models", False),
        ("COPY --from=example.com/image /models ./models", False),
    ],
)
def test_copies_are_followed_to_where_they_lead(copied: str, holds: bool) -> None:
    """Through earlier stages, by patterns, folder by folder; the file must lie where the command looks for it."""
    made = Dockerfile(f"FROM a AS build\nWORKDIR /src\nCOPY . .\nFROM b\nWORKDIR /app\n{copied}\n")
    assert made.holds("models/a.tflite") is holds


def test_a_stage_goes_on_where_another_ended() -> None:
    made = Dockerfile(
        "# syntax=docker/dockerfile:1\nARG PYTHON=3.12\nFROM --platform=linux/amd64 python:${PYTHON}-slim AS base\n"
        "ENV PORT=8080 \\\n    # a comment among them\n    NAME='two words'\nUSER root\nWORKDIR /app\n"
        "RUN <<EOF\nUSER nobody\nEOF\nFROM other AS unused\nUSER 5\nFROM base\nENV OLD style\nuser 10001\nCOPY . .\n"
    )
    assert made.image == "python:3.12-slim"
    assert made.environ == {"PORT": "8080", "NAME": "two words", "OLD": "style"}
    assert (made.last("USER"), made.workdir) == (("USER", "10001"), "/app")
    assert made.holds("runtime/wsgi.py")


@pytest.mark.parametrize(
    ("platform", "name", "old", "new", "line"),
    [
        ("heroku", "Procfile", "web: ", "web:  exec ", "exec gunicorn runtime.wsgi:app"),
        (
            "render",
            "render.yaml",
            "startCommand: gunicorn",
            "startCommand: gunicorn -w 3",
            "gunicorn -w 3 runtime.wsgi:app",
        ),
        ("render", "render.yaml", "runtime: python", "runtime: docker", "gunicorn runtime.wsgi:app"),
        ("render", "render.yaml", "    startCommand: gunicorn runtime.wsgi:app\n", "", "procfile"),
        ("fly", "Dockerfile", "CMD [", 'ENTRYPOINT ["nice", "-n5"]\nCMD [', "nice -n5 gunicorn runtime.wsgi:app"),
        (
            "fly",
            "Dockerfile",
            'CMD ["gunicorn", "runtime.wsgi:app"]',
            "CMD exec gunicorn -b :$PORT",
            "exec gunicorn -b :$PORT",
        ),
        ("fly", "fly.toml", 'dockerfile = "Dockerfile"', 'builder = "heroku/builder:24"', "procfile"),
        ("fly", "fly.toml", "[env]", '[processes]\n  app = "gunicorn a:b"\n[env]', "gunicorn a:b"),
        ("cloudrun", "deploy/cloud-run.yaml", "- image: IMAGE", '- args: ["gunicorn", "a:b"]', "gunicorn a:b"),
        (
            "cloudrun",
            "Dockerfile",
            '"gunicorn", ',
            '"gunicorn", "-b", ":$PORT", ',
            "gunicorn -b ':$PORT' runtime.wsgi:app",
        ),
    ],
)
def test_the_command_is_the_one_that_the_platform_starts(
    tmp_path: Path, platform: str, name: str, old: str, new: str, line: str
) -> None:
    replace(name, old, new)(sound(tmp_path))
    if line == "procfile":
        (tmp_path / "Procfile").write_text("web: procfile\n", encoding="utf-8")
    found = command_of(app_of(tmp_path, Case("", "", "", nothing, platform=platform)))
    assert found is not None
    assert found.line == line


@pytest.mark.parametrize(
    ("platform", "name", "old", "new", "limits"),
    [
        ("heroku", "app.json", '"basic"', '"Standard-2X"', {"memory_mb": 1024}),
        ("render", "render.yaml", "plan: free", "plan: pro", {"memory_mb": 4096}),
        ("render", "render.yaml", "Seconds: 30", "Seconds: 90", {"grace_seconds": 90.0}),
        ("fly", "fly.toml", '"512mb"', '"1gb"', {"memory_mb": 1024}),
        ("fly", "fly.toml", 'memory = "512mb"', "memory_mb = 2048", {"memory_mb": 2048}),
        ("fly", "fly.toml", '  memory = "512mb"\n', "", {"memory_mb": 256}),
        ("fly", "fly.toml", "kill_timeout = 30", 'kill_timeout = "2m"', {"grace_seconds": 120.0}),
        ("fly", "fly.toml", "kill_timeout = 30\n", "", {"grace_seconds": 5}),
        (
            "cloudrun",
            "deploy/cloud-run.yaml",
            "512Mi",
            "2Gi",
            {"memory_mb": 2048, "request_seconds": 30.0, "grace_seconds": 10},
        ),
    ],
)
def test_limits_are_those_that_the_app_asks_for(
    tmp_path: Path, platform: str, name: str, old: str, new: str, limits: dict[str, float]
) -> None:
    replace(name, old, new)(sound(tmp_path))
    found = declared.limited(tmp_path, PLATFORMS[platform])
    assert {field: getattr(found, field) for field in limits} == limits
