"""The platform's own file: readable, and it says what it must."""

from __future__ import annotations

from collections.abc import Callable

from tools.checks import declared
from tools.checks.base import App, Check, Finding, fail, ok, skip, warn
from tools.checks.declared import DamagedError, Declared
from tools.checks.dockerfile import Dockerfile, image_of

_FLY_PORT, _CLOUD_RUN_PORT = 8080, 8080


def platform_file(app: App) -> Finding:
    """The file that the platform reads is there and says what it must."""
    readers: dict[str, Callable[[App, Declared | None], Finding]] = {
        "heroku": _app_json,
        "render": _render,
        "fly": _fly,
        "cloudrun": _cloud_run,
    }
    reader = readers.get(app.platform.name)
    if reader is None:
        return skip("this platform has no file of its own")
    try:
        declared.limited(app.root, app.platform)
        return reader(app, declared.read(app.root, app.platform.name))
    except DamagedError as error:
        return fail(str(error), "correct it")


def _app_json(_: App, file: Declared | None) -> Finding:
    if file is None:
        return skip("no app.json: only the Heroku Button needs one")
    file.get(dict, "formation")
    return ok("app.json can be read")


def _render(app: App, file: Declared | None) -> Finding:
    if file is None:
        return warn("no render.yaml: its settings must be made by hand", "copy dynolite's render.yaml")
    if "GUNICORN_CMD_ARGS" not in declared.settings(app.root, "render") and not file.get(str, "dockerCommand"):
        image = image_of(app.root, "render")
        if image is None:
            message = "Render sets GUNICORN_CMD_ARGS to options of its own, which beat gunicorn.conf.py"
            return warn(message, 'add to envVars in render.yaml: GUNICORN_CMD_ARGS with the value ""')
    if not file.get(str, "healthCheckPath"):
        return warn(
            "render.yaml has no healthCheckPath: traffic comes before the model", "add healthCheckPath: /health"
        )
    return ok("render.yaml names a health check")


def _fly(app: App, file: Declared | None) -> Finding:
    if file is None:
        return fail("there is no fly.toml", "copy dynolite's fly.toml, or run: fly launch --no-deploy")
    named = file.get(str, "build", "dockerfile")
    if named and not (app.root / named).is_file():
        return fail(f"fly.toml names {named}, which is not there", "copy dynolite's Dockerfile and .dockerignore")
    if (file.get(str, "kill_signal") or "SIGINT") != "SIGTERM":
        return fail("Fly sends SIGINT: gunicorn drops the requests under way", 'add kill_signal = "SIGTERM"')
    return _fly_service(app, file)


def _fly_service(app: App, file: Declared) -> Finding:
    service = file.get(dict, "http_service") or file.get(dict, "services", 0)
    if service is None:
        fix = "add [http_service] with internal_port, as in dynolite's fly.toml"
        return fail("fly.toml has neither [http_service] nor [[services]]: nobody can reach the app", fix)
    given, inner = app.environ.get("PORT", "8000"), service.get("internal_port", _FLY_PORT)
    if not given.isdecimal():
        return fail(f"PORT is {given!r}, which is no number", f'set PORT = "{inner}" in [env] of fly.toml')
    if inner != int(given):
        return fail(f"Fly asks port {inner}, the server binds {given}", "let internal_port and PORT in [env] agree")
    if not any(service.get(name) for name in ("checks", "http_checks")):
        return warn("fly.toml has no check that asks /health: traffic comes before the model", "add one, as dynolite's")
    return _image(image_of(app.root, "fly"), "fly.toml stops with SIGTERM and asks the right port")


def _cloud_run(app: App, file: Declared | None) -> Finding:
    image = image_of(app.root, "cloudrun")
    if image is None:
        return fail("there is no Dockerfile", "copy dynolite's Dockerfile and .dockerignore")
    told = "the Dockerfile runs as its own user"
    if file is None:
        return _image(image, told)
    ports = file.get(list, *declared.CONTAINER, "ports") or [{}]
    port = Declared(file.name, ports).get(int, 0, "containerPort") or _CLOUD_RUN_PORT
    for kind in ("startupProbe", "livenessProbe"):
        asked = file.get(int, *declared.CONTAINER, kind, "httpGet", "port")
        if asked not in (None, port):
            message = f"{file.name}: {kind} asks port {asked}, the app is given {port} (containerPort)"
            return fail(message, f"let both be {port}")
    if "PORT" in declared.settings(app.root, "cloudrun"):
        return fail(f"{file.name} sets PORT, which is Cloud Run's to set", "set containerPort in its place")
    return _image(image, f"{told}, and {file.name} asks the right port")


def _image(image: Dockerfile | None, told: str) -> Finding:
    if image is None:
        return ok(told)
    user = (image.last("USER") or ("", ""))[1].partition(":")[0]
    if user in ("", "root", "0"):
        return warn(
            "the image runs as root", "add a user, and USER with its number, after the last line that is root's"
        )
    return ok(told)


CHECKS = (Check("platform-file", "the platform's own file", platform_file, ("BUILD", "R10")),)
