"""New versions under load: no request is lost, no answer is wrong, memory stays."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from runtime import interpreter
from tests.hosts import Host
from tests.server.conftest import Server, Start
from tests.server.rolling import ADMIN, INDEX, ROW, publish, serves, wait_until


@dataclass
class Load:
    """What came of many requests, half of them on connections of their own, half on kept ones."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


@contextmanager
def under_load(server: Server, expected: dict[str, Any], threads: int = 4) -> Iterator[Load]:
    """Ask without pause for the length of the block; each answer must be that of the version that it names."""
    load = Load()

    def ask(*, keep: bool) -> None:
        session = requests.Session()
        while not load.stop.is_set():
            try:
                try:
                    reply = session.post(f"{server.url}/predict", json={"instances": ROW}, timeout=30)
                except requests.ConnectionError:
                    if not keep:
                        raise
                    # A kept connection that was closed while idle: any client asks again on a fresh one.
                    session.close()
                    reply = requests.post(f"{server.url}/predict", json={"instances": ROW}, timeout=30)
                version = reply.headers["X-Model"].split("version=")[1].split(";")[0]
                got = reply.json()["predictions"]
                if not np.allclose(got, expected[version], atol=1e-4):
                    load.wrong.append(f"{version} answered {got}")
                load.answers[version] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the request is lost
                load.wrong.append(repr(error))
            if not keep:
                session.close()
            time.sleep(0.002)

    running = [threading.Thread(target=ask, kwargs={"keep": bool(number % 2)}) for number in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        for thread in running:
            thread.join()


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
        GRACEFUL_SECONDS="5",
        ACCESS_LOG="off",
    )
    memory = []
    with under_load(server, expected) as load:
        for number in range(changes):
            version = ("1.1.0", "1.0.0")[number % 2]
            publish(host, versions, latest=version)
            server.post("/admin/refresh", headers=ADMIN)
            wait_until(server, serves(version), 60)
            memory.append(resident(server.pid))
    assert load.wrong == []
    assert min(load.answers.values()) > changes
    assert memory[-1] < memory[1] + (4 << 20), [size >> 10 for size in memory]


def resident(pid: int) -> int:
    """Bytes of memory that only this process has."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("Private_", "Shared_Dirty")))
