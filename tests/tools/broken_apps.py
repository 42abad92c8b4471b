"""Apps broken in one way each, made from a sound one: what a check must find, and what `--fix` makes of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "Procfile",
    "app.json",
    "gunicorn.conf.py",
    "requirements.txt",
    "runtime.txt",
    ".slugignore",
    "fly.toml",
    "render.yaml",
    "Dockerfile",
    "deploy/cloud-run.yaml",
    "examples/digits/digits.tflite",
)


def sound(folder: Path) -> Path:
    """A copy of what this checkout deploys."""
    for name in PARTS:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    shutil.copytree(ROOT / "runtime", folder / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def write(name: str, text: str) -> Callable[[Path], None]:
    """Break an app by this file."""

    def break_it(app: Path) -> None:
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_bytes(text.encode())

    return break_it


def remove(name: str) -> Callable[[Path], None]:
    """Break an app by the lack of this file."""
    return lambda app: (app / name).unlink()


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Break an app by another text in this file."""

    def break_it(app: Path) -> None:
        text = (app / name).read_text(encoding="utf-8")
        assert old in text
        (app / name).write_text(text.replace(old, new), encoding="utf-8")

    return break_it


def rename(old: str, new: str) -> Callable[[Path], None]:
    """Break an app by another name."""

    def break_it(app: Path) -> None:
        (app / old).rename(app / new)

    return break_it


def both(*breakers: Callable[[Path], None]) -> Callable[[Path], None]:
    """Break an app in several places."""

    def break_it(app: Path) -> None:
        for breaker in breakers:
            breaker(app)

    return break_it


def nothing(app: Path) -> None:
    """Leave the files: a setting breaks the app."""


def commit_venv(app: Path) -> None:
    """A virtual environment in git."""
    write(".venv/pyvenv.cfg", "home = /usr/bin\n")(app)
    write(".venv/lib/python3.11/site-packages/flask/__init__.py", "\n")(app)
    subprocess.run(["git", "init", "-q"], cwd=app, check=True)
    subprocess.run(["git", "add", "-A", "-f"], cwd=app, check=True)


def committed(*ignored: str) -> Callable[[Path], None]:
    """Everything so far in Git; what comes later is not, and these lines are in .gitignore."""

    def commit(app: Path) -> None:
        write(".gitignore", "\n".join(ignored))(app)
        subprocess.run(["git", "init", "-q"], cwd=app, check=True)
        subprocess.run(["git", "add", "-A"], cwd=app, check=True)

    return commit


def publish(app: Path) -> None:
    """A model in a folder below the app's, as tools/publish.py leaves it."""
    version = {"url": "1.0.0/house.tflite", "sha256": "0" * 64, "bytes": 4, "serial": 1}
    listed = {"versions": {"1.0.0": version}, "channels": {"latest": {"version": "1.0.0"}}}
    write("site/house/index.json", json.dumps({"format": 1, "name": "house", **listed}))(app)
    write("site/house/1.0.0/house.tflite", "TFL3")(app)


@dataclass(frozen=True)
class Case:
    """One broken app: the check that must find it, how badly, words of its message, and how it is run."""

    check: str
    status: str
    told: str
    break_it: Callable[[Path], None]
    fixed: bool = False
    platform: str = "heroku"
    settings: tuple[str, ...] = ()


_PUBLISHED = "MODEL_URL=site/house/index.json"
REQUIREMENTS = "flask==3.1.3\ngunicorn==27.0.1\n"
FAKE_KEY = "AKIA" + "Q" * 16  # assembled, so that this file itself holds none

FILES: dict[str, Case] = {
    "no Procfile": Case("procfile", "fail", "there is no Procfile", remove("Procfile"), fixed=True),
    "misspelt Procfile": Case("procfile", "fail", "procfile is not read", rename("Procfile", "procfile"), fixed=True),
    "no web process": Case("procfile", "fail", "no web process", write("Procfile", "worker: python work.py\n")),
    "development server": Case("procfile", "fail", "flask run", write("Procfile", "web: flask run --port $PORT\n")),
    "script": Case("procfile", "fail", "python FILE.py", write("Procfile", "web: python app.py\n")),
    "Windows line ends": Case(
        "procfile", "fail", "Windows", write("Procfile", "web: gunicorn runtime.wsgi:app\r\n"), fixed=True
    ),
    "no such module": Case(
        "entry-point", "fail", "no module application", write("Procfile", "web: gunicorn application:app\n")
    ),
    "fixed port": Case("port", "fail", ":5000", write("Procfile", "web: gunicorn -b 0.0.0.0:5000 runtime.wsgi:app\n")),
    "fixed port in the configuration": Case(
        "port", "fail", "0.0.0.0:8000", write("gunicorn.conf.py", 'bind = "0.0.0.0:8000"\n')
    ),
    "loopback in the configuration": Case(
        "port", "fail", "127.0.0.1", write("gunicorn.conf.py", 'import os\nbind = "127.0.0.1:" + os.environ["PORT"]\n')
    ),
    "a port for another server": Case(
        "port", "fail", "binds 8080", write("Procfile", "web: waitress-serve --port=8080 runtime.wsgi:app\n")
    ),
    "loopback": Case("port", "fail", "127.0.0.1", nothing, settings=("HOST=127.0.0.1",)),
    "damaged app.json": Case("platform-file", "fail", "not JSON", write("app.json", "{")),
    "SIGINT on Fly": Case(
        "platform-file", "fail", "SIGINT", replace("fly.toml", 'kill_signal = "SIGTERM"', ""), platform="fly"
    ),
    "another port on Fly": Case(
        "platform-file",
        "fail",
        "asks port 9000",
        replace("fly.toml", "internal_port = 8080", "internal_port = 9000"),
        platform="fly",
    ),
    "no health check on Render": Case(
        "platform-file", "warn", "healthCheckPath", write("render.yaml", "services: []\n"), platform="render"
    ),
    "root in the image": Case(
        "platform-file", "warn", "root", replace("Dockerfile", "USER 10001\n", ""), platform="cloudrun"
    ),
    "shell in the image": Case(
        "platform-file",
        "fail",
        "SIGTERM",
        replace("Dockerfile", 'CMD ["gunicorn", "runtime.wsgi:app"]', "CMD gunicorn runtime.wsgi:app"),
        platform="cloudrun",
    ),
    "no Python version": Case("python-version", "warn", "no Python version", remove("runtime.txt"), fixed=True),
    "old Python": Case("python-version", "fail", "Python 3.9", write("runtime.txt", "python-3.9.18\n")),
    "Python that is none": Case("python-version", "fail", "not understood", write("runtime.txt", "3.11\n")),
    "no wheel": Case(
        "python-version",
        "fail",
        "no wheel for Python 3.13",
        both(
            write("runtime.txt", "python-3.13\n"),
            write("requirements.txt", REQUIREMENTS + "numpy==2.5.5\ntflite-runtime==2.14.0\n"),
        ),
    ),
    "no requirements": Case("pins", "fail", "no requirements.txt", remove("requirements.txt")),
    "loose pins": Case(
        "pins", "warn", "flask", write("requirements.txt", "flask>=3\ngunicorn==27.0.1\nnumpy==1.26.4\n")
    ),
    "no gunicorn": Case("pins", "fail", "lacks gunicorn", write("requirements.txt", "flask==3.1.3\nnumpy==1.26.4\n")),
    "bad line": Case("pins", "fail", "requirements.txt", write("requirements.txt", "flask===\n")),
    "TensorFlow": Case(
        "interpreter",
        "fail",
        "tensorflow would be installed",
        write("requirements.txt", REQUIREMENTS + "numpy==1.26.4\ntensorflow==2.21.0\n"),
    ),
    "no interpreter": Case(
        "interpreter", "fail", "no interpreter", write("requirements.txt", REQUIREMENTS + "numpy==1.26.4\n")
    ),
    "numpy 2": Case(
        "interpreter",
        "fail",
        "numpy 2.1.0",
        write("requirements.txt", REQUIREMENTS + "numpy==2.1.0\ntflite-runtime==2.14.0\n"),
    ),
    "two package managers": Case("lock-files", "fail", "uv.lock", write("uv.lock", "version = 1\n")),
    "virtual environment": Case("virtualenv", "fail", ".venv", commit_venv, fixed=True),
    "two Python pins": Case("deprecated", "warn", "differ", write(".python-version", "3.12\n")),
    "out of use": Case("deprecated", "warn", "Pipfile", write("Pipfile", "[packages]\n")),
    "too heavy": Case("weight", "warn", "tests", both(remove(".slugignore"), write("tests/a.txt", "a")), fixed=True),
    "an AWS key": Case(
        "secrets", "fail", "deploy.sh:2 (an AWS access key)", write("deploy.sh", f"#!/bin/sh\nkey={FAKE_KEY}\n")
    ),
    "a private key": Case(
        "secrets", "fail", "server.pem:1", write("server.pem", "-----BEGIN " + "PRIVATE KEY-----\nMIIE\n")
    ),
    "a .env file": Case("secrets", "fail", ".env", write(".env", "API_KEYS=me:a-long-enough-key\n")),
    "a key in app.json": Case(
        "secrets", "fail", "app.json", write("app.json", '{"env": {\n"API_KEYS": "me:a-long-enough-key-indeed"}}')
    ),
    "a bad setting": Case("settings", "fail", "MAX_WAITING", nothing, settings=("MAX_WAITING=many",)),
    "a misspelt setting": Case("settings", "fail", "MODEL_URL", nothing, settings=("MODEL_URI=x",)),
    "no model": Case("settings", "fail", "no model is named", nothing, settings=("MODEL_URL=",)),
    "a model outside Git": Case(
        "model-file", "warn", "site/house/index.json is not in Git", both(committed(), publish), settings=(_PUBLISHED,)
    ),
    "an ignored artifact": Case(
        "model-file",
        "warn",
        "site/house/1.0.0/house.tflite is not in Git, for .gitignore",
        both(publish, committed("*.tflite")),
        settings=(_PUBLISHED,),
    ),
    "an artifact that the slug lacks": Case(
        "model-file",
        "warn",
        "site/house/1.0.0/house.tflite is left out",
        both(publish, write(".slugignore", "*.tflite\n")),
        settings=(_PUBLISHED,),
    ),
    "a model of this machine": Case(
        "model-file", "warn", "not in the folder", nothing, settings=(f"MODEL_URL={ROOT}/tests/models/mlp.tflite",)
    ),
    "a second model that is not there": Case(
        "model-file", "warn", "v2.tflite does not exist", nothing, settings=("MODEL_URL_V2=v2.tflite",)
    ),
    "short keep-alive": Case("keep-alive", "fail", "30 s", nothing, settings=("KEEPALIVE_SECONDS=30",)),
    "sync workers": Case(
        "keep-alive", "fail", "sync", write("gunicorn.conf.py", "import os\nbind = f\"0.0.0.0:{os.environ['PORT']}\"\n")
    ),
    "slow requests": Case("request-time", "fail", "60 s", nothing, settings=("REQUEST_SECONDS=60",)),
    "an early kill": Case("request-time", "fail", "10 s", nothing, settings=("GUNICORN_CMD_ARGS=--timeout 10",)),
    "slow stop": Case("grace", "fail", "40 s", nothing, settings=("GRACEFUL_SECONDS=40",)),
    "slow stop during a roll": Case("grace", "warn", "32 s", nothing, settings=("GRACEFUL_SECONDS=16",)),
}

DEAF = """
import os, signal, http.server
signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    do_POST = do_GET
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

ELSEWHERE = "web: python -c \"import socketserver as s; s.TCPServer(('127.0.0.1', 0), None).serve_forever()\""

STARTS: dict[str, Case] = {
    "crash at import": Case(
        "boot", "fail", "ModuleNotFoundError", write("runtime/wsgi.py", "import no_such_package\napp = None\n")
    ),
    "another port": Case("boot", "fail", "not on $PORT", write("Procfile", ELSEWHERE)),
    "no such model": Case("model", "fail", "missing.tflite", nothing, settings=("MODEL_URL=missing.tflite",)),
    "another digest": Case("model", "fail", "SHA-256", nothing, settings=(f"MODEL_SHA256={'0' * 64}",)),
    "a crashing model": Case(
        "model", "fail", "crash", nothing, settings=(f"MODEL_URL={ROOT}/tests/models/crasher.tflite",)
    ),
    "a missing operator": Case(
        "model", "fail", "MatrixDeterminant", nothing, settings=(f"MODEL_URL={ROOT}/tests/models/flex_static.tflite",)
    ),
    "deaf to SIGTERM": Case(
        "stop",
        "fail",
        "still there",
        both(write("serve.py", DEAF), write("Procfile", "web: python serve.py\n")),
        platform="cloudrun",
    ),
}
