"""New versions under a running server: what is taken, what is refused, what a kill changes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from runtime import interpreter
from tests import hosts, models, published
from tests.hosts import Host
from tests.server.conftest import PATIENCE, Server, Start
from tests.server.rolling import ADMIN, INDEX, ROW, health, publish, serves, wait_until

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow

CRASHER = next(name for name, entry in models.MODELS.items() if entry.fails.get(interpreter.package().name) == "crash")


def test_a_new_version_comes_and_a_rollback_goes_the_same_road(
    start: Start, host: Host, versions: dict[str, bytes]
) -> None:
    """By polling, in every worker; an index that has not changed is not sent again."""
    publish(host, versions, latest="1.0.0")
    server = start(host.url + INDEX, MODEL_REFRESH_SECONDS="0.5", WEB_CONCURRENCY="2")
    for version in ("1.1.0", "1.0.0"):
        publish(host, versions, latest=version)
        wait_until(server, serves(version))
        reply = server.post("/predict", json={"instances": ROW})
        assert f"version={version}" in reply.headers["X-Model"]
    before = len(host.seen)
    deadline = time.monotonic() + PATIENCE
    while len(host.seen) < before + 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "if-none-match" in host.seen[-1].headers
    assert host.seen[-1].path == INDEX


def bad_versions(versions: dict[str, bytes]) -> dict[str, tuple[dict[str, bytes], str]]:
    """What may stand under 2.0.0 in the index, and what /health then says."""
    crasher = models.path(CRASHER).read_bytes()
    wrong = models.path("packed_wrong").read_bytes()
    page = b"<html>Service Unavailable</html>"
    return {
        "crashes": (published.files({**versions, "2.0.0": crasher}, {"latest": "2.0.0"}), "crashes the interpreter"),
        "self-test": (published.files({**versions, "2.0.0": wrong}, {"latest": "2.0.0"}), "golden sample 0"),
        "web page": (published.files({**versions, "2.0.0": page}, {"latest": "2.0.0"}), "web page"),
        "no file": (
            {INDEX: published.files({**versions, "2.0.0": b"x"}, {"latest": "2.0.0"})[INDEX]},
            "no such file",
        ),
        "format": (
            {INDEX: json.dumps(published.index(versions, {"latest": "1.0.0"}) | {"format": 9}).encode()},
            "update dynolite",
        ),
        "html index": ({INDEX: page}, "web page"),
        "no channel": (published.files(versions, {"other": "1.0.0"}), "has no channel 'latest'"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crashes", "self-test", "web page", "no file", "format", "html index", "no channel"])
def test_whatever_is_wrong_with_the_new_version_the_old_one_goes_on(
    start: Start, host: Host, versions: dict[str, bytes], name: str
) -> None:
    """/health tells what is wanted, what is served, and why; once mended, the note is gone."""
    publish(host, versions, latest="1.0.0")
    server = start(
        host.url + INDEX, MODEL_REFRESH_SECONDS="0.3", WEB_CONCURRENCY="2", ADMIN_KEY="admin:0123456789abcdef"
    )
    files, why = bad_versions(versions)[name]
    host.files = dict(files)  # at once: whoever looks now finds the old ones or these
    assert server.post("/admin/refresh", headers=ADMIN).status_code == 202
    told = wait_until(server, lambda told: why in told.get("note", ""))
    assert (told["status"], told["version"]) == ("ok", "1.0.0")
    assert told.get("wanted") == ("2.0.0" if "2.0.0" in str(files) else None)
    publish(host, versions, latest="1.0.0")
    assert server.post("/admin/refresh", headers=ADMIN).status_code == 202
    wait_until(server, lambda told: "note" not in told and "wanted" not in told)


@pytest.mark.slow
def test_a_version_that_hangs_or_eats_memory_is_contained(
    start: Start, host: Host, versions: dict[str, bytes], tmp_path: Path
) -> None:
    """Its trial has limits of time and memory; here user code that is tried with the file does not keep to them."""
    hooks = tmp_path / "hooks.py"
    hooks.write_text("def after(outputs):\n    return outputs\n")
    publish(host, versions, latest="1.0.0")
    server = start(
        host.url + INDEX,
        MODEL_REFRESH_SECONDS="0.5",
        TRIAL_SECONDS="20",  # the good version's own trial must keep to it too, on any machine
        MODEL_HOOKS=str(hooks),
        ADMIN_KEY="admin:0123456789abcdef",
    )
    hooks.write_text("import time\ntime.sleep(600)\n")
    publish(host, versions, latest="1.1.0")
    told = wait_until(server, lambda told: "trial was ended after 20 s" in told.get("note", ""))
    assert (told["version"], told["wanted"]) == ("1.0.0", "1.1.0")
    hooks.write_text(f"eaten = bytearray({os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')})\n")
    server.post("/admin/refresh", headers=ADMIN)
    told = wait_until(server, lambda told: "memory" in told.get("note", "").lower())
    assert told["version"] == "1.0.0"


def test_an_admin_may_ask_for_a_refresh(start: Start, host: Host, versions: dict[str, bytes]) -> None:
    """At once, without any polling; only with the key."""
    publish(host, versions, latest="1.0.0")
    server = start(host.url + INDEX, ADMIN_KEY="admin:0123456789abcdef", WEB_CONCURRENCY="2")
    publish(host, versions, latest="1.1.0")
    assert server.post("/admin/refresh").status_code == 401
    assert server.post("/admin/refresh", headers={"X-API-Key": "wrong-wrong-wrong-wrong"}).status_code == 401
    assert server.get("/admin/refresh", headers=ADMIN).status_code == 405
    assert health(server)["version"] == "1.0.0"
    assert server.post("/admin/refresh", headers=ADMIN).status_code == 202
    wait_until(server, serves("1.1.0"))


def test_without_an_admin_key_there_is_no_such_path(start: Start) -> None:
    """404, as for any path that is not there."""
    server = start(models.path("packed"))
    assert server.post("/admin/refresh", headers=ADMIN).status_code == 404


@pytest.mark.slow
def test_killing_what_fetches_or_watches_changes_nothing(start: Start, host: Host, versions: dict[str, bytes]) -> None:
    """SIGKILL to the process that fetches, then to the worker that watches: another does it."""
    publish(host, versions, latest="1.0.0")
    server = start(host.url + INDEX, MODEL_REFRESH_SECONDS="0.5", WEB_CONCURRENCY="2")
    artifact = f"/digits/{published.url('1.1.0', versions['1.1.0'])}"
    host.faults[artifact] = [hosts.stall(100, 600)] * 1000
    publish(host, versions, latest="1.1.0")
    for victim in (int, parent):
        before = host.count(artifact)
        fetching = wait_for_child(server, "runtime.obtain", lambda before=before: host.count(artifact) > before)  # type: ignore[misc]
        os.kill(victim(fetching), signal.SIGKILL)
        wait_until_gone(fetching)
        assert server.post("/predict", json={"instances": ROW}).status_code == 200
    host.faults.clear()
    told = wait_until(server, serves("1.1.0"))
    assert "note" not in told


def wait_for_child(server: Server, word: str, holds: Callable[[], bool]) -> int:
    """The process below this server whose command line holds the word, when `holds` does."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        # In this order: one that is found first may end before `holds` does.
        if holds() and (found := [pid for pid in family(server.pid) if word in command_line(pid)]):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no {word} below {server.pid}\n{server.log}")


def family(pid: int) -> list[int]:
    """All processes below this one."""
    try:
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        tasks = [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    for task in tasks:
        try:
            own += Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        except OSError:
            continue
    below = sorted({int(child) for child in own})
    return below + [deeper for child in below for deeper in family(child)]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while command_line(pid):
        assert time.monotonic() < deadline, f"{pid} still runs"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(start: Start, host: Host, versions: dict[str, bytes]) -> None:
    """SIGKILL to every worker in turn; the next request is answered, with the same version."""
    publish(host, versions, latest="1.1.0")
    server = start(host.url + INDEX, MODEL_REFRESH_SECONDS="1", WEB_CONCURRENCY="2")
    for worker in server.children():
        os.kill(worker, signal.SIGKILL)
        wait_until_gone(worker)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                reply = server.post("/predict", json={"instances": ROW})
                break
            except requests.ConnectionError:
                assert time.monotonic() < deadline
        assert "version=1.1.0" in reply.headers["X-Model"]


def test_the_folder_of_a_server_that_was_killed_is_cleared(start: Start, tmp_path: Path) -> None:
    """The next server takes it away, and its own at its end."""
    left = tmp_path / f"dynolite-run-{2**22 + 1}-abc"  # a process id beyond all that a system gives
    left.mkdir()
    server = start(models.path("packed"), TMPDIR=str(tmp_path))
    assert not left.exists()
    assert len(list(tmp_path.glob("dynolite-run-*"))) == 1
    server.stop()
    assert not list(tmp_path.glob("dynolite-run-*"))
