"""Where the tests of sources fetch from, and where to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import hosts
from tests.hosts import Host
from tests.runtime.fetching import MODEL


@pytest.fixture
def host() -> Iterator[Host]:
    """A host that has `MODEL` at /m.tflite."""
    with hosts.run() as running:
        running.files["/m.tflite"] = MODEL
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The cache's folder; it is not there yet, as at a first start."""
    return tmp_path / "cache"
