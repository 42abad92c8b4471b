"""From the start until the model is there: what /health says meanwhile, and what is never served."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runtime import interpreter
from tests import hosts, models, published
from tests.hosts import Host
from tests.server.conftest import PATIENCE, ROOT, Server, Start, launch

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow

CRASHER = next(name for name, entry in models.MODELS.items() if entry.fails.get(interpreter.package().name) == "crash")
INDEX = "/digits/index.json"
ONE_ROW = {"instances": [[1, 2, 3, 4]]}


def health(server: Server) -> dict[str, object]:
    told: dict[str, object] = server.get("/health").json()
    return told


def wait_for(server: Server, word: str) -> dict[str, object]:
    """Wait until /health says `word` somewhere."""
    return dict(server.wait_for(lambda reply: word in reply.text).json())


def test_a_server_without_its_model_says_why_and_gets_it_by_itself(
    start: Start, host: Host, versions: dict[str, bytes]
) -> None:
    """Port bound, 503 with the reason; as soon as the host has the file, it is served."""
    server = start(host.url + INDEX, ready=False)
    told = wait_for(server, "no such file")
    assert (told["status"], told["ready"]) == ("not ready", False)
    assert server.get("/health").status_code == server.post("/predict", json=ONE_ROW).status_code == 503
    assert server.get("/health/live").status_code == 200
    host.files |= published.files(versions, {"latest": "1.0.0"})
    server.wait_ready()
    assert health(server)["version"] == "1.0.0"
    assert "note" not in health(server)
    assert server.post("/predict", json=ONE_ROW).headers["X-Model"].startswith("digits; version=1.0.0")


@pytest.mark.slow
def test_a_host_that_hangs_does_not_hold_up_the_boot(start: Start, host: Host, versions: dict[str, bytes]) -> None:
    """The workers start when the boot's time is over, far inside a platform's 60 s."""
    host.files |= published.files(versions, {"latest": "1.0.0"})
    released = threading.Event()
    host.faults[INDEX] = [hosts.hold(5, released)] * 1000
    server = start(host.url + INDEX, ready=False, BOOT_SECONDS="1.5")
    # The host still holds every answer back: had the boot waited for one, there would be no reply.
    assert health(server)["ready"] is False
    host.faults.clear()
    released.set()
    server.wait_ready()


def test_a_wrong_digest_is_never_served_and_the_last_good_version_stands_in(
    start: Start, host: Host, versions: dict[str, bytes]
) -> None:
    """A restart finds another content under the new version: the old one is served, and said so, until it is mended."""
    host.files |= published.files(versions, {"latest": "1.0.0"})
    start(host.url + INDEX).stop()
    host.files |= published.files(versions, {"latest": "1.1.0"})
    path = f"/digits/{published.url('1.1.0', versions['1.1.0'])}"
    host.files[path] = versions["1.1.0"][:-1] + b"x"
    server = start(host.url + INDEX)
    told = wait_for(server, "it is not served")
    assert (told["version"], told["wanted"], told["ready"]) == ("1.0.0", "1.1.0", True)
    assert server.post("/predict", json=ONE_ROW).headers["X-Model"].startswith("digits; version=1.0.0")
    host.files[path] = versions["1.1.0"]
    told = wait_for(server, '"version":"1.1.0"')
    assert "note" not in told


@pytest.mark.parametrize("pin", ["version", "digest"])
def test_what_is_asked_for_exactly_is_answered_by_nothing_else(
    start: Start, host: Host, versions: dict[str, bytes], pin: str
) -> None:
    """No older version stands in for an exact version or a digest."""
    host.files |= published.files(versions, {"latest": "1.0.0"})
    start(host.url + INDEX).stop()
    digest = hashlib.sha256(versions["1.1.0"]).hexdigest()
    exact = {"version": {"MODEL_VERSION": "1.1.0"}, "digest": {"MODEL_SHA256": digest}}[pin]
    host.files.pop(f"/digits/{published.url('1.1.0', versions['1.1.0'])}", None)
    server = start(host.url + INDEX, ready=False, **exact)
    told = health(server)
    assert (told["ready"], "version" in told) == (False, False)


@pytest.mark.slow
def test_the_last_good_version_outlives_its_host(start: Start, host: Host, versions: dict[str, bytes]) -> None:
    """A restart while the store is down serves what was served before, also where that is asked for by its number."""
    host.files |= published.files(versions, {"latest": "1.0.0"})
    start(host.url + INDEX).stop()
    host.faults[INDEX] = [hosts.status(404)] * 1000
    for environ in ({}, {"MODEL_VERSION": "1.0.0"}):
        server = start(host.url + INDEX, **environ)
        told = health(server)
        assert (told["version"], told["ready"]) == ("1.0.0", True)
        assert "answered 404" in str(told["note"])
        server.stop()


def test_a_file_that_crashes_the_interpreter_costs_a_message(start: Start, host: Host) -> None:
    """The server lives, says so, and serves the next file."""
    crasher = models.path(CRASHER).read_bytes()
    host.files |= published.files({"1.0.0": crasher}, {"latest": "1.0.0"})
    server = start(host.url + INDEX, ready=False)
    told = wait_for(server, "crashes the interpreter with SIG")
    assert told["ready"] is False
    host.files |= published.files({"1.0.0": crasher, "1.0.1": published.packed("1.0.1")}, {"latest": "1.0.1"})
    server.wait_ready()
    assert health(server)["version"] == "1.0.1"


def test_several_models_are_served_by_their_names(start: Start, host: Host, versions: dict[str, bytes]) -> None:
    """MODEL_URL_V1 and MODEL_URL_V2 beside MODEL_URL; one that fails does not take the others with it."""
    host.files |= published.files(versions, {"latest": "1.0.0"})
    server = start(
        models.path("packed"),
        ready=False,
        MODEL_URL_V1=host.url + INDEX,
        MODEL_URL_V2=host.url + INDEX,
        MODEL_VERSION_V2="1.1.0",
        MODEL_URL_GONE=str(models.path("mlp").with_name("gone.tflite")),
    )
    found = {
        name: server.post(f"/predict{name}", json=ONE_ROW) for name in ("", "/packed", "/v1", "/v2", "/gone", "/x")
    }
    assert {name: reply.status_code for name, reply in found.items()} == {
        "": 200,
        "/packed": 200,
        "/v1": 200,
        "/v2": 200,
        "/gone": 503,
        "/x": 404,
    }
    assert [found[name].headers["X-Model"].split("; digest")[0] for name in ("", "/v1", "/v2")] == [
        "packed; version=1.2.3",
        "v1; version=1.0.0",
        "v2; version=1.1.0",
    ]


def test_a_model_may_come_in_a_setting(start: Start) -> None:
    """MODEL_BASE64, as in small tutorials."""
    text = base64.b64encode(models.path("mlp").read_bytes()).decode()
    server = start(MODEL_BASE64=text, MODEL_NAME="tiny")
    reply = server.post("/predict/tiny", json=ONE_ROW)
    assert (reply.status_code, len(reply.json()["predictions"][0])) == (200, 3)


@pytest.mark.slow
def test_no_secret_is_told(start: Start, host: Host, versions: dict[str, bytes]) -> None:
    """Token, password and query are in no log line, no reply and no error, whether the fetch succeeds or fails."""
    host.files |= published.files(versions, {"latest": "1.0.0"})
    url = host.url.replace("http://", "http://user:hunter2@") + f"{INDEX}?sig=hunter2"
    host.faults[INDEX] = [hosts.status(403)] * 1000
    server = start(url, ready=False, MODEL_AUTH="X-Token: hunter2", LOG_LEVEL="debug")
    wait_for(server, "answered 403")
    host.faults.clear()
    server.wait_ready()
    told = server.get("/health").text + server.get("/metrics").text
    server.stop()
    assert host.seen[0].headers["x-token"] == "hunter2"
    assert "answered 403" in server.log
    assert "hunter2" not in server.log + told


@pytest.mark.slow
def test_a_download_goes_on_after_the_master_was_killed(start: Start, host: Host, tmp_path: Path) -> None:
    """SIGKILL in the middle: nothing goes on running, and the next start asks for the rest only."""
    big = published.packed("1.0.0") + bytes(3_000_000)
    digest = hashlib.sha256(big).hexdigest()
    host.files["/m.tflite"] = big
    host.faults["/m.tflite"] = [hosts.stall(1_000_000, 600)] * 1000
    url = f"{host.url}/m.tflite#sha256={digest}"
    environ = {**os.environ, "MODEL_URL": url, "CACHE_DIR": str(tmp_path / "cache"), "HOST": "127.0.0.1", "PORT": "0"}
    environ["BOOT_SECONDS"] = "300"
    command = [sys.executable, "-m", "gunicorn", "runtime.wsgi:app"]
    killed = subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + PATIENCE
        parts: list[Path] = []
        while not parts or parts[0].stat().st_size < 1_000_000:
            assert time.monotonic() < deadline
            parts = list((tmp_path / "cache").glob("*.part"))
            time.sleep(0.05)
    finally:
        killed.kill()
        killed.wait()
    wait_until_nothing_runs_in(killed.pid)
    host.faults.clear()
    before = len(host.seen)
    again = start(url)
    assert host.seen[before].headers["range"] == "bytes=1000000-"
    assert health(again)["sha256"] == digest


def wait_until_nothing_runs_in(group: int, seconds: float = PATIENCE) -> None:
    """Wait until no process of this group is left: a fetch ends with its server."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        left = [pid for pid in Path("/proc").glob("[0-9]*") if group_of(pid) == group]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(f"left running: {left}")


def group_of(process: Path) -> int:
    """The process group of a folder of /proc; 0 for a process that is gone or is but waited for."""
    try:
        state, _, group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return 0
    return 0 if state == "Z" else int(group)


def test_a_full_disk_is_no_end(start: Start, host: Host, tmp_path: Path) -> None:
    """A cache of 1 MB cannot take the model: /health says so, the server lives, and takes what fits."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        big = published.packed("1.0.0") + bytes(3_000_000)
        host.files |= published.files({"1.0.0": big}, {"latest": "1.0.0"})
        server = start(host.url + INDEX, ready=False, CACHE_DIR=str(folder))
        wait_for(server, "the disk is full")
        host.files |= published.files({"1.0.1": published.packed("1.0.1")}, {"latest": "1.0.1"})
        server.wait_ready()
        server.stop()
        assert not list(folder.glob("*.part"))
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a test that failed has left its server running


def test_a_read_only_cache_is_no_end(start: Start, host: Host, tmp_path: Path, versions: dict[str, bytes]) -> None:
    """The model is kept elsewhere, and a line in the log says so."""
    folder = tmp_path / "frozen"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        host.files |= published.files(versions, {"latest": "1.0.0"})
        server = start(host.url + INDEX, CACHE_DIR=str(folder), TMPDIR=str(tmp_path))
        server.stop()
        assert "CACHE_DIR cannot be used (Read-only file system)" in server.log
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a test that failed has left its server running


def test_another_wsgi_server_gets_its_model_too(host: Host, versions: dict[str, bytes]) -> None:
    """Without the repository's configuration each process loads for itself, beginning with its first request."""
    host.files |= published.files(versions, {"latest": "1.0.0"})
    command = [sys.executable, "-m", "gunicorn", "-c", os.devnull, "-b", "127.0.0.1:0", "runtime.wsgi:app"]
    server = launch(command, {"MODEL_URL": host.url + INDEX, "ADMIN_KEY": "admin:0123456789abcdef"})
    try:
        server.wait_ready()
        reply = server.post("/admin/refresh", headers={"Authorization": "Bearer 0123456789abcdef"})
        assert reply.status_code == 501
    finally:
        server.stop()


def test_another_worker_class_on_the_command_line_gets_flask(start: Start) -> None:
    """gunicorn.conf.py names the fast lane's worker; whoever names another is served by the WSGI application."""
    server = start(models.path("mlp"), GUNICORN_CMD_ARGS="--worker-class gthread")
    assert server.post("/predict", json=ONE_ROW).status_code == 200
    assert server.get("/nothing").status_code == 404
