"""String tensors: arrays of Python's bytes, made of NumPy's text and bytes of fixed width."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import RequestError, TooLargeError

# Each takes some sixty bytes beside its own.
_MOST = 3_000_000


def from_array(array: NDArray[Any], what: str) -> NDArray[Any]:
    """An array of str or bytes, of fixed width or objects, as the object array of bytes that string tensors are."""
    if array.dtype.kind not in "OSU":
        raise RequestError(f"{what}: expected strings, got {array.dtype.name[:40]}")
    check_count(array.size, what)
    if array.dtype.kind == "U" and array.size:  # of which NumPy lets any 32 bits be a character
        points = np.ascontiguousarray(array).view(np.uint32)
        if points.max() > sys.maxunicode or ((points >= 0xD800) & (points <= 0xDFFF)).any():
            raise RequestError(f"{what}: holds characters that Unicode does not have")
    words = np.empty(array.size, dtype=object)
    words[:] = [word.encode() if isinstance(word, str) else word for word in array.ravel().tolist()]
    return words.reshape(array.shape)


def check_count(count: int, what: str) -> None:
    """Raise TooLargeError where so many strings, however short, would be too much: each is an object of Python's."""
    if count > _MOST:
        raise TooLargeError(f"{what}: more than {_MOST} strings: send fewer rows at a time")
