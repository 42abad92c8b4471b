"""What a slug weighs, by package: gzip bytes, because that is what is stored, sent and counted."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
from collections import defaultdict
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import NamedTuple


class Part(NamedTuple):
    """One package, CPython, or the app: bytes on disk, and of its files packed by themselves."""

    name: str
    disk_bytes: int
    gzip_bytes: int


def weigh(app: Path) -> tuple[list[Part], int]:
    """The parts of the slug in this folder, the heaviest first, and the gzip bytes of the whole."""
    owners = _owners(app)
    groups: dict[str, list[Path]] = defaultdict(list)
    files = [path for path in sorted(app.rglob("*")) if path.is_file() or path.is_symlink()]
    for path in files:
        groups[_owner(path.relative_to(app), owners)].append(path)
    parts = [Part(name, sum(p.lstat().st_size for p in paths), packed(app, paths)) for name, paths in groups.items()]
    return sorted(parts, key=lambda part: -part.gzip_bytes), packed(app, files)


def packed(root: Path, paths: Iterable[Path]) -> int:
    """Bytes of a .tar.gz of these files."""
    sink = _Counter()
    with (
        gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=6, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w|") as archive,
    ):
        for path in paths:
            archive.add(path, str(path.relative_to(root)), recursive=False)
    return sink.count


class _Counter(io.RawIOBase):
    count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.count += len(data)
        return len(data)


def _owners(app: Path) -> dict[str, str]:
    """The distribution of each name at the top of site-packages, by the RECORD files."""
    owners: dict[str, str] = {}
    for record in app.glob(".heroku/python/lib/python3.*/site-packages/*.dist-info/RECORD"):
        name = record.parent.name.partition("-")[0].replace("_", "-")
        owners[record.parent.name] = name
        for row in csv.reader(io.StringIO(record.read_text())):
            if row and not row[0].startswith(".."):
                owners[row[0].partition("/")[0]] = name
    return owners


def _owner(path: Path, owners: dict[str, str]) -> str:
    parts = path.parts
    if parts[:2] != (".heroku", "python"):
        return "dynolite"
    if "site-packages" in parts:
        top = parts[parts.index("site-packages") + 1]
        return owners.get(top, owners.get(top.partition(".")[0], top))
    return "pip (in ensurepip)" if "ensurepip" in parts else "CPython"


def table(parts: list[Part], total: int) -> str:
    """The parts as text. Their sum is a little more than the whole, which is packed in one piece."""
    lines = [f"{'part':28}{'on disk':>12}{'gzip':>10}"]
    lines += [f"{part.name:28}{part.disk_bytes / 1e6:9.2f} MB{part.gzip_bytes / 1e6:7.2f} MB" for part in parts]
    disk = sum(part.disk_bytes for part in parts)
    return "\n".join([*lines, f"{'the slug':28}{disk / 1e6:9.2f} MB{total / 1e6:7.2f} MB"]) + "\n"


def draw(parts: list[Part], total: int) -> str:
    """The parts as bars, SVG."""
    shown = [part for part in parts if part.gzip_bytes > 50_000]
    widest = max(part.gzip_bytes for part in shown)
    rows = []
    for number, part in enumerate(shown):
        top, width = 44 + 24 * number, 420 * part.gzip_bytes / widest
        rows.append(
            f'<text x="160" y="{top + 13}" text-anchor="end">{escape(part.name)}</text>'
            f'<rect x="170" y="{top}" width="{width:.1f}" height="17" rx="2" fill="#2f6f9f"/>'
            f'<text x="{178 + width:.1f}" y="{top + 13}">{part.gzip_bytes / 1e6:.1f} MB</text>'
        )
    height = 60 + 24 * len(shown)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {height}" font-family="sans-serif" font-size="13">'
        f'<rect width="680" height="{height}" fill="#ffffff"/>'
        f'<text x="20" y="26" font-size="15" font-weight="bold">The slug: {total / 1e6:.1f} MB after gzip</text>'
        + "".join(rows)
        + "</svg>\n"
    )
