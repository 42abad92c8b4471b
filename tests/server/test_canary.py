"""Another version for a share of the clients."""

from __future__ import annotations

import pytest

from tests import models
from tests.hosts import Host
from tests.server.conftest import Start
from tests.server.rolling import INDEX, ROW, health, publish, wait_until

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow


def test_a_canary_gets_its_share_steadily(start: Start, host: Host, versions: dict[str, bytes]) -> None:
    """Thirty of a hundred addresses, always the same ones, and the same ones in every worker; replies say which."""
    publish(host, versions, latest="1.0.0", canary="1.1.0")
    server = start(
        host.url + INDEX, MODEL_CANARY="canary:30", TRUST_PROXY="1", WEB_CONCURRENCY="2", MODEL_NAME="digits"
    )

    def ask(client: int, path: str = "/predict") -> str:
        headers = {"X-Forwarded-For": f"10.0.{client // 250}.{client % 250}"}
        reply = server.post(path, json={"instances": ROW}, headers=headers)
        assert reply.status_code == 200
        return reply.headers["X-Model"].split("version=")[1].split(";")[0]

    first = [ask(client) for client in range(200)]
    assert 35 <= first.count("1.1.0") <= 85
    assert [ask(client) for client in range(200)] == first
    assert [ask(client, "/v1/models/digits:predict") for client in range(20)] == first[:20]
    assert {ask(client, "/v1/models/digits/versions/2:predict") for client in range(9)} == {"1.1.0"}
    assert {ask(client, "/v1/models/digits/labels/latest:predict") for client in range(9)} == {"1.0.0"}
    told = health(server)
    assert (told["version"], told["canary"]["version"], told["canary"]["percent"]) == ("1.0.0", "1.1.0", 30.0)
    assert 'version="1.1.0"' in server.get("/metrics").text


def test_a_canary_that_is_broken_leaves_the_main_version_alone(
    start: Start, host: Host, versions: dict[str, bytes]
) -> None:
    """All requests go to the main version, and /health says why; a mended canary comes by itself."""
    broken = {**versions, "1.1.0": models.path("packed_wrong").read_bytes()}
    publish(host, broken, latest="1.0.0", canary="1.1.0")
    server = start(host.url + INDEX, MODEL_CANARY="canary:50", MODEL_REFRESH_SECONDS="0.5")
    told = health(server)
    assert (told["status"], told["version"], told["canary"]["ready"]) == ("ok", "1.0.0", False)
    assert "golden sample" in told["canary"]["note"]
    publish(host, versions, latest="1.0.0", canary="1.1.0")
    wait_until(server, lambda told: told["canary"].get("version") == "1.1.0" and "note" not in told["canary"])


def test_a_canary_moved_back_to_the_main_version_ends(start: Start, host: Host, versions: dict[str, bytes]) -> None:
    """To move the canary's channel back takes it out of service; to move it on again brings it back."""
    publish(host, versions, latest="1.0.0", canary="1.1.0")
    server = start(host.url + INDEX, MODEL_CANARY="canary:50", MODEL_REFRESH_SECONDS="0.5")
    wait_until(server, lambda told: told.get("canary", {}).get("version") == "1.1.0")
    publish(host, versions, latest="1.0.0", canary="1.0.0")
    wait_until(server, lambda told: told.get("canary", {}).get("version") in (None, "1.0.0"))
    asked = {
        server.post("/predict", json={"instances": ROW}).headers["X-Model"].split("version=")[1][:5] for _ in range(9)
    }
    assert asked == {"1.0.0"}
    publish(host, versions, latest="1.0.0", canary="1.1.0")
    wait_until(server, lambda told: told.get("canary", {}).get("version") == "1.1.0")
