"""What is counted of each request, and how it is told to Prometheus.

Counting adds to a few numbers in memory that the workers share (`runtime.counters`), which costs microseconds;
prometheus_client, which writes them out, is imported when /metrics is first asked for.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runtime.counters import Counters
from runtime.models import Models

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

STAGES = ("decode", "queue", "invoke", "encode")
# Upper bounds in seconds: from a small model's microseconds to the router's limit.
BUCKETS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)
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
                    values[at + bisect_left(BUCKETS, seconds)] += 1
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
        from prometheus_client import CollectorRegistry  # noqa: PLC0415 - 30 ms that only a scraped server pays
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(self.counters, models))
        encoder, media_type = choose_encoder(accept)
        return encoder(registry), media_type


class _Collector:
    """The sums as prometheus_client's metric families."""

    def __init__(self, counters: Counters, models: Models) -> None:
        self._sums, self._processes, self._models = counters.sums(), counters.processes(), models

    def collect(self) -> Iterator[Metric]:
        """Every family, for one exposition."""
        from prometheus_client.metrics_core import CounterMetricFamily as Counter  # noqa: PLC0415

        route = ["route", "status"]
        families = (
            Counter("dynolite_requests", "Requests answered.", labels=route),
            Counter("dynolite_request_bytes", "Bytes of request bodies.", labels=route),
            Counter("dynolite_reply_bytes", "Bytes of reply bodies.", labels=route),
        )
        for (rule, status), numbers in self._of("requests"):
            for family, number in zip(families, numbers, strict=True):
                family.add_metric([rule, status], number)
        yield from families
        errors = Counter("dynolite_errors", "Requests that failed, by the kind of error.", labels=["kind"])
        for (kind,), (number,) in self._of("errors"):
            errors.add_metric([kind], number)
        yield errors
        failures = Counter("dynolite_model_failures", "Predictions begun that failed.", labels=["model", "version"])
        for labels, (number,) in self._of("failures"):
            failures.add_metric(labels, number)
        yield failures
        yield from self._histograms()
        yield from self._gauges()

    def _histograms(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import HistogramMetricFamily as Histogram  # noqa: PLC0415

        whole = Histogram("dynolite_request_seconds", "Time to answer a request.", labels=["route"])
        for labels, numbers in self._of("seconds"):
            whole.add_metric(labels, *_cumulated(numbers))
        yield whole
        names = ["model", "version", "stage"]
        stages = Histogram("dynolite_stage_seconds", "Time of each stage of a prediction.", labels=names)
        for labels, numbers in self._of("stages"):
            for index, stage in enumerate(STAGES):
                stages.add_metric([*labels, stage], *_cumulated(numbers[index * _WIDTH : (index + 1) * _WIDTH]))
        yield stages

    def _gauges(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import GaugeMetricFamily as Gauge  # noqa: PLC0415

        ready = Gauge("dynolite_model_ready", "1 when the model can be asked.", labels=["model"])
        info = Gauge("dynolite_model_info", "The model that is served.", labels=["model", "version", "digest"])
        for state in self._models.states.values():
            ready.add_metric([state.name], float(state.model is not None))
            for model in (one.model for one in state.each if one.model):
                source = model.artifact
                info.add_metric([state.name, source.version, source.digest[:12]], 1.0)
        yield from (ready, info)
        started = Gauge("dynolite_start_time_seconds", "When the server started, in seconds since 1970.")
        started.add_metric([], self._models.started)
        yield started
        memory = Gauge(
            "dynolite_memory_bytes", "Memory of each process; pss counts shared pages once.", labels=["process", "kind"]
        )
        for process, kind, size in _memory(self._processes):
            memory.add_metric([process, kind], size)
        yield memory

    def _of(self, what: str) -> Iterator[tuple[list[str], list[float]]]:
        """The labels and numbers of every key of that kind."""
        for key, numbers in sorted(self._sums.items()):
            kind, *labels = key.split(_BETWEEN)
            if kind == what:
                yield labels, numbers


def _key(*parts: str) -> str:
    return _BETWEEN.join(parts)


def _cumulated(numbers: list[float]) -> tuple[list[tuple[str, float]], float]:
    """A histogram's buckets as Prometheus has them, each with all below it, and its sum."""
    told, total = [], 0.0
    for bound, number in zip((*map(str, BUCKETS), "+Inf"), numbers, strict=False):
        total += number
        told.append((bound, total))
    return told, numbers[_SUM]


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
