"""The benchmark's own parts: what it reads off wrk and /proc, that it refuses unequal answers, and one small run."""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
import os
import shutil
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import requests

from tests import models
from tools import bench, bench_report, loadgen, measuring
from tools.bench_cases import as_body, case_of
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


@pytest.fixture(autouse=True)
def patient_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every worker starts with the model, however long it takes to be tried: none answers 503 beside the others."""
    monkeypatch.setenv("BOOT_SECONDS", "60")


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
    """A real run with the Python load generator: every figure is there. Another model's server does not pass.

    The load is over when the clock was looked at so often, which makes a thousand requests on any machine.
    """
    looks = itertools.count()
    monkeypatch.setattr(loadgen, "time", SimpleNamespace(monotonic=lambda: next(looks) / 1000))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    path = models.path("mlp")
    assert bench.main(["--model", str(path), "--rounds", "1", "--seconds", "3", "--json"]) == 0
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


@pytest.mark.slow
def test_each_kind_of_body_is_answered() -> None:
    """By the same server, with the numbers that JSON gives."""
    case = case_of(models.path("cnn"), 2)
    server = start("dynolite", case, access_log=False)
    try:
        want = server.predict(case.body)
        for kind in ("npy", "v2"):
            sent = as_body(case, kind).sent
            reply = requests.post(server.url + sent.path, sent.body, headers=sent.headers, timeout=120)
            assert reply.status_code == 200
            got = (
                np.load(io.BytesIO(reply.content))
                if kind == "npy"
                else np.frombuffer(reply.content[int(reply.headers["Inference-Header-Content-Length"]) :], np.float32)
            )
            np.testing.assert_allclose(got.ravel(), want.ravel(), rtol=1e-5, atol=1e-6)
    finally:
        server.stop()


def test_a_peer_that_cannot_be_measured_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """TensorFlow serves a .keras file: without one the message says so, and the exit code is 2."""
    path = str(models.path("mlp"))
    assert bench.main(["--model", path, "--against", "tensorflow", "--rounds", "1", "--seconds", "0.2"]) == 2
    assert "--keras" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("two_inputs.tflite", "only models with one input and one output are measured, it has 2 and 2"),
        ("whole.tflite", "only models that take rows"),
        ("string_lookup.tflite", "'word' is string"),
        ("no_such_model.tflite", "No such file"),
        ("build.py", "is neither a TensorFlow Lite nor an ONNX model"),
        ("mlp.onnx", "the interpreter does not run mlp, 1 row: "),
    ],
)
def test_a_model_that_cannot_be_measured_is_refused(name: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says why, before any server is started."""
    if name.endswith(".onnx") and importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("ONNX is an extra")
    assert bench.main(["--model", str(models.path("mlp").with_name(name))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench: ")
    assert told in line


@pytest.mark.parametrize(
    "words",
    [
        "--rounds 0",
        "--rows 0",
        "--rows two",
        "--connections 8 0",
        "--seconds 0",
        "--seconds nan",
        "--url localhost:8000",
        "--keras no_such_model.keras",
        "--picture no_such_folder/picture.svg",
        "--picture .",
    ],
)
def test_a_wrong_argument_is_a_usage_error(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Told at once, and not after minutes of measuring."""
    with pytest.raises(SystemExit) as ended:
        bench.main(["--model", str(models.path("mlp")), *words.split()])
    assert ended.value.code == 2
    assert words.split(maxsplit=1)[0] in capsys.readouterr().err


def test_a_server_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """--url of a port that nobody listens on: one line."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        port = deaf.getsockname()[1]
        assert bench.main(["--model", str(models.path("mlp")), "--url", f"http://127.0.0.1:{port}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bench: http://127.0.0.1:{port} does not answer")


def test_a_server_of_unknown_process_has_no_cpu_time() -> None:
    """--url without --pid: 0 and not what the whole machine uses."""
    assert measuring.tree(0) == []
    assert measuring.cpu_seconds(0) == 0


@pytest.mark.parametrize(
    "words",
    [
        "http://127.0.0.1:1/predict --body no_such_body.json",
        "localhost:1/predict --body README.md",
        "http://127.0.0.1:1/predict --body README.md --connections 0",
        "http://127.0.0.1:1/predict --body README.md --seconds 0",
    ],
)
def test_the_load_generator_refuses_what_is_no_load(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error, not a traceback."""
    with pytest.raises(SystemExit) as ended:
        loadgen.main(words.split())
    assert ended.value.code == 2
    assert "loadgen.py: error: " in capsys.readouterr().err


def test_every_peer_has_its_program() -> None:
    """Each name of --against stands for a file in bench/peers."""
    folder = Path(__file__).resolve().parents[2] / "bench" / "peers"
    for name in PEERS:
        assert (folder / f"{name}_server.py").is_file()
