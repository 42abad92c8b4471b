"""The figures of a benchmark as a table for people and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from tools.measuring import Figures

_OURS, _THEIRS = "#c8442d", "#8a9aa6"


def table(results: Mapping[str, list[Figures]]) -> str:
    """One block a case. `x` is the CPU per request as a multiple of dynolite's at as many connections."""
    lines = []
    for case, listed in results.items():
        head = f"{'conns':>6}{'CPU ms':>9}{'x':>7}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'PSS MB':>8}{'start s':>9}"
        lines += [f"{case:24}{head}"]
        own = {figures.connections: figures.cpu_ms for figures in listed if figures.name == "dynolite"}
        for one in listed:
            if not one.connections:
                lines.append(f"  {one.name:22}{'':6}{one.cpu_ms:9.3f}")
                continue
            ratio = one.cpu_ms / own[one.connections] if own.get(one.connections) else 0.0
            lines.append(
                f"  {one.name:22}{one.connections:6}{one.cpu_ms:9.3f}{ratio:7.2f}{one.per_second:9.0f}"
                f"{one.p50_ms:9.2f}{one.p99_ms:9.2f}{one.pss_mb:8.1f}{one.start_s:9.2f}"
            )
    return "\n".join(lines) + "\n"


def draw(results: Mapping[str, list[Figures]]) -> str:
    """CPU per request as bars, a group a case, each group on a scale of its own; SVG."""
    rows: list[str] = []
    top = 52
    for case, listed in results.items():
        first = min(figures.connections for figures in listed if figures.connections)
        shown = sorted((f for f in listed if f.connections in (0, first)), key=lambda f: f.cpu_ms)
        widest = max(figures.cpu_ms for figures in shown)
        rows.append(f'<text x="20" y="{top + 12}" font-weight="bold">{escape(case)}</text>')
        for figures in shown:
            top += 22
            width = max(1.5, 400 * figures.cpu_ms / widest)
            color = _OURS if figures.name == "dynolite" else _THEIRS
            label = "the bare interpreter" if figures.name == "invoke" else figures.name
            rows.append(
                f'<text x="170" y="{top + 13}" text-anchor="end">{escape(label)}</text>'
                f'<rect x="180" y="{top}" width="{width:.1f}" height="16" rx="2" fill="{color}"/>'
                f'<text x="{188 + width:.1f}" y="{top + 13}">{figures.cpu_ms:.3g} ms</text>'
            )
        top += 38
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {top}" font-family="sans-serif" font-size="13">'
        f'<rect width="680" height="{top}" fill="#ffffff"/>'
        '<text x="20" y="28" font-size="15" font-weight="bold">CPU time per prediction (less is better)</text>'
        + "".join(rows)
        + "</svg>\n"
    )
