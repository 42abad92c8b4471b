"""What an artifact says of itself: `manifest.json`, as frozen dataclasses.

Unknown fields are ignored, so that an older reader takes a newer file; `reader` is the lowest format number that a
reader must know. Every dataclass is written field by field, empty ones left out.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any

from runtime.errors import ArtifactError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Image:
    """How an input takes an image: pixels (0..255) are multiplied by `scale`, then (x - mean) / std a channel."""

    height: int
    width: int
    channels: int
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output: its client-side dtype and shape, whether dimension 0 is the batch, and what it means."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    batch: bool = True
    features: tuple[str, ...] = ()
    image: Image | None = None
    labels: bool = False
    activation: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """An interpreter that has run this very file: its package name and version."""

    interpreter: str
    version: str


@dataclass(frozen=True, slots=True)
class Flatbuffer:
    """The front of the file: its length in bytes and SHA-256 in hex. They tell a real tail from chance."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of `manifest.json`. `fidelity` and `provenance` are plain JSON objects that are shown, not acted upon."""

    name: str
    version: str
    flatbuffer: Flatbuffer
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    proven_on: tuple[Proof, ...] = ()
    quantization: str = "none"
    fidelity: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    reader: int = FORMAT


def dumps(manifest: Manifest) -> bytes:
    """The manifest as JSON a person can read, the same bytes for the same content."""
    return json.dumps(to_json(manifest), indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def loads(data: bytes) -> Manifest:
    """The manifest in `data`; ArtifactError names the field that is missing or wrong."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise ArtifactError("manifest.json is not JSON") from None
    reader = value.get("reader", 0) if isinstance(value, dict) else 0
    if isinstance(reader, int) and reader > FORMAT:
        raise ArtifactError(
            f"the artifact needs a reader of format {reader}, this one reads format {FORMAT}: update dynolite"
        )
    manifest: Manifest = _build(Manifest, value, "manifest")
    return manifest


def to_json(value: object) -> Any:
    """A dataclass as plain JSON values, empty optional fields left out."""
    if is_dataclass(value) and not isinstance(value, type):
        told = ((f, getattr(value, f.name)) for f in fields(value))
        return {f.name: to_json(item) for f, item in told if _required(f) or item not in (None, (), "", {})}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    return value


def _required(told: Field[Any]) -> bool:
    """A field without a default is always written: the shape of a single number is empty, and means it."""
    return told.default is MISSING and told.default_factory is MISSING


def _build(kind: Any, value: object, where: str) -> Any:
    """Make a value of type `kind` from JSON, checking as it goes."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _build(arguments[0], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ArtifactError(f"{where}: expected a list")
        return tuple(_build(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if kind is float and type(value) is int:
        return float(value)
    expected = dict if origin is not None else kind
    if type(value) is not expected:
        raise ArtifactError(f"{where}: expected {expected.__name__}, got {type(value).__name__}")
    return value


def _build_dataclass(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise ArtifactError(f"{where}: expected an object")
    hints = typing.get_type_hints(kind)
    known = {f.name for f in fields(kind)}
    given = {name: _build(hints[name], item, f"{where}.{name}") for name, item in value.items() if name in known}
    try:
        return kind(**given)
    except TypeError:
        missing = sorted(known - given.keys())
        raise ArtifactError(f"{where}: lacks one of {', '.join(missing)}") from None
