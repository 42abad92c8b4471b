"""Metric families as text for Prometheus: its own format 0.0.4, or OpenMetrics 1.0 where a scraper asks for that.

prometheus_client writes the same, and takes 3 MB in every worker that is scraped. Sources: prometheus.io, "Exposition
formats"; the OpenMetrics specification.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(slots=True)
class Family:
    """One metric: `kind` is counter, gauge or histogram; its samples are lines without the name's beginning."""

    name: str
    kind: str
    help: str
    lines: list[str] = field(default_factory=list)

    def add(self, labels: Mapping[str, str], value: float) -> None:
        """A sample of a counter or a gauge."""
        self.lines.append(f"{'_total' if self.kind == 'counter' else ''}{_labelled(labels)} {value!r}")

    def add_histogram(
        self, labels: Mapping[str, str], bounds: Sequence[float], counts: Sequence[float], sum_: float
    ) -> None:
        """A histogram: how many values lie between each bound and the one before, and at last above all; their sum."""
        total = 0.0
        for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
            total += count
            self.lines.append(f"_bucket{_labelled({**labels, 'le': bound})} {total!r}")
        self.lines.append(f"_count{_labelled(labels)} {total!r}")
        self.lines.append(f"_sum{_labelled(labels)} {sum_!r}")


def write(families: Iterable[Family], accept: str = "") -> tuple[bytes, str]:
    """The text and its media type: OpenMetrics if `accept` names it, the older format otherwise."""
    modern = "application/openmetrics-text" in accept
    lines: list[str] = []
    for family in families:
        # In the older format a counter's whole name is the metric's.
        name = f"{family.name}_total" if family.kind == "counter" and not modern else family.name
        lines += (f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}")
        lines += [family.name + line for line in family.lines]
    if modern:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode(), OPENMETRICS if modern else PLAIN


def _labelled(labels: Mapping[str, str]) -> str:
    pairs = ",".join([f'{name}="{value.translate(_ESCAPES)}"' for name, value in sorted(labels.items())])
    return f"{{{pairs}}}" if pairs else ""
