"""What an export found out: a table for a person, one JSON object for a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape as markup
from rich.table import Table

from runtime.artifact import Artifact
from tools import fidelity
from tools.candidates import Candidate, Prepared


@dataclass(frozen=True)
class Report:
    """The whole run: every candidate, the chosen one, and the file that was written, if any."""

    model: str
    model_bytes: int
    framework: str
    targets: tuple[str, ...]
    prepared: Prepared
    candidates: tuple[Candidate, ...]
    chosen: Candidate | None = None
    written: Artifact | None = None
    warnings: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        told: dict[str, Any] = {
            "model": self.model,
            "model_bytes": self.model_bytes,
            "framework": self.framework,
            "targets": list(self.targets),
            "data": data_line(self.prepared),
            "candidates": [_candidate(item) for item in self.candidates],
            "chosen": self.chosen.mode if self.chosen else None,
            "warnings": list(self.warnings),
        }
        if self.written:
            told["artifact"] = artifact_json(self.written)
        return told


def show(report: Report, console: Console) -> None:
    """Print the table and what became of it."""
    console.print(
        f"[bold]{markup(report.model)}[/] ({size(report.model_bytes)}, {report.framework}) "
        f"for {' and '.join(report.targets)}, {compared_on(report)} {markup(data_line(report.prepared))}"
    )
    console.print(_table(report))
    for item in report.candidates:
        if item.reason:
            console.print(f"  {item.mode}: {item.reason}", style="dim", highlight=False, markup=False)
    for warning in report.warnings:
        console.print(f"[yellow]note:[/] {markup(warning)}")
    if report.written is None:
        console.print(f"[red]Nothing was written:[/] {markup(advice(report.candidates))}")
    else:
        console.print(_wrote(report.written), soft_wrap=True)


def show_reproof(written: Artifact, told: Mapping[str, Any], console: Console) -> None:
    """Print what an artifact was proven on."""
    for target, figures in told.items():
        console.print(
            f"{target}: {figures['interpreter']} {figures['version']} answers {figures['rows']} golden samples "
            f"within {figures['max_error']:.2g}, {figures['sqnr_db']:.1f} dB"
        )
    console.print(_wrote(written), soft_wrap=True)


def data_line(prepared: Prepared) -> str:
    """Where the samples came from."""
    data = prepared.told["data"]
    if data:
        return f"{data['rows']} rows of {Path(data['source']).name}"
    return "its own golden samples" if prepared.golden is not None else "made-up samples"


def compared_on(report: Report) -> str:
    """What was done with the samples: a .tflite file may have no answers of Keras's to be compared with."""
    compared = report.prepared.given is None or any(item.fidelity for item in report.candidates)
    return "compared on" if compared else "run on"


def artifact_json(written: Artifact) -> dict[str, Any]:
    """The file that was written, as plain values."""
    return {
        "path": str(written.path),
        "sha256": written.digest,
        "bytes": written.size,
        "name": written.name,
        "version": written.version,
    }


def advice(candidates: tuple[Candidate, ...]) -> str:
    """Why no mode will do, and what to do about it."""
    if len(candidates) > 1:
        return "no mode passes"
    mode, reason = candidates[0].mode, candidates[0].reason
    if mode in ("none", "float16"):
        return reason
    return f"{reason}. Try --quantize float16, or none"


def _wrote(written: Artifact) -> str:
    return (
        f"wrote [bold]{markup(str(written.path))}[/]: {written.name} {written.version}, {size(written.size)}, "
        f"sha256 {written.digest[:12]}"
    )


def size(count: int) -> str:
    """Bytes for a reader."""
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1000:.1f} kB"
    return f"{count / 1_000_000:.1f} MB"


def table_heads(report: Report) -> list[str]:
    """The heads of the columns."""
    heads = ["mode", "size", "max error", "mean error", "SQNR dB", "top-1 same"]
    several = len(report.prepared.told["outputs"]) > 1
    metrics = [
        f"{output}: {metric} (change)" if several else f"{metric} (change)"
        for output, metric in _metric_names(report.candidates).items()
    ]
    return [*heads, *metrics, "CPU ms", "verdict"]


def row_cells(report: Report, item: Candidate) -> list[str]:
    """A candidate's cells, one for each head."""
    found = item.fidelity
    cells = [item.mode, size(item.bytes) if item.bytes else "-"]
    if found is None:
        cells += ["-", "-", "-", "-"]
    else:
        agreement = "-" if found.agreement is None else f"{found.agreement:.3f}"
        cells += [f"{found.max_error:.2g}", f"{found.mean_error:.2g}"]
        cells += ["exact" if found.sqnr_db >= fidelity.EXACT else f"{found.sqnr_db:.1f}", agreement]
    for output in _metric_names(report.candidates):
        told = found.metrics.get(output) if found else None
        cells.append(f"{told.model:.4g} ({told.model - told.keras:+.2g})" if told else "-")
    cells.append("-" if item.cpu_ms is None else f"{item.cpu_ms:.3g}")
    cells.append("chosen" if item is report.chosen else "out" if item.reason else "passes")
    return cells


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in table_heads(report):
        table.add_column(head, justify="left" if head in ("mode", "verdict") else "right")
    for item in report.candidates:
        style = "bold green" if item is report.chosen else ("dim" if item.reason else "")
        table.add_row(*row_cells(report, item), style=style)
    return table


def _metric_names(candidates: tuple[Candidate, ...]) -> dict[str, str]:
    """The metric of each output that has right answers."""
    measured = (item.fidelity.metrics for item in candidates if item.fidelity)
    return {output: metric.name for metrics in measured for output, metric in metrics.items()}


def _candidate(item: Candidate) -> dict[str, Any]:
    told: dict[str, Any] = {"mode": item.mode, "bytes": item.bytes, "reason": item.reason}
    if item.fidelity:
        told["fidelity"] = item.fidelity.to_json()
    told["proofs"] = {target: _proof(proof) for target, proof in item.proofs.items()}
    return told


def _proof(proof: Any) -> Mapping[str, Any]:
    return {
        "interpreter": proof.package,
        "version": proof.version,
        "cpu_ms": float(f"{proof.cpu_ms:.4g}"),
    }
