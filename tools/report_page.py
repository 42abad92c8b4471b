"""The report as one self-contained HTML page: the table, a picture, error histograms, differing answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from tools import arrays, fidelity, pictures
from tools.arrays import Array
from tools.candidates import Candidate
from tools.errors import DataError
from tools.report import Report, advice, compared_on, data_line, row_cells, table_heads

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child,td:last-child,th:last-child{text-align:left}tr.chosen{background:#e6f4ea;font-weight:600}
tr.out{color:#888}svg{max-width:100%;height:auto}figure{margin:1rem 0}img{image-rendering:pixelated}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}td,th{border-color:#444}tr.chosen{background:#1d3a26}
svg{background:#ddd}}
"""
_SHOWN = 20


def write(path: Path, report: Report) -> None:
    """Write the page; DataError where that cannot be."""
    try:
        path.write_text(page(report), "utf-8")
    except OSError as error:
        raise DataError(f"--report {path}: cannot be written: {error.strerror}") from None


def page(report: Report) -> str:
    """The whole page; it loads nothing from anywhere."""
    title = f"Export of {escape(report.model)}"
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head><body>',
            f"<h1>{title}</h1>",
            *_introduction(report),
            *_table(report),
            *_picture(report),
            *_details(report),
            "</body></html>\n",
        ]
    )


def _introduction(report: Report) -> Iterator[str]:
    targets = " and ".join(report.targets)
    done = f"{compared_on(report)} {data_line(report.prepared)}"
    yield f"<p>{escape(report.framework)}, for {targets}, {escape(done)}.</p>"
    for warning in report.warnings:
        yield f"<p><em>Note: {escape(warning)}</em></p>"
    if report.written:
        told = report.written
        yield f"<p>Written: <code>{escape(told.path.name)}</code>, {told.size} bytes,"
        yield f"sha256 <code>{told.digest}</code></p>"
    else:
        yield f"<p><strong>Nothing was written: {escape(advice(report.candidates))}</strong></p>"


def _table(report: Report) -> Iterator[str]:
    yield "<h2>Modes</h2><table><tr>"
    yield "".join(f"<th>{escape(head)}</th>" for head in table_heads(report)) + "</tr>"
    for item in report.candidates:
        kind = "chosen" if item is report.chosen else "out" if item.reason else ""
        cells = row_cells(report, item)
        cells[-1] = item.reason or cells[-1]
        yield f'<tr class="{kind}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table>"


def _picture(report: Report) -> Iterator[str]:
    points = [
        pictures.Point(item.mode, item.cpu_ms, item.fidelity.sqnr_db, item.bytes, chosen=item is report.chosen)
        for item in report.candidates
        if item.fidelity is not None and item.cpu_ms is not None
    ]
    if points:
        yield "<h2>Speed, nearness and size</h2><figure>"
        yield pictures.scatter(points)
        yield "<figcaption>Left is faster, up is nearer to Keras, a larger disc is a larger file.</figcaption></figure>"


def _details(report: Report) -> Iterator[str]:
    chosen = report.chosen
    keras = report.prepared.keras()
    if chosen is None or not keras:
        return
    given = next(iter(chosen.proofs.values())).outputs
    yield f"<h2>Errors of {escape(chosen.mode)}, by output</h2>"
    for name in sorted(given):
        if given[name].dtype.kind == "f":
            difference = np.asarray(given[name], float) - keras[name][: len(given[name])]
            yield f"<figure>{pictures.histogram(difference)}<figcaption>{escape(name)}</figcaption></figure>"
    yield from _differing(report, chosen, keras, given)


def _differing(
    report: Report, chosen: Candidate, keras: Mapping[str, Array], given: Mapping[str, Array]
) -> Iterator[str]:
    """For classifiers: the rows where Keras and the interpreter answer another class."""
    for name in sorted(given):
        told = keras[name][: len(given[name])]
        if told.ndim != 2 or chosen.fidelity is None or chosen.fidelity.outputs[name].agreement is None:
            continue
        one, other = fidelity.top(told, told), fidelity.top(given[name], told)
        rows = np.flatnonzero(one != other)
        samples = arrays.load(report.prepared.folder / "samples")
        yield f"<h2>Where {escape(name)} differs</h2>"
        if not len(rows):
            yield f"<p>Nowhere, in {len(other)} rows.</p>"
            continue
        yield f"<p>{len(rows)} of {len(other)} rows" + (f", {_SHOWN} shown" if len(rows) > _SHOWN else "") + ".</p>"
        yield f"<table><tr><th>row</th><th>Keras</th><th>{escape(chosen.mode)}</th><th>sample</th></tr>"
        for row in rows[:_SHOWN]:
            cells = f"<td>{row}</td><td>{_label(report, one[row])}</td><td>{_label(report, other[row])}</td>"
            yield f"<tr>{cells}<td>{_sample(samples, int(row))}</td></tr>"
        yield "</table>"


def _label(report: Report, number: Any) -> str:
    labels = report.written.labels if report.written else ()
    return escape(labels[int(number)]) if int(number) < len(labels) else str(int(number))


def _sample(samples: Mapping[str, Array], row: int) -> str:
    """The row as a small picture where it is one, else its first numbers."""
    first = next(iter(samples.values()))[row]
    if first.ndim == 3 and first.shape[2] in (1, 3):
        return pictures.thumbnail(np.asarray(first, float))
    numbers = ", ".join(f"{value:.3g}" for value in np.ravel(first)[:8]) if first.dtype.kind in "fiu" else str(first)
    return escape(numbers[:120])
