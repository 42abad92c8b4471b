"""Named arrays to JSON, in the form of the request.

    instances -> {"predictions": [...]}     inputs -> {"outputs": ...}     features -> {"prediction": ...}

Each float is written in the shortest form that reads back as the same float of its own width, integers exactly. JSON
has no NaN and no infinities: `settle` makes of them what the operator chose, before anything is written.
Source of the first two forms: TensorFlow Serving, `json_tensor.cc`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from runtime.errors import RefusedError, RequestError, UnsupportedError
from runtime.signature import Array, all_below
from runtime.wire.expected import Decoded

NON_FINITE = ("null", "string", "error")
# The dtypes of numbers that orjson writes itself, as NumPy's characters: neither float16 nor complex numbers.
_PLAIN = "fdbBhHiIlLqQ?"
_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def settle(outputs: Mapping[str, Array], choice: str) -> tuple[Mapping[str, Any], bool]:
    """The outputs as JSON can tell them, and whether any held NaN or an infinity. Raises UnsupportedError.

    `choice` is one of NON_FINITE: `null` writes them as null, `string` as "NaN", "Infinity" and "-Infinity", `error`
    raises RefusedError.
    """
    odd = [name for name, array in outputs.items() if array.dtype.kind == "f" and not all_below(array, np.inf)]
    if odd and choice == "error":
        raise RefusedError(f"for this input the model's output {odd[0]!r} holds NaN or an infinity")
    spelt = odd if choice == "string" else ()
    return {name: _spell(array) if name in spelt else _tellable(array) for name, array in outputs.items()}, bool(odd)


def is_plain(outputs: Mapping[str, Array]) -> bool:
    """Whether orjson can write these outputs as they are, NaN and infinities as null."""
    for array in outputs.values():  # noqa: SIM110 - a generator would take as long as all else here
        if array.dtype.char not in _PLAIN:
            return False
    return True


def encode(decoded: Decoded, outputs: Mapping[str, Any], rows: int | None) -> bytes:
    """The reply in the form of the request. `rows`: their number, None where the model has no batch.

    Raises RequestError when row form is asked of outputs that have no rows.
    """
    for name, array in outputs.items():
        if name.endswith("_bytes") and array.dtype.kind in "OS":
            outputs = {**outputs, name: _all_b64(array)}
    if decoded.form == "inputs":
        return dumps({"outputs": _bare(outputs)})
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != rows:
            raise RequestError(f"output {name!r} has no row for each instance: send 'inputs' instead")
    values: Any = _bare(outputs)
    if decoded.form == "features":
        if decoded.single:
            values = _bare({name: array[0] for name, array in outputs.items()})
        return dumps({"prediction": values})
    if len(outputs) > 1:
        values = [{name: array[row] for name, array in outputs.items()} for row in range(rows or 0)]
    return dumps({"predictions": values})


def dumps(value: Any) -> bytes:
    """Any mixture of JSON values, arrays and bytes as JSON."""
    return orjson.dumps(value, default=plain, option=orjson.OPT_SERIALIZE_NUMPY)


def plain(value: Any) -> Any:
    """What orjson does not write itself: arrays of objects or of other layouts, bytes, NumPy's scalars."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OSU":
            return list(value) if value.ndim else value[()]
        return np.ascontiguousarray(value) if value.ndim else value[()]
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"no JSON for {type(value).__name__}")


def _bare(outputs: Mapping[str, Any]) -> Any:
    """One output without its name, several by name."""
    return next(iter(outputs.values())) if len(outputs) == 1 else dict(outputs)


def _tellable(array: Array) -> Array:
    """float16 in its own shortest form, which orjson does not know."""
    if array.dtype.kind == "c":
        raise UnsupportedError(f"an output is {array.dtype.name}, which JSON does not carry: accept .npy instead")
    return _short(array) if array.dtype == np.float16 else array


def _short(array: Array) -> Array:
    """float16 or float32 as the float64 of the same shortest decimal form: 0.1 instead of 0.0999755859375."""
    return array.astype("U32").astype(np.float64)


def _spell(array: Array) -> Array:
    """The array as objects, its NaN and infinities as words."""
    objects = (array if array.dtype == np.float64 else _short(array)).astype(object)
    for index in map(tuple, np.argwhere(~np.isfinite(array))):
        objects[index] = _WORDS[str(objects[index])]
    return objects


def _text(value: bytes) -> Any:
    """Bytes as text where they are UTF-8, else as TensorFlow Serving writes them."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _b64(value)


def _b64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _all_b64(array: Array) -> Array:
    """A string tensor whose name ends in `_bytes`: each item in base64, whatever it holds."""
    items = np.empty(array.size, dtype=object)
    items[:] = [_b64(item) for item in array.ravel()]
    return items.reshape(array.shape)
