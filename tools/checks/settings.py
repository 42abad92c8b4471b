"""What the settings say before anything runs, and what gunicorn makes of them."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

from runtime.errors import SettingError
from runtime.settings import from_env
from tools.checks.base import App, Check, Finding, fail, ok, skip, warn
from tools.checks.commands import command_of

_PORT = "28473"  # one that nobody would write into a file


def settings(app: App) -> Finding:
    """The settings can be read, and name a model."""
    try:
        read = from_env(app.environ)
    except SettingError as error:
        return fail(str(error), "correct the setting; docs/settings.md has them all")
    if not (read.model_url or read.model_base64 or read.models):
        there = {
            "heroku": "heroku config:set MODEL_URL=...",
            "render": "in envVars of render.yaml",
            "fly": "in [env] of fly.toml",
            "cloudrun": "in env of deploy/cloud-run.yaml",
        }.get(app.platform.name, "in its environment")
        return fail("no model is named", f"set MODEL_URL (here: --set MODEL_URL=..., there: {there})")
    size = sum(len(name) + len(value) for name, value in app.environ.items())
    if app.platform.name == "heroku" and size > 32 << 10:
        return fail(
            f"the config vars take {size >> 10} KB, of which Heroku has 32 to 64", "give the model by URL, not inline"
        )
    return ok("they can be read")


def port(app: App) -> Finding:
    """The port is the platform's, and the address one that its router reaches."""
    command = command_of(app)
    if command is None:
        return skip("nothing is started")
    found = gunicorn_settings(app)
    if found is None:
        literal = re.search(r"--?p(?:ort)?[ =]*(\d{2,5})\b|:(\d{2,5})\b", command.line)
        if literal:
            return fail(f"{command.where} binds {literal[1] or literal[2]}, not $PORT", "give it $PORT")
        return skip("gunicorn's settings cannot be read")
    for address in re.findall(r"[^\s'\[\],]+:\d+", found.get("bind", "")):
        host, _, number = address.rpartition(":")
        if number != _PORT:
            fix = 'leave --bind to gunicorn.conf.py; there: bind = f"0.0.0.0:{os.environ["PORT"]}"'
            return fail(f"gunicorn binds {address}, not $PORT", fix)
        if host in ("127.0.0.1", "localhost"):
            return fail(
                f"gunicorn binds {host}: the platform's router cannot reach it", "bind 0.0.0.0; leave HOST unset"
            )
    return ok("$PORT, on every address")


def keepalive(app: App) -> Finding:
    """The server keeps idle connections longer than the router does."""
    found = gunicorn_settings(app)
    if found is None:
        return skip("gunicorn's settings cannot be read")
    router, own = app.platform.router_idle_seconds, float(found.get("keepalive", 2))
    if found.get("worker_class") == "sync" and router:
        return fail("sync workers close every connection", "leave worker_class to dynolite's gunicorn.conf.py")
    if own <= router:
        fix = f"set KEEPALIVE_SECONDS to {router + 5:g} or more"
        return fail(f"idle connections end after {own:g} s, the router keeps them {router:g}: resets (H13)", fix)
    return ok(f"{own:g} s, the router's {router:g}")


def request_time(app: App) -> Finding:
    """A request's own deadline comes before the router's, and the worker's after both."""
    found = gunicorn_settings(app)
    try:
        own = from_env(app.environ).request_seconds
    except SettingError:
        return skip("the settings cannot be read")
    limit = app.platform.request_seconds
    if own >= limit:
        fix = f"set REQUEST_SECONDS to {limit - 5:g} or less"
        return fail(f"a request may take {own:g} s, the router ends it after {limit:g}", fix)
    if found is not None and 0 < float(found.get("timeout", 30)) <= own:
        message = f"gunicorn kills a worker after {found['timeout']} s, a request may take {own:g}"
        return fail(message, "leave gunicorn's timeout to gunicorn.conf.py, also in GUNICORN_CMD_ARGS")
    return ok(f"{own:g} s, the router's {limit:g}")


def grace(app: App) -> Finding:
    """A stop, even during a roll, ends before the platform's SIGKILL."""
    found = gunicorn_settings(app)
    if found is None:
        return skip("gunicorn's settings cannot be read")
    own, limit = float(found.get("graceful_timeout", 30)), app.platform.grace_seconds
    fix = f"set GRACEFUL_SECONDS to {max(1, int(limit / 2) - 1)} or less (gunicorn's graceful_timeout)"
    asked = {"fly": "kill_timeout in fly.toml", "render": "maxShutdownDelaySeconds in render.yaml"}
    if app.platform.name in asked:
        fix += f", or {asked[app.platform.name]} to {2 * own + 2:g}"
    if own > limit:
        return fail(f"a stop may take {own:g} s, SIGKILL comes after {limit:g}", fix)
    if 2 * own >= limit:
        return warn(f"a stop during a roll may take {2 * own:g} s, SIGKILL comes after {limit:g}", fix)
    return ok(f"{own:g} s, the platform's {limit:g}")


def gunicorn_settings(app: App) -> dict[str, str] | None:
    """What gunicorn says its settings are, by name: its file, its arguments and the environment together."""
    command = command_of(app)
    if command is None or "gunicorn" not in command.line:
        return None
    return _printed(app.root, app.python, command.line, tuple(sorted(app.environ.items())))


@cache
def _printed(root: Path, python: Path, command: str, environ: tuple[tuple[str, str], ...]) -> dict[str, str] | None:
    line = re.sub(r"(\S*/)?gunicorn\b", "gunicorn --print-config", command, count=1)
    given = {**dict(environ), "PORT": _PORT, "PYTHONDONTWRITEBYTECODE": "1"}
    given["PATH"] = f"{python.parent}:{given.get('PATH', '/usr/bin:/bin')}"
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=root, env=given, capture_output=True, text=True, timeout=60, check=False
    )
    pairs = re.findall(r"^(\w+)\s+= (.*)$", done.stdout, re.MULTILINE)
    return {name: _plain(value) for name, value in pairs} if pairs else None


def _plain(value: str) -> str:
    try:
        return str(ast.literal_eval(value))
    except (ValueError, SyntaxError):
        return value


CHECKS = (
    Check("port", "nothing binds a port or address of its own", port, ("R10",)),
    Check("settings", "the settings can be read and name a model", settings, ("H10",)),
    Check("keep-alive", "idle connections outlive the router's", keepalive, ("H13",)),
    Check("request-time", "requests end before the router's limit", request_time, ("H12",)),
    Check("grace", "a stop ends before SIGKILL", grace, ("R12",)),
)
