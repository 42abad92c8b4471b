"""Apps broken in one way each, made from a sound one: what a check must find, and what `--fix` makes of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools import doctor
from tools.checks import declared
from tools.checks.base import App
from tools.checks.platforms import PLATFORMS
from tools.checks.trial_run import Run

ROOT = Path(__file__).resolve().parents[2]
OWN = {"PATH": "/usr/bin:/bin"}
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
    ".dockerignore",
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


def forgotten(name: str) -> Callable[[Path], None]:
    """Everything in Git but this file."""

    def forget(app: Path) -> None:
        committed()(app)
        subprocess.run(["git", "rm", "-q", "--cached", name], cwd=app, check=True)

    return forget


def without(package: str) -> Callable[[Path], None]:
    """Pins with hashes that lack one package."""

    def leave_out(app: Path) -> None:
        text = (app / "requirements.txt").read_text(encoding="utf-8")
        left = re.sub(rf"(?m)^{package}==.*\n(?:[ #].*\n)*", "", text)
        assert left != text
        (app / "requirements.txt").write_text(left, encoding="utf-8")

    return leave_out


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


def app_of(folder: Path, case: Case, *, start: bool = False) -> App:
    """The app in that folder on the case's platform, with its settings."""
    platform = declared.limited_if_readable(folder, PLATFORMS[case.platform])
    environ = doctor.environment(folder, platform, case.settings, OWN)
    return App(folder, platform, environ, Path(sys.executable), Run if start else None)


_PUBLISHED = "MODEL_URL=site/house/index.json"
CMD = 'CMD ["gunicorn", "runtime.wsgi:app"]'
REQUIREMENTS = "flask==3.1.3\ngunicorn==27.0.1\n"
FAKE_KEY = "AKIA" + "Q" * 16  # assembled, so that this file itself holds none

FILES: dict[str, Case] = {
    "no Procfile": Case("command", "fail", "there is no Procfile", remove("Procfile"), fixed=True),
    "misspelt Procfile": Case("command", "fail", "procfile is not read", rename("Procfile", "procfile"), fixed=True),
    "no web process": Case("command", "fail", "no web process", write("Procfile", "worker: python work.py\n")),
    "development server": Case("command", "fail", "flask run", write("Procfile", "web: flask run --port $PORT\n")),
    "script": Case("command", "fail", "python FILE.py", write("Procfile", "web: python app.py\n")),
    "Windows line ends": Case(
        "command", "fail", "Windows", write("Procfile", "web: gunicorn runtime.wsgi:app\r\n"), fixed=True
    ),
    "a byte order mark": Case(
        "command", "fail", "byte order mark", write("Procfile", "\ufeffweb: gunicorn runtime.wsgi:app\n"), fixed=True
    ),
    "a quotation mark alone": Case(
        "command", "fail", "no closing quotation", write("Procfile", 'web: gunicorn "runtime.wsgi:app\n')
    ),
    "nothing to start on Render": Case(
        "command",
        "fail",
        "no startCommand",
        both(remove("Procfile"), replace("render.yaml", "    startCommand: gunicorn runtime.wsgi:app\n", "")),
        platform="render",
    ),
    "a development server on Render": Case(
        "command",
        "fail",
        "startCommand in render.yaml starts flask run",
        replace("render.yaml", "startCommand: gunicorn runtime.wsgi:app", "startCommand: flask run"),
        platform="render",
    ),
    "a shell as entry point": Case(
        "command",
        "fail",
        "ENTRYPOINT",
        replace("Dockerfile", CMD, "ENTRYPOINT gunicorn runtime.wsgi:app"),
        platform="fly",
    ),
    "an image without command": Case(
        "command", "fail", "the Dockerfile has no CMD", replace("Dockerfile", CMD, ""), platform="cloudrun"
    ),
    "no such module on Render": Case(
        "entry-point",
        "fail",
        "no module app ",
        replace("render.yaml", "startCommand: gunicorn runtime.wsgi:app", "startCommand: gunicorn app:app"),
        platform="render",
    ),
    "no such module in the image": Case(
        "entry-point",
        "fail",
        "no module app ",
        replace("Dockerfile", CMD, 'CMD ["gunicorn", "app:app"]'),
        platform="fly",
    ),
    "no such module in place of the image's": Case(
        "entry-point",
        "fail",
        "no module app ",
        replace(
            "deploy/cloud-run.yaml", "- image: IMAGE", '- image: IMAGE\n          command: ["gunicorn", "app:app"]'
        ),
        platform="cloudrun",
    ),
    "no such module among Fly's processes": Case(
        "entry-point",
        "fail",
        "no module app ",
        replace("fly.toml", "[env]", '[processes]\n  app = "gunicorn app:app"\n\n[env]'),
        platform="fly",
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
    "fixed port on Render": Case(
        "port",
        "fail",
        "0.0.0.0:5000",
        replace("render.yaml", "startCommand: gunicorn", "startCommand: gunicorn -b 0.0.0.0:5000"),
        platform="render",
    ),
    "fixed port in the image": Case(
        "port",
        "fail",
        "0.0.0.0:5000",
        replace("Dockerfile", CMD, 'CMD ["gunicorn", "-b", "0.0.0.0:5000", "runtime.wsgi:app"]'),
        platform="fly",
    ),
    "loopback in the image's environment": Case(
        "port", "fail", "127.0.0.1", replace("Dockerfile", "PORT=8080", "PORT=8080 HOST=127.0.0.1"), platform="fly"
    ),
    "loopback": Case("port", "fail", "127.0.0.1", nothing, settings=("HOST=127.0.0.1",)),
    "damaged app.json": Case("platform-file", "fail", "not JSON", write("app.json", "{")),
    "app.json of other kinds": Case(
        "platform-file", "fail", "env is not an object", write("app.json", '{"env": ["A"], "formation": 3}')
    ),
    "damaged render.yaml": Case(
        "platform-file", "fail", "not YAML", write("render.yaml", "services: [\n  : {"), platform="render"
    ),
    "render.yaml of other kinds": Case(
        "platform-file", "fail", "services is not a list", write("render.yaml", "services: 3\n"), platform="render"
    ),
    "damaged cloud-run.yaml": Case(
        "platform-file", "fail", "in line 2", write("deploy/cloud-run.yaml", "a: [\n"), platform="cloudrun"
    ),
    "damaged fly.toml": Case("platform-file", "fail", "line 1", write("fly.toml", "app = \n"), platform="fly"),
    "a port that is none on Fly": Case(
        "platform-file", "fail", "'web'", replace("fly.toml", 'PORT = "8080"', 'PORT = "web"'), platform="fly"
    ),
    "another default port on Fly": Case(
        "platform-file",
        "fail",
        "the server binds 8000",
        both(replace("fly.toml", '  PORT = "8080"\n', ""), replace("Dockerfile", "    PORT=8080 \\\n", "")),
        platform="fly",
    ),
    "nothing published on Fly": Case(
        "platform-file", "fail", "nobody can reach", replace("fly.toml", "[http_service", "[nothing"), platform="fly"
    ),
    "no Dockerfile on Fly": Case("platform-file", "fail", "names Dockerfile", remove("Dockerfile"), platform="fly"),
    "no check on Fly": Case(
        "platform-file",
        "warn",
        "/health",
        replace("fly.toml", "http_service.checks", "http_service.none"),
        platform="fly",
    ),
    "another port on Cloud Run": Case(
        "platform-file",
        "fail",
        "startupProbe asks port 8080",
        replace("deploy/cloud-run.yaml", "containerPort: 8080", "containerPort: 9000"),
        platform="cloudrun",
    ),
    "Render's own options": Case(
        "platform-file",
        "warn",
        "GUNICORN_CMD_ARGS",
        replace("render.yaml", '      - key: GUNICORN_CMD_ARGS\n        value: ""\n', ""),
        platform="render",
    ),
    "a health check in a comment": Case(
        "platform-file",
        "warn",
        "healthCheckPath",
        replace("render.yaml", "    healthC", "    # healthC"),
        platform="render",
    ),
    "root at last": Case(
        "platform-file", "warn", "root", replace("Dockerfile", "EXPOSE", "USER root\nEXPOSE"), platform="fly"
    ),
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
        "platform-file",
        "warn",
        "healthCheckPath",
        replace("render.yaml", "    healthCheckPath: /health\n", ""),
        platform="render",
    ),
    "root in the image": Case(
        "platform-file", "warn", "root", replace("Dockerfile", "USER 10001\n", ""), platform="cloudrun"
    ),
    "shell in the image": Case(
        "command",
        "fail",
        "SIGTERM",
        replace("Dockerfile", CMD, "CMD gunicorn runtime.wsgi:app"),
        platform="cloudrun",
    ),
    "no Python version": Case("python-version", "warn", "no Python version", remove("runtime.txt"), fixed=True),
    "old Python": Case("python-version", "fail", "Python 3.9", write("runtime.txt", "python-3.9.18\n")),
    "Python that is none": Case("python-version", "fail", "not understood", write("runtime.txt", "3.11\n")),
    "an old Python in the image": Case(
        "python-version", "fail", "3.9", replace("Dockerfile", "ARG PYTHON=3.11", "ARG PYTHON=3.9"), platform="fly"
    ),
    "half a version on Render": Case(
        "python-version", "fail", "PYTHON_VERSION", nothing, platform="render", settings=("PYTHON_VERSION=3.11",)
    ),
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
    "a loose pin among hashes": Case(
        "pins", "fail", "does not pin flask", replace("requirements.txt", "flask==", "flask>=")
    ),
    "pins with a star": Case(
        "pins", "warn", "flask", write("requirements.txt", "Flask==3.*\ngunicorn==27.0.1\nnumpy==1.26.4\n")
    ),
    "a branch for a pin": Case(
        "pins",
        "warn",
        "flask",
        write("requirements.txt", "git+https://example.com/flask@main\ngunicorn==27.0.1\nnumpy==1.26.4\n"),
    ),
    "a package that another needs": Case("pins", "fail", "werkzeug (for flask)", without("werkzeug")),
    "no gunicorn": Case("pins", "fail", "lacks gunicorn", write("requirements.txt", "flask==3.1.3\nnumpy==1.26.4\n")),
    "bad line": Case("pins", "fail", "requirements.txt", write("requirements.txt", "flask===\n")),
    "TensorFlow": Case(
        "interpreter",
        "fail",
        "tensorflow would be installed",
        write("requirements.txt", REQUIREMENTS + "numpy==1.26.4\ntensorflow==2.21.0\n"),
    ),
    "TensorFlow in another spelling, in another file": Case(
        "interpreter",
        "fail",
        "tensorflow-cpu would be installed",
        both(
            write("requirements.txt", "-r more/base.txt\n" + REQUIREMENTS),
            write("more/base.txt", "Tensorflow_CPU==2.21.0\n"),
        ),
    ),
    "no interpreter": Case(
        "interpreter", "fail", "no interpreter", write("requirements.txt", REQUIREMENTS + "numpy==1.26.4\n")
    ),
    "numpy 2": Case(
        "interpreter",
        "fail",
        "numpy==2.1.0",
        write("requirements.txt", REQUIREMENTS + "numpy==2.1.0\ntflite-runtime==2.14.0\n"),
    ),
    "two package managers": Case("lock-files", "fail", "uv.lock", write("uv.lock", "version = 1\n")),
    "Pipfile without its lock": Case("lock-files", "fail", "without Pipfile.lock", write("Pipfile", "[packages]\n")),
    "Pipfile with its lock": Case(
        "lock-files", "fail", "Pipfile.lock", both(write("Pipfile", "[packages]\n"), write("Pipfile.lock", "{}"))
    ),
    "virtual environment before Git": Case(
        "virtualenv", "warn", "not in Git yet", write("venv/pyvenv.cfg", "home = /usr/bin\n"), fixed=True
    ),
    "virtual environment of another name": Case(
        "virtualenv",
        "fail",
        "committed: ours",
        both(write("ours/lib/python3.11/site-packages/flask.py", "\n"), committed()),
        fixed=True,
    ),
    "virtual environment": Case("virtualenv", "fail", ".venv", commit_venv, fixed=True),
    "two Python pins": Case("deprecated", "warn", "differ", write(".python-version", "3.12\n")),
    "out of use": Case("deprecated", "warn", ".buildpacks", write(".buildpacks", "\n")),
    "a file that Render does not read": Case(
        "deprecated",
        "warn",
        "runtime.txt",
        replace("render.yaml", "      - key: PYTHON_VERSION\n        value: 3.11.11\n", ""),
        platform="render",
    ),
    "too heavy": Case("weight", "warn", "tests", both(remove(".slugignore"), write("tests/a.txt", "a")), fixed=True),
    "an AWS key": Case(
        "secrets", "fail", "deploy.sh:2 (an AWS access key)", write("deploy.sh", f"#!/bin/sh\nkey={FAKE_KEY}\n")
    ),
    "a private key": Case(
        "secrets", "fail", "server.pem:1", write("server.pem", "-----BEGIN " + "PRIVATE KEY-----\nMIIE\n")
    ),
    "a .env file": Case("secrets", "fail", ".env", write(".env", "API_KEYS=me:a-long-enough-key\n")),
    "a .env file of a kind": Case("secrets", "fail", ".env.production", write(".env.production", "NAME=1\n")),
    "a token of Hugging Face": Case("secrets", "fail", "Hugging Face", write("note.txt", "hf_" + "aB3d" * 9)),
    "a token of a project": Case("secrets", "fail", "an API key", write("note.txt", "sk-proj-" + "aB3d" * 9)),
    "a key of Azure": Case("secrets", "fail", "Azure", write("note.txt", "AccountKey=" + "aB3d" * 21 + "aA==")),
    "a secret key in a program": Case(
        "secrets", "fail", "AWS secret", write("hooks.py", 'AWS_SECRET_ACCESS_KEY = "' + "aB3d" * 10 + '"\n')
    ),
    "a value in app.json": Case(
        "secrets",
        "fail",
        "app.json (API_KEYS",
        replace("app.json", '"description": "Keys', '"value": "me:a-long-enough-key", "description": "Keys'),
    ),
    "a value in render.yaml": Case(
        "secrets",
        "fail",
        "render.yaml (API_KEYS",
        replace(
            "render.yaml", "- key: TRUST", "- key: API_KEYS\n        value: me:a-long-enough-key\n      - key: TRUST"
        ),
    ),
    "a value in cloud-run.yaml": Case(
        "secrets",
        "fail",
        "cloud-run.yaml (MODEL_AUTH",
        replace(
            "deploy/cloud-run.yaml",
            "- name: TRUST",
            "- name: MODEL_AUTH\n              value: a-token\n            - name: TRUST",
        ),
    ),
    "a value in the image": Case(
        "secrets", "fail", "Dockerfile:", replace("Dockerfile", "ENV PATH", "ENV API_KEYS=me:a-long-enough-key PATH")
    ),
    "a key in app.json": Case(
        "secrets", "fail", "app.json", write("app.json", '{"env": {\n"API_KEYS": "me:a-long-enough-key-indeed"}}')
    ),
    "a bad setting": Case("settings", "fail", "MAX_WAITING", nothing, settings=("MAX_WAITING=many",)),
    "a misspelt setting": Case("settings", "fail", "MODEL_URL", nothing, settings=("MODEL_URI=x",)),
    "no model": Case("settings", "fail", "no model is named", nothing, settings=("MODEL_URL=",)),
    "a command outside Git": Case("code", "fail", "Procfile is not in Git", forgotten("Procfile")),
    "pins outside Git": Case("code", "fail", "requirements.txt is not in Git", forgotten("requirements.txt")),
    "code outside Git": Case(
        "code", "fail", "runtime/wsgi.py is not in Git, for .gitignore", committed("wsgi.py"), platform="render"
    ),
    "code that the image lacks": Case(
        "code", "fail", "runtime/", replace("Dockerfile", "COPY runtime ./runtime\n", ""), platform="fly"
    ),
    "code that .dockerignore leaves out": Case(
        "code", "fail", "kept from the image", replace(".dockerignore", "!gunicorn.conf.py\n", ""), platform="cloudrun"
    ),
    "a model that the image lacks": Case(
        "model-file",
        "warn",
        "is not copied into the image",
        replace("Dockerfile", "COPY examples/digits/digits.tflite ./examples/digits/digits.tflite\n", ""),
        platform="cloudrun",
    ),
    "a model that .dockerignore leaves out": Case(
        "model-file",
        "warn",
        "site/house/index.json is kept from the image",
        publish,
        platform="fly",
        settings=(_PUBLISHED,),
    ),
    "hooks that the image lacks": Case(
        "model-file",
        "warn",
        "hooks.py is not copied",
        both(write("hooks.py", "\n"), replace("Dockerfile", " hooks.py*", "")),
        platform="fly",
    ),
    "hooks in a folder that the image lacks": Case(
        "model-file",
        "warn",
        "ours/words.py is kept",
        write("ours/words.py", "\n"),
        platform="fly",
        settings=("MODEL_HOOKS=ours.words",),
    ),
    "hooks outside Git": Case(
        "model-file", "warn", "hooks.py is not in Git", both(committed(), write("hooks.py", "\n"))
    ),
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
    "Fly's own time to stop": Case(
        "grace", "fail", "SIGKILL comes after 5", replace("fly.toml", "kill_timeout = 30\n", ""), platform="fly"
    ),
    "a short time to stop on Render": Case(
        "grace",
        "fail",
        "SIGKILL comes after 10",
        replace("render.yaml", "maxShutdownDelaySeconds: 30", "maxShutdownDelaySeconds: 10"),
        platform="render",
    ),
    "a short time for a request on Cloud Run": Case(
        "request-time",
        "fail",
        "ends it after 20",
        replace("deploy/cloud-run.yaml", "timeoutSeconds: 30", "timeoutSeconds: 20"),
        platform="cloudrun",
    ),
}

DEAF = """
import os, signal, http.server
signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    do_POST = do_GET
http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""

ELSEWHERE = "web: python -c \"import socketserver as s; s.TCPServer(('127.0.0.1', 0), None).serve_forever()\""

STARTS: dict[str, Case] = {
    "crash at import": Case(
        "boot", "fail", "ModuleNotFoundError", write("runtime/wsgi.py", "import no_such_package\napp = None\n")
    ),
    "another port": Case("boot", "fail", "not on $PORT", write("Procfile", ELSEWHERE)),
    "loopback in a script": Case(
        "boot",
        "fail",
        "127.0.0.1 alone",
        both(
            write("start.sh", "exec gunicorn -b 127.0.0.1:$PORT runtime.wsgi:app\n"),
            write("Procfile", "web: sh start.sh\n"),
        ),
    ),
    "an image's command that does not start": Case(
        "boot",
        "fail",
        "Failed to find attribute 'application'",
        replace("Dockerfile", CMD, 'CMD ["gunicorn", "runtime.wsgi:application"]'),
        platform="fly",
    ),
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
        both(write("serve.py", DEAF), replace("Dockerfile", CMD, 'CMD ["python", "serve.py"]')),
        platform="cloudrun",
    ),
}
