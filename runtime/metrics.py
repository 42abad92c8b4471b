"""What is counted of each request, and how it is told to Prometheus.

Counting adds to a few numbers in memory that the workers share (`runtime.counters`), which costs microseconds.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from runtime import exposition
from runtime.counters import Counters
from runtime.exposition import Family
from runtime.models import Models

STAGES = ("decode", "queue", "invoke", "encode")
# Upper bounds in seconds: from a small model's microseconds to the router's limit.
BUCKETS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)
_FIRST = BUCKETS[0]
_INFINITY, _SUM, _WIDTH = len(BUCKETS), len(BUCKETS) + 1, len(BUCKETS) + 2
_BETWEEN = "\x1f"


class Counted(Protocol):
    """What is counted of a request."""

    body: bytes
    model: Any
    laps: dict[str, float]


class Metrics:
    """The counts of this server. Made before the workers are forked."""

    def __init__(self, counters: Counters | None = None) -> None:
        self.counters = counters or Counters()

    def record(self, rule: str, status: int, error: str, request: Counted, sent: int, seconds: float) -> None:
        """Count one answered request: its route's rule, status, kind of error ("" for none), bytes and times."""
        counters, model = self.counters, request.model
        kind = rule, status, model
        with counters.lock:
            values = counters.values
            places = counters.places.get(kind) or self._places(kind)
            at = places[0]
            values[at] += 1
            values[at + 1] += len(request.body)
            values[at + 2] += sent
            at = places[1]
            values[at + bisect_left(BUCKETS, seconds)] += 1
            values[at + _SUM] += seconds
            if error:
                values[counters.index(_key("errors", error))] += 1
                if model is not None:
                    values[counters.index(_key("failures", model.name, model.artifact.version))] += 1
            elif model is not None:
                at = places[2]
                for stage in STAGES:
                    seconds = request.laps.get(stage, 0.0)
                    # Most stages are in the first bucket.
                    values[at if seconds <= _FIRST else at + bisect_left(BUCKETS, seconds)] += 1
                    values[at + _SUM] += seconds
                    at += _WIDTH

    def _places(self, kind: tuple[str, int, Any]) -> tuple[int, int, int]:
        """Where such requests, their times and their model's stages are counted. Under the lock."""
        counters, (rule, status, model) = self.counters, kind
        stages = 0
        if model is not None:
            stages = counters.index(_key("stages", model.name, model.artifact.version), len(STAGES) * _WIDTH)
        requests = counters.index(_key("requests", rule, str(status)), 3)
        counters.places[kind] = requests, counters.index(_key("seconds", rule), _WIDTH), stages
        return counters.places[kind]

    def stages(self, model: str, version: str) -> dict[str, tuple[int, float]]:
        """Of one model's answered predictions: each stage's count and seconds, and of its failures under "failed"."""
        sums = self.counters.sums()
        numbers = sums.get(_key("stages", model, version), [0.0] * (len(STAGES) * _WIDTH))
        failed = sums.get(_key("failures", model, version), [0.0])[0]
        told = {}
        for index, stage in enumerate(STAGES):
            part = numbers[index * _WIDTH : (index + 1) * _WIDTH]
            told[stage] = (int(sum(part[: _INFINITY + 1])), part[_SUM])
        return told | {"failed": (int(failed), 0.0)}

    def exposition(self, models: Models, accept: str = "") -> tuple[bytes, str]:
        """All of it in a Prometheus text format, and the media type: that which `accept` asks for."""
        return exposition.write(self._families(models), accept)

    def _families(self, models: Models) -> Iterator[Family]:
        sums = [(key.split(_BETWEEN), numbers) for key, numbers in sorted(self.counters.sums().items())]
        counters = (
            Family("dynolite_requests", "counter", "Requests answered."),
            Family("dynolite_request_bytes", "counter", "Bytes of request bodies."),
            Family("dynolite_reply_bytes", "counter", "Bytes of reply bodies."),
        )
        errors = Family("dynolite_errors", "counter", "Requests that failed, by the kind of error.")
        failures = Family("dynolite_model_failures", "counter", "Predictions begun that failed.")
        whole = Family("dynolite_request_seconds", "histogram", "Time to answer a request.")
        stages = Family("dynolite_stage_seconds", "histogram", "Time of each stage of a prediction.")
        for (what, *labels), numbers in sums:
            if what == "requests":
                for family, number in zip(counters, numbers, strict=True):
                    family.add({"route": labels[0], "status": labels[1]}, number)
            elif what == "errors":
                errors.add({"kind": labels[0]}, numbers[0])
            elif what == "failures":
                failures.add({"model": labels[0], "version": labels[1]}, numbers[0])
            elif what == "seconds":
                whole.add_histogram({"route": labels[0]}, BUCKETS, numbers[:_SUM], numbers[_SUM])
            elif what == "stages":
                for index, stage in enumerate(STAGES):
                    part = numbers[index * _WIDTH : (index + 1) * _WIDTH]
                    told = {"model": labels[0], "version": labels[1], "stage": stage}
                    stages.add_histogram(told, BUCKETS, part[:_SUM], part[_SUM])
        yield from (*counters, errors, failures, whole, stages)
        yield from _gauges(models, self.counters.processes())


def _gauges(models: Models, processes: Mapping[int, int]) -> Iterator[Family]:
    ready = Family("dynolite_model_ready", "gauge", "1 when the model can be asked.")
    info = Family("dynolite_model_info", "gauge", "The model that is served.")
    for state in models.states.values():
        ready.add({"model": state.name}, float(state.model is not None))
        for model in (one.model for one in state.each if one.model):
            source = model.artifact
            info.add({"model": state.name, "version": source.version, "digest": source.digest[:12]}, 1.0)
    started = Family("dynolite_start_time_seconds", "gauge", "When the server started, in seconds since 1970.")
    started.add({}, models.started)
    memory = Family("dynolite_memory_bytes", "gauge", "Memory of each process; pss counts shared pages once.")
    for process, kind, size in _memory(processes):
        memory.add({"process": process, "kind": kind}, float(size))
    yield from (ready, info, started, memory)


def _key(*parts: str) -> str:
    return _BETWEEN.join(parts)


def _memory(processes: Mapping[int, int]) -> Iterator[tuple[str, str, int]]:
    """(process, kind, bytes) of the workers by slot and of their master, or of this process alone.

    Nothing where there is no /proc.
    """
    pids = {f"worker-{slot}": pid for slot, pid in processes.items()}
    pids |= {"master": os.getppid()} if os.getpid() in processes.values() else {"server": os.getpid()}
    for name, pid in pids.items():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {line.split(":")[0]: line.split()[1] for line in lines[1:] if line.endswith("kB")}
        for kind in ("Rss", "Pss"):
            yield name, kind.lower(), int(sizes[kind]) << 10
