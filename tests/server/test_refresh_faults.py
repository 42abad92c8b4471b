"""A running server while something goes wrong that passes: a trial is killed, a host is slow."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests import hosts, models, published
from tests.hosts import Host
from tests.server.conftest import Start
from tests.server.rolling import INDEX, health, publish, serves, wait_until

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow

KILL_ONCE = """
import os
import signal
from pathlib import Path

if not Path({mark!r}).exists():
    Path({mark!r}).touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_trial_that_was_killed_is_started_again(
    start: Start, host: Host, versions: dict[str, bytes], tmp_path: Path
) -> None:
    """As the kernel does where memory is short: the version comes all the same, and without anybody asking."""
    hooks, mark = tmp_path / "hooks.py", tmp_path / "killed"
    hooks.write_text("def after(outputs):\n    return outputs\n")
    publish(host, versions, latest="1.0.0")
    server = start(host.url + INDEX, MODEL_REFRESH_SECONDS="0.5", MODEL_HOOKS=str(hooks))
    hooks.write_text(hooks.read_text() + KILL_ONCE.format(mark=str(mark)))
    publish(host, versions, latest="1.1.0")
    told = wait_until(server, serves("1.1.0"))
    assert mark.exists()
    assert "note" not in told
    assert "model=digits version=1.1.0" in server.line("trial was ended with SIGKILL")


def test_new_versions_of_both_come_at_once_into_a_small_cache(start: Start, host: Host) -> None:
    """The main version and its canary, in a cache that is too small for one of them."""
    names = {"1.0.0": "mlp", "1.1.0": "int16x8", "1.2.0": "mlp", "1.3.0": "int16x8"}
    files = {version: published.packed(version, name) for version, name in names.items()}
    publish(host, files, latest="1.0.0", canary="1.1.0")
    server = start(host.url + INDEX, MODEL_REFRESH_SECONDS="0.5", MODEL_CANARY="canary:50", CACHE_MAX_BYTES="1")
    publish(host, files, latest="1.2.0", canary="1.3.0")
    told = wait_until(
        server, lambda told: (told["version"], told.get("canary", {}).get("version")) == ("1.2.0", "1.3.0")
    )
    assert "note" not in {**told, **told["canary"]}
    assert "not ready" not in server.log


def test_health_tells_what_is_wanted_where_nothing_is_served(start: Start, host: Host) -> None:
    """The index says which version it would be."""
    wrong = models.path("packed_wrong").read_bytes()
    publish(host, {"2.0.0": wrong}, latest="2.0.0")
    server = start(host.url + INDEX, ready=False)
    told = server.wait_for(lambda reply: "golden sample" in reply.json().get("reason", "")).json()
    assert (told["ready"], told["wanted"], "version" in told) == (False, "2.0.0", False)


def test_health_tells_which_canary_is_wanted(start: Start, host: Host, versions: dict[str, bytes]) -> None:
    """Where there is none yet, and where an older one goes on."""
    wrong = models.path("packed_wrong").read_bytes()
    files = {**versions, "2.0.0": wrong}
    publish(host, files, latest="1.0.0", canary="2.0.0")
    server = start(host.url + INDEX, MODEL_REFRESH_SECONDS="0.5", MODEL_CANARY="canary:50")
    assert health(server)["canary"]["wanted"] == "2.0.0"
    publish(host, files, latest="1.0.0", canary="1.1.0")
    told = wait_until(server, lambda told: told["canary"].get("version") == "1.1.0")
    assert "wanted" not in told["canary"]
    publish(host, files, latest="1.0.0", canary="2.0.0")
    told = wait_until(server, lambda told: told["canary"].get("wanted") == "2.0.0")
    assert told["canary"]["version"] == "1.1.0"


def test_what_came_before_the_boot_was_over_is_gone_on_with(start: Start, host: Host) -> None:
    """The host stops in the middle for longer than the boot may take; the watcher asks for the rest only."""
    big = published.packed("1.0.0") + bytes(3_000_000)
    digest = hashlib.sha256(big).hexdigest()
    host.files["/m.tflite"] = big
    host.faults["/m.tflite"] = [hosts.stall(1_000_000, 600)]
    server = start(f"{host.url}/m.tflite#sha256={digest}", BOOT_SECONDS="10")
    assert health(server)["sha256"] == digest
    asked = [request.headers.get("range", "") for request in host.seen]
    assert asked[0] == ""
    assert all(0 < int(words.removeprefix("bytes=").rstrip("-")) <= 1_000_000 for words in asked[1:])
