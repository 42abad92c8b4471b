"""Counting: shared by processes, cheap, and told in Prometheus's own format."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.samples import Sample

from runtime import model
from runtime.counters import Counters, Slots
from runtime.metrics import Metrics
from runtime.models import Models
from tests import models as files

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Asked:
    """A request as far as it is counted."""

    body: bytes = b"12345"
    model: Any = None
    laps: dict[str, float] = field(default_factory=dict)


def told(metrics: Metrics, models: Models | None = None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels, read by Prometheus's own parser."""
    text, media_type = metrics.exposition(models or Models())
    assert media_type.startswith("text/plain")
    samples: list[Sample] = [
        sample for family in parser.text_string_to_metric_families(text.decode()) for sample in family.samples
    ]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


def in_child(work: Any) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_a_request_is_counted_with_its_bytes_and_time() -> None:
    """By route and status; the histogram is cumulative and adds up."""
    metrics = Metrics()
    metrics.record("/predict", 200, "", Asked(), 7, 0.003)
    metrics.record("/predict", 200, "", Asked(), 7, 0.3)
    metrics.record("/predict", 400, "RequestError", Asked(b""), 9, 0.0002)
    found = told(metrics)
    ok = (("route", "/predict"), ("status", "200"))
    assert found["dynolite_requests_total", ok] == 2
    assert found["dynolite_request_bytes_total", ok] == 10
    assert found["dynolite_reply_bytes_total", ok] == 14
    assert found["dynolite_errors_total", (("kind", "RequestError"),)] == 1
    buckets = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "dynolite_request_seconds_bucket"
    }
    assert (buckets["0.00025"], buckets["0.005"], buckets["0.5"], buckets["+Inf"]) == (1, 2, 3, 3)
    assert abs(found["dynolite_request_seconds_sum", (("route", "/predict"),)] - 0.3032) < 1e-9


def test_stages_are_told_by_model_and_version() -> None:
    """A prediction's decode, queue, invoke and encode, and the model that is served."""
    loaded = model.load(files.path("packed"))
    served = Models()
    served.expect("packed", "loading")
    served.put("packed", loaded)
    metrics = Metrics()
    asked = Asked(model=loaded, laps={"decode": 0.001, "queue": 0.0, "invoke": 0.02, "encode": 0.001})
    metrics.record("/predict", 200, "", asked, 7, 0.022)
    metrics.record("/predict", 422, "RefusedError", asked, 7, 0.022)
    found = told(metrics, served)
    labels = (("model", "packed"), ("stage", "invoke"), ("version", "1.2.3"))
    assert found["dynolite_stage_seconds_sum", labels] == 0.02
    assert found["dynolite_model_failures_total", (("model", "packed"), ("version", "1.2.3"))] == 1
    assert found["dynolite_model_ready", (("model", "packed"),)] == 1
    stages = metrics.stages("packed", "1.2.3")
    assert stages["invoke"] == (1, 0.02)
    assert stages["failed"][0] == 1


def test_workers_count_together_and_their_counts_outlive_them() -> None:
    """Each in its slot; a new worker in an old slot counts on from what it finds."""
    counters = Counters(2)
    metrics, slots = Metrics(counters), Slots(counters)

    def work(age: int) -> None:
        slots.enter(age)
        for _ in range(1000):
            metrics.record("/predict", 200, "", Asked(), 1, 0.001)

    for age in (1, 2, 3, 4):
        slots.take(age)
        in_child(lambda age=age: work(age))
        slots.give_back(age)
    ok = (("route", "/predict"), ("status", "200"))
    assert told(metrics)["dynolite_requests_total", ok] == 4000


def test_a_process_without_a_slot_counts_for_itself() -> None:
    """It does not write where another does."""
    metrics = Metrics(Counters(1))
    metrics.record("/predict", 200, "", Asked(), 1, 0.001)
    ok = (("route", "/predict"), ("status", "200"))

    def alone() -> None:
        metrics.record("/predict", 200, "", Asked(), 1, 0.001)
        assert told(metrics)["dynolite_requests_total", ok] == 1

    in_child(alone)
    assert told(metrics)["dynolite_requests_total", ok] == 1


def test_a_full_slot_drops_new_names_and_keeps_counting_the_old() -> None:
    """However many names come, memory is bounded and nothing fails."""
    metrics = Metrics()
    metrics.record("/predict", 200, "", Asked(), 1, 0.001)
    for number in range(2000):
        metrics.record(f"/{number}", 200, "", Asked(), 1, 0.001)
    before = metrics.counters.sums()
    loaded = model.load(files.path("mlp"))
    for _ in range(5):
        metrics.record("/more", 200, "", Asked(model=loaded), 1, 0.001)
        metrics.record("/more", 200, "SomeError", Asked(model=loaded), 1, 0.001)
    after = metrics.counters.sums()
    assert {key: after[key] for key in before} == before
    metrics.record("/predict", 200, "", Asked(), 1, 0.001)
    found = told(metrics)
    assert found["dynolite_requests_total", (("route", "/predict"), ("status", "200"))] == 2
    assert ("dynolite_requests_total", (("route", "/1999"), ("status", "200"))) not in found


def test_threads_lose_no_count() -> None:
    """Adding is under a lock, though several threads answer."""
    code = (
        "import sys, threading; sys.setswitchinterval(1e-6)\n"
        "from tests.runtime.test_metrics import Asked, Metrics\n"
        "metrics = Metrics()\n"
        "def work():\n    for _ in range(3000): metrics.record('/p', 200, '', Asked(), 1, 0.001)\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(int(metrics.counters.sums()['requests\\x1f/p\\x1f200'][0]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "12000"


@pytest.mark.parametrize(
    ("accept", "media_type", "parse"),
    [
        ("", "text/plain; version=0.0.4", parser.text_string_to_metric_families),
        (
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "text/plain; version=0.0.4",
            parser.text_string_to_metric_families,
        ),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            "application/openmetrics-text; version=1.0.0",
            openmetrics.text_string_to_metric_families,
        ),
    ],
)
def test_each_format_is_read_by_its_parser(accept: str, media_type: str, parse: Callable[[str], Any]) -> None:
    """Whatever stands in a label; the families' kinds and helps are told, and histograms add up."""
    metrics = Metrics()
    odd = 'a"b\\c\nd{e}=,é'
    metrics.record(odd, 200, "", Asked(), 3, 0.003)
    metrics.record(odd, 200, "", Asked(), 3, 30.0)
    text, told_type = metrics.exposition(Models(), accept)
    assert told_type.startswith(media_type)
    families = {family.name: family for family in parse(text.decode())}
    assert {name: family.type for name, family in families.items() if "request" in name} == {
        "dynolite_requests": "counter",
        "dynolite_request_bytes": "counter",
        "dynolite_request_seconds": "histogram",
    }
    assert families["dynolite_requests"].documentation == "Requests answered."
    (requests,) = families["dynolite_requests"].samples
    assert (requests.name, requests.labels["route"], requests.value) == ("dynolite_requests_total", odd, 2)
    samples = families["dynolite_request_seconds"].samples
    counts = {sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")}
    assert (counts["0.0025"], counts["0.005"], counts["25.0"], counts["+Inf"]) == (0, 1, 1, 2)
    assert {sample.name: sample.value for sample in samples if "le" not in sample.labels} == {
        "dynolite_request_seconds_count": 2,
        "dynolite_request_seconds_sum": 30.003,
    }
