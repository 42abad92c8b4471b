"""The model of this site: loaded once in each process, at the first request that needs it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from runtime import model
from runtime.model import Model

DEFAULT = Path(__file__).resolve().parent.parent / "digits" / "digits.tflite"


@cache
def digits() -> Model:
    """The digits model, its golden samples replayed. Safe to use from many threads. Raises ArtifactError."""
    loaded = model.load(Path(os.environ.get("DIGITS_MODEL", DEFAULT)))
    loaded.self_test()
    return loaded
