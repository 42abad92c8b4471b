"""The benchmark's own parts: what it reads off wrk and /proc, that it refuses unequal answers, and one small run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests import models
from tools import bench, bench_report, loadgen, measuring
from tools.bench_cases import case_of
from tools.bench_servers import PEERS, BenchError, Running, check_equal, start
from tools.measuring import Figures

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="figures come from /proc")
WRK = """Running 1s test @ http://127.0.0.1:1/predict
  1 threads and 8 connections
  Latency Distribution
     50%  840.00us
     75%    1.10ms
     90%    1.50ms
     99%    2.05ms
  9676 requests in 1.00s, 2.10MB read
Requests/sec:   9676.27
"""


def test_what_wrk_reports_is_read() -> None:
    """Requests, length and latencies, in whichever unit wrk chose; refused and broken requests count as failed."""
    assert measuring.read_wrk(WRK) == loadgen.Load(9676, 0, 1.0, 0.84, 2.05)
    worse = WRK + "  Socket errors: connect 1, read 2, write 0, timeout 3\n  Non-2xx or 3xx responses: 4\n"
    assert measuring.read_wrk(worse).failed == 10
    with pytest.raises(BenchError, match="tells nothing"):
        measuring.read_wrk("unable to connect")


def test_the_processes_of_a_server_are_all_counted() -> None:
    """This process is in its own tree, has used CPU time and memory."""
    assert os.getpid() in measuring.tree(os.getpid())
    assert measuring.cpu_seconds(os.getpid()) > 0
    assert measuring.pss_mb(os.getpid()) > 1


def test_the_median_of_rounds_is_taken_figure_by_figure() -> None:
    """One noisy round changes nothing."""
    rounds = [Figures("a", 8, 100, cpu, rate) for cpu, rate in ((0.2, 900), (9.0, 10), (0.3, 1000))]
    middle = measuring.median(rounds)
    assert (middle.cpu_ms, middle.per_second, middle.name) == (0.3, 900, "a")


def test_the_table_and_the_picture_tell_every_server() -> None:
    """Ratios are to dynolite at as many connections; the bare interpreter is in both."""
    results = {"mlp": [Figures("invoke", cpu_ms=0.01), Figures("dynolite", 8, 10, 0.2), Figures("fastapi", 8, 10, 0.4)]}
    assert "2.00" in bench_report.table(results)
    picture = bench_report.draw(results)
    assert "the bare interpreter" in picture
    assert "fastapi" in picture


@pytest.mark.slow
def test_a_server_is_measured_and_unequal_answers_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real run with the Python load generator: every figure is there. Another model's server does not pass."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    path = models.path("mlp")
    assert bench.main(["--model", str(path), "--rounds", "1", "--seconds", "0.3", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out).values()
    invoke, own = listed
    assert invoke["name"] == "invoke"
    assert invoke["cpu_ms"] > 0
    assert own["requests"] > 10
    assert min(own[name] for name in ("cpu_ms", "per_second", "p50_ms", "p99_ms", "pss_mb", "start_s")) > 0
    case = case_of(path, 2)
    server = start("dynolite", case, access_log=False)
    try:

        class Liar(Running):
            """Answers with other numbers."""

            def predict(self, body: bytes) -> object:  # type: ignore[override]
                return super().predict(body) + 1

        check_equal(case, [server, Running("same", server.url, server.pid)])
        with pytest.raises(BenchError, match="answers otherwise"):
            check_equal(case, [server, Liar("liar", server.url, server.pid)])
    finally:
        server.stop()


def test_a_peer_that_cannot_be_measured_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """TensorFlow serves a .keras file: without one the message says so, and the exit code is 2."""
    path = str(models.path("mlp"))
    assert bench.main(["--model", path, "--against", "tensorflow", "--rounds", "1", "--seconds", "0.2"]) == 2
    assert "--keras" in capsys.readouterr().err


def test_every_peer_has_its_program() -> None:
    """Each name of --against stands for a file in bench/peers."""
    folder = Path(__file__).resolve().parents[2] / "bench" / "peers"
    for name in PEERS:
        assert (folder / f"{name}_server.py").is_file()
