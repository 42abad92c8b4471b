"""One TensorFlow worker for all tests of the exporter: importing it takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tools import export as exporter
from tools.jobs import Worker
from tools.options import parse_args
from tools.report import Report

Export = Callable[..., Report]


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Worker(tmp_path_factory.mktemp("worker")) as started:
        yield started


@pytest.fixture
def export(worker: Worker, tmp_path: Path) -> Export:
    """Run an export with a command line; the artifact goes to `out` under the test's own folder."""
    counted = iter(range(100))

    def run(*words: str | Path) -> Report:
        folder = tmp_path / f"run-{next(counted)}"
        folder.mkdir()
        arguments = parse_args(["--out", str(tmp_path / "out"), *map(str, words)])
        return exporter.export(arguments, folder, Console(quiet=True), worker)

    return run
