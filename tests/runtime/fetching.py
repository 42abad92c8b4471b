"""What the tests of sources fetch, and how."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from runtime import source
from runtime.settings import from_env
from runtime.source import Found

MODEL = b"\x1c\0\0\0TFL3" + bytes(range(256)) * 4000
DIGEST = hashlib.sha256(MODEL).hexdigest()
ROOT = Path(__file__).resolve().parents[2]


def fetch(folder: Path, url: str, seconds: float = 60.0, **environ: str) -> Found:
    """Fetch, within far more time than any machine needs."""
    settings = from_env({"MODEL_URL": url, "CACHE_DIR": str(folder)} | environ)
    return source.fetch(settings.models[0], settings, source.Ask(time.monotonic() + seconds))


def fetch_once(folder: Path, url: str) -> Found:
    """What fails is not tried again, however much time there is."""
    settings = from_env({"MODEL_URL": url, "CACHE_DIR": str(folder)})
    return source.fetch(settings.models[0], settings, source.Ask(time.monotonic() + 60, retry_until=0.0))


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.tflite"))
