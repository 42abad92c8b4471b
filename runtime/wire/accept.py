"""In which form a client wants its reply: JSON, .npy (one array) or .npz (several by name), by its Accept header."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from runtime.errors import NotAcceptableError, TooLargeError
from runtime.signature import Array
from runtime.wire import npy

JSON, NPY, NPZ = "application/json", "application/x-npy", "application/x-npz"
_NAMES = {
    JSON: JSON,
    NPY: NPY,
    "application/npy": NPY,
    "application/vnd.numpy.npy": NPY,
    NPZ: NPZ,
    "application/npz": NPZ,
    "*/*": JSON,
    "application/*": JSON,
}


# What nearly all clients send.
ANYTHING = ("", "*/*", JSON)


def choose(accept: str) -> str:
    """JSON, NPY or NPZ: the one that the client likes best, JSON where it does not say. Raises NotAcceptableError."""
    if accept in ANYTHING or not accept.strip():
        return JSON
    best, liked = "", 0.0
    for item in accept.split(","):
        name, _, rest = item.partition(";")
        found = _NAMES.get(name.strip().lower(), "")
        weight = _weight(rest)
        if found and weight > liked:
            best, liked = found, weight
    if not best:
        raise NotAcceptableError(f"replies are {JSON}, {NPY} or {NPZ}; the request accepts {accept[:80]!r}")
    return best


def write(media_type: str, arrays: Mapping[str, Array], limit: int) -> bytes:
    """The arrays as NPY (the only one) or NPZ, strings in at most `limit` bytes each array.

    Raises NotAcceptableError, TooLargeError for strings that these formats cannot hold.
    """
    ready = {name: _fixed(name, array, limit) if array.dtype.kind == "O" else array for name, array in arrays.items()}
    return npy.dumps_npz(ready) if media_type == NPZ else npy.dumps(np.asarray(next(iter(ready.values()))))


def _fixed(name: str, array: Array, limit: int) -> Array:
    """Strings as NumPy's files have them: each in the width of the longest, filled up with NULs."""
    words = array.ravel().tolist()
    if any(word.endswith(b"\0") for word in words):
        raise NotAcceptableError(f"output {name!r} has a string that ends in NUL, which NumPy's files lose: take JSON")
    if max(map(len, words), default=0) * len(words) > limit:
        raise TooLargeError(f"output {name!r}: strings of so unequal length are too large for NumPy: take JSON")
    return array.astype("S")


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
