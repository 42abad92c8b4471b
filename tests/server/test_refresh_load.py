"""New versions under load: no request is lost, no answer is wrong, memory stays."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from runtime import interpreter
from tests.hosts import Host
from tests.server.conftest import PATIENCE, Start
from tests.server.load import under_load
from tests.server.rolling import ADMIN, INDEX, ROW, publish, serves, wait_until


def answers(versions: dict[str, bytes], tmp_path: Path) -> dict[str, Any]:
    """What each version answers to ROW."""
    found = {}
    for version, content in versions.items():
        path = tmp_path / f"{version}.tflite"
        path.write_bytes(content)
        found[version] = interpreter.load(path).run({"features": np.array(ROW, np.float32)})["probabilities"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("lane", "changes"), [("fast", 50), ("threads", 10)])
def test_no_request_is_lost_while_versions_change(
    start: Start, host: Host, versions: dict[str, bytes], tmp_path: Path, lane: str, changes: int
) -> None:
    """Every request is answered rightly by one of the two versions; memory ends as it was near the start."""
    expected = answers(versions, tmp_path)
    assert not np.allclose(expected["1.0.0"], expected["1.1.0"], atol=1e-3)
    publish(host, versions, latest="1.0.0")
    server = start(
        host.url + INDEX,
        ADMIN_KEY="admin:0123456789abcdef",
        WEB_CONCURRENCY="2",
        WORKER_CLASS=lane,
        GRACEFUL_SECONDS="60",
        ACCESS_LOG="off",
    )

    def check(reply: requests.Response) -> str:
        """An answer must be that of the version that it names."""
        version = reply.headers["X-Model"].split("version=")[1].split(";")[0]
        got = reply.json()["predictions"]
        assert np.allclose(got, expected[version], atol=1e-4), f"{version} answered {got}"
        return version

    memory: list[int] = []
    enough = time.monotonic() + PATIENCE
    with under_load(server, json.dumps({"instances": ROW}).encode(), check) as load:
        while len(memory) < (changes if time.monotonic() < enough else 6):  # fewer on a slow machine
            version = ("1.1.0", "1.0.0")[len(memory) % 2]
            publish(host, versions, latest=version)
            server.post("/admin/refresh", headers=ADMIN)
            wait_until(server, serves(version))
            load.wait_more(3)
            memory.append(resident(server.pid))
    assert load.wrong == []
    assert min(load.answers[version] for version in versions) > len(memory)
    assert memory[-1] < memory[1] + (4 << 20), [size >> 10 for size in memory]


def resident(pid: int) -> int:
    """Bytes of memory that only this process has."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("Private_", "Shared_Dirty")))
