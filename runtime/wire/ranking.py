"""The best classes of an output: `?top_k=3` of /predict, `classification` of /v2. The last axis counts the classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from runtime.errors import RequestError, TooLargeError
from runtime.signature import Array

# Each is an object of some hundred bytes.
_MOST_RANKED = 100_000


def order(scores: Array, count: int, what: str) -> Array:
    """Indices of the `count` best classes (all, if there are fewer), best first; of equal ones the first, NaN last."""
    if scores.ndim == 0 or scores.dtype.kind not in "fiu":
        raise RequestError(f"{what} has no classes to rank: it holds {scores.dtype.name} of rank {scores.ndim}")
    rows = scores.size // max(scores.shape[-1], 1)
    if rows * min(count, scores.shape[-1]) > _MOST_RANKED:
        raise TooLargeError(f"{what}: more than {_MOST_RANKED} ranked classes in one reply: ask for fewer")
    # `~` turns integers of either kind around exactly: int64 has no -min, uint64 no negative at all.
    best = np.argsort(-scores if scores.dtype.kind == "f" else ~scores, axis=-1, kind="stable")
    return best[..., :count]


def top(written: Array, indices: Array, labels: tuple[str, ...]) -> Array:
    """Objects `{"label", "score", "index"}` (the label only where there is one) in the place of the classes.

    `written` holds the scores as JSON tells them, `indices` are those of `order`.
    """
    values = np.take_along_axis(written, indices, -1)
    ranked = np.empty(indices.shape, dtype=object)
    for place in np.ndindex(indices.shape):
        index = int(indices[place])
        told: dict[str, Any] = {"label": labels[index]} if index < len(labels) else {}
        ranked[place] = told | {"score": values[place], "index": index}
    return ranked
