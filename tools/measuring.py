"""Figures of a running server: load from wrk or tools/loadgen.py, CPU time and memory from /proc.

CPU time counts the server's processes alone, not the load generator's, and goes on counting what ended workers used.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from runtime.interpreter import package
from tools import loadgen
from tools.bench_cases import Case
from tools.bench_servers import BenchError, Running

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_WARM_SECONDS = 0.7
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Figures:
    """One server under one load. Times in milliseconds, memory in MB (PSS of all processes), start in seconds."""

    name: str
    connections: int = 0
    requests: float = 0.0
    cpu_ms: float = 0.0
    per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    pss_mb: float = 0.0
    start_s: float = 0.0


def measure(server: Running, case: Case, connections: int, seconds: float) -> Figures:
    """Warm up, then count over `seconds` of load. Raises BenchError when a request fails."""
    load = _wrk if shutil.which("wrk") else loadgen.run
    sent = case.sent
    load(server.url + sent.path, sent.body, connections, _WARM_SECONDS, sent.headers)
    before = cpu_seconds(server.pid)
    told = load(server.url + sent.path, sent.body, connections, seconds, sent.headers)
    used = cpu_seconds(server.pid) - before
    if told.failed or not told.requests:
        raise BenchError(f"{server.name}: {told.failed} of {told.requests} requests failed")
    return Figures(
        server.name,
        connections,
        told.requests,
        1e3 * used / told.requests,
        told.requests / told.seconds,
        told.p50_ms,
        told.p99_ms,
        pss_mb(server.pid),
        server.seconds,
    )


def median(rounds: list[Figures]) -> Figures:
    """The median of each figure."""
    middle = {
        field.name: statistics.median(getattr(figures, field.name) for figures in rounds)
        for field in fields(Figures)
        if field.name not in ("name", "connections")
    }
    return replace(rounds[0], **middle)


def floor(case: Case) -> Figures:
    """The interpreter alone on the case's rows, in this process: CPU ms of set_tensor, invoke and get_tensor.

    Raises BenchError where it does not run them.
    """
    try:
        bare = package().module.Interpreter(model_path=str(case.model), num_threads=1)
        (given,), (result,) = bare.get_input_details(), bare.get_output_details()
        rows = case.rows.astype(given["dtype"])
        bare.resize_tensor_input(given["index"], rows.shape)
        bare.allocate_tensors()

        def once() -> None:
            bare.set_tensor(given["index"], rows)
            bare.invoke()
            bare.get_tensor(result["index"])

        return Figures("invoke", cpu_ms=1e3 * _best(once))
    except (RuntimeError, ValueError) as error:
        raise BenchError(f"the interpreter does not run {case.name}: {' '.join(str(error).split())}") from None


def _best(function: Callable[[], object]) -> float:
    """CPU seconds of one call: the least mean of several batches."""
    function()
    began = time.process_time()
    function()
    number = max(1, min(5000, int(0.1 / max(time.process_time() - began, 1e-5))))
    means = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(number):
            function()
        means.append((time.process_time() - began) / number)
    return min(means)


def tree(pid: int) -> list[int]:
    """A process and all below it; none for 0, a server whose process is not known."""
    if not pid:
        return []
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for process in found:
        found += parents.get(process, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree, that of its ended and awaited children included."""
    total = 0
    for process in tree(pid):
        try:
            told = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(ticks) for ticks in told[11:15])
    return total / _TICKS


def pss_mb(pid: int) -> float:
    """Memory of a process tree, shared pages counted once."""
    total = 0
    for process in tree(pid):
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
        total += int(found[1]) if found else 0
    return total / 1024


def _wrk(url: str, body: bytes, connections: int, seconds: float, headers: Mapping[str, str]) -> loadgen.Load:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        (Path(folder) / "body").write_bytes(body)
        script.write_text(
            f'local f = io.open("{folder}/body", "rb")\nwrk.method = "POST"\nwrk.body = f:read("*a")\n'
            + "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in headers.items())
        )
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "60s", "--latency"]
        done = subprocess.run([*command, "-s", str(script), url], capture_output=True, text=True, check=False)
    return read_wrk(done.stdout)


def read_wrk(text: str) -> loadgen.Load:
    """What wrk reports. Raises BenchError where it reports nothing."""
    counted = re.search(r"(\d+) requests in ([\d.]+)(m?s|m)", text)
    if counted is None:
        raise BenchError(f"wrk tells nothing: {text[:200]}")
    shares = {
        share: float(value) * _UNITS[unit] for share, value, unit in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)", text)
    }
    failed = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed += sum(map(int, broken.groups())) if broken else 0
    length = float(counted[2]) * {"s": 1.0, "ms": 1e-3, "m": 60.0}[counted[3]]
    return loadgen.Load(int(counted[1]), failed, length, shares.get("50", 0.0), shares.get("99", 0.0))
