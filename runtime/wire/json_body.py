"""JSON bodies to named arrays: TensorFlow Serving's forms and the tutorials' one.

    {"instances": [...]}   a row an item
    {"inputs": ...}        whole tensors
    {"features": [...]}    one vector or several

Nothing is guessed: ragged lists, mixed kinds, NaN, unknown names and keys that stand twice are each a RequestError.
The replies to them are in `json_reply`. Source of the first two: TensorFlow Serving, `json_tensor.cc`.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
from dataclasses import dataclass
from typing import Any

import orjson

from runtime.errors import RequestError, TooLargeError
from runtime.signature import Array, Batch, TensorSpec, check_names, coerce, describe
from runtime.wire import fast_json, image
from runtime.wire.expected import Decoded, Expected

# Bytes that CPython takes for an object with a member, a list, a number and its place, half a string.
_WEIGHTS = {b"{": 240, b"[": 64, b",": 32, b'"': 28}
_MOST_WEIGHT = 192 << 20
# Reading a large body takes ten times its size, for a moment, and holds Python's lock anyway.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which forms a protocol has, and whether it passes over names it does not know."""

    forms: tuple[str, ...]
    lenient: bool


PREDICT = Dialect(("instances", "inputs", "features"), lenient=False)
SERVING = Dialect(("instances", "inputs"), lenient=True)


def decode(body: bytes, expected: Expected, dialect: Dialect = PREDICT) -> Decoded:
    """Read a predict body. Raises RequestError."""
    if len(body) > fast_json.LARGE_BYTES:
        with _ONE_AT_A_TIME:
            return _decode(body, expected, dialect)
    return _decode(body, expected, dialect)


def _decode(body: bytes, expected: Expected, dialect: Dialect) -> Decoded:
    found = fast_json.decode(body, expected)
    return found if found and found.form in dialect.forms else decode_whole(body, expected, dialect)


def decode_whole(body: bytes, expected: Expected, dialect: Dialect) -> Decoded:
    """Read any predict body, by way of Python's own values. Raises RequestError."""
    try:
        value = parse(body)
        return _Reader(expected, dialect, body).read(value)
    except RecursionError:
        raise RequestError("the body is nested too deeply") from None


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`, strictly: UTF-8, no NaN, no key twice. RequestError otherwise."""
    if not body.strip():
        raise RequestError('the body is empty: expected a JSON object such as {"instances": [...]}')
    _check_weight(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {_shorten(error)}") from None
    if not isinstance(value, dict):
        raise RequestError(f"expected a JSON object, got {kind_of(value)}")
    # orjson keeps the last of two equal keys. Each member has a colon: where there are more, look closely.
    colons = body.count(b":")
    if colons != len(value) and colons != _members(value):
        _refuse_twice(body)
    return value


def _check_weight(body: bytes) -> None:
    """Refuse what would take far more memory as Python's objects than it has bytes: `[],[],[]`, millions of numbers."""
    if len(body) * max(_WEIGHTS.values()) <= _MOST_WEIGHT:
        return
    weight = sum(body.count(mark) * size for mark, size in _WEIGHTS.items())
    if weight > _MOST_WEIGHT:
        raise TooLargeError("the body has too many values for JSON: send fewer rows at a time, or tensors as bytes")


class _Reader:
    """The three forms, for one model."""

    def __init__(self, expected: Expected, dialect: Dialect, body: bytes) -> None:
        self._expected, self._dialect = expected, dialect
        self._signature = expected.signature
        self._b64 = b'"b64"' in body
        self._words = b"true" in body or b"false" in body or b"null" in body
        self._quotes = body.count(b'"')
        self._plain = False

    def read(self, value: dict[str, Any]) -> Decoded:
        """The whole body, by the one form that it has."""
        # As many quotes as the names need: the values are numbers alone.
        self._plain = not self._words and (self._quotes == 2 * len(value) or self._quotes == 2 * _members(value))
        forms = self._dialect.forms
        given = [form for form in forms if form in value]
        if len(given) != 1:
            got = f"got {either(tuple(given), 'and')} together" if given else f"got the keys {either(tuple(value))}"
            raise RequestError(f"expected exactly one of {either(forms)}, {got}")
        form = given[0]
        unknown = [key for key in value if key not in (form, "signature_name")]
        if unknown and not self._dialect.lenient:
            raise RequestError(f"unknown key {unknown[0][:80]!r} beside {form!r}")
        self._check_signature_name(value.get("signature_name", ""))
        check_depth(value[form], self._expected.bounds.depth)
        reader = {"instances": self._instances, "inputs": self._inputs, "features": self._vectors}[form]
        return reader(value[form])

    def _check_signature_name(self, name: object) -> None:
        if not isinstance(name, str):
            raise RequestError(f"'signature_name': expected a string, got {kind_of(name)}")
        if name not in ("", "serving_default", self._signature.name):
            raise RequestError(
                f'Serving signature name: "{name[:80]}" not found in signature def: '
                f"this model has {self._signature.name!r}"
            )

    def _instances(self, value: object) -> Decoded:
        """Row form: a list of values (one input), of objects by input name, or of objects by feature name."""
        signature = self._signature
        if signature.batch is Batch.NONE:
            raise RequestError("this model has no batch: send whole tensors as 'inputs'")
        if not isinstance(value, list) or not value:
            got = "an empty list" if value == [] else kind_of(value)
            raise RequestError(f"'instances': expected a list of rows, got {got}")
        if isinstance(value[0], dict) and not _is_b64(value[0]):
            return Decoded("instances", self._objects(value))
        if len(signature.inputs) > 1:
            names = either(tuple(spec.name for spec in signature.inputs), "and")
            raise RequestError(f"'instances': this model has several inputs, so each row is an object with {names}")
        spec = signature.inputs[0]
        return Decoded("instances", {spec.name: self._array(spec, value, "'instances'")})

    def _inputs(self, value: object) -> Decoded:
        """Columnar form: an object by input name, or the bare value where there is one input."""
        specs = self._signature.inputs
        if isinstance(value, dict) and not _is_b64(value):
            if self._dialect.lenient:
                value = {spec.name: value[spec.name] for spec in specs if spec.name in value}
            check_names(self._signature, value)
            arrays = {spec.name: self._array(spec, value[spec.name], f"input {spec.name!r}") for spec in specs}
            return Decoded("inputs", arrays)
        if len(specs) > 1:
            names = either(tuple(spec.name for spec in specs), "and")
            raise RequestError(f"'inputs': this model has several inputs: expected an object with {names}")
        return Decoded("inputs", {specs[0].name: self._array(specs[0], value, "'inputs'")})

    def _vectors(self, value: object) -> Decoded:
        """The tutorials' form: one row as it is, or a list of rows."""
        signature = self._signature
        if len(signature.inputs) > 1 or signature.batch is Batch.NONE:
            raise RequestError("'features' is for models with one input and a batch: use 'instances' or 'inputs'")
        if not isinstance(value, list) or not value:
            got = "an empty list" if value == [] else kind_of(value)
            raise RequestError(f"'features': expected a list, got {got}")
        spec = signature.inputs[0]
        array = self._array(spec, value, "'features'")
        if array.ndim == len(spec.shape):
            return Decoded("features", {spec.name: array})
        if array.ndim != len(spec.row_shape):
            raise RequestError(
                f"'features': expected one row of shape {describe(spec.row_shape)} or a list of such rows, "
                f"got shape {describe(array.shape)}"
            )
        return Decoded("features", {spec.name: array[None]}, single=True)

    def _objects(self, rows: list[Any]) -> dict[str, Array]:
        specs = self._signature.inputs
        names = tuple(spec.name for spec in specs)
        columns = self._expected.features.get(names[0], ()) if len(specs) == 1 else ()
        by_feature = bool(columns) and set(rows[0]) != set(names)
        keys = columns if by_feature else names
        for index, row in enumerate(rows):
            if not isinstance(row, dict) or row.keys() != set(keys):
                raise RequestError(
                    f"'instances'[{index}]: expected an object with {either(keys, 'and')}, got {_keys(row)}"
                )
        if by_feature:
            table = [[row[key] for key in keys] for row in rows]
            return {names[0]: self._array(specs[0], table, "'instances'")}
        return {
            spec.name: self._array(spec, [row[spec.name] for row in rows], f"input {spec.name!r}") for spec in specs
        }

    def _array(self, spec: TensorSpec, value: object, what: str) -> Array:
        if spec.dtype == "string":
            value = _unwrap(value) if self._b64 else value
        elif self._b64 and _holds_b64(value):
            return self._pictures(spec, value, what)
        return coerce(spec, value, what, plain=self._plain)

    def _pictures(self, spec: TensorSpec, value: object, what: str) -> Array:
        """Images as base64: a list of them, or one, which is one row (or the whole tensor of a model without rows)."""
        items = _unwrap(value if isinstance(value, list) else [value])
        if not isinstance(items, list) or not all(isinstance(item, bytes) for item in items):
            raise RequestError(f'{what}: expected {{"b64": "..."}} for each image')
        return image.decode(items, self._expected, spec)


def check_depth(value: object, limit: int) -> None:
    """Follow the first items down; RequestError past `limit` levels. Tensors are nowhere deeper."""
    depth = 1
    while isinstance(value, list | dict) and value:
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
        depth += 1
        if depth > limit:
            raise RequestError(f"the body is nested deeper than {limit} levels")


def either(words: tuple[str, ...], joint: str = "or") -> str:
    """`'a', 'b' or 'c'`, of bounded length."""
    quoted = [repr(word[:80]) for word in words[:8]]
    return f" {joint} ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1] if quoted else "none"]))


def kind_of(value: object) -> str:
    """What a value is, in JSON's words."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _is_b64(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


def _holds_b64(value: object) -> bool:
    return _is_b64(value) or (isinstance(value, list) and bool(value) and _is_b64(value[0]))


def _unwrap(value: object) -> object:
    """Replace each {"b64": "..."} by its bytes."""
    if isinstance(value, list):
        return [_unwrap(item) for item in value]
    if isinstance(value, dict) and _is_b64(value):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise RequestError('expected base64 in {"b64": "..."}') from None
    return value


def _members(value: object) -> int:
    """How many members all objects have. Lists are entered only where they begin with an object: too few is no harm."""
    if isinstance(value, dict):
        return len(value) + sum(_members(item) for item in value.values() if isinstance(item, dict | list))
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sum(_members(item) for item in value)
    return 0


def _refuse_twice(body: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in pairs:
            if key in found:
                raise RequestError(f"the key {key[:80]!r} stands twice")
            found[key] = item
        return found

    try:
        json.loads(body, object_pairs_hook=unique)
    except ValueError:  # a number of thousands of digits, say
        raise RequestError("the body is not JSON that is read here") from None


def _shorten(error: orjson.JSONDecodeError) -> str:
    return f"{error.msg.partition(':')[0]} (line {error.lineno}, column {error.colno})"[:200]


def _keys(row: object) -> str:
    return either(tuple(row), "and") if isinstance(row, dict) else kind_of(row)
