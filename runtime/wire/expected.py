"""What a body for a model should hold, and what was found in one: the two values that every reader here shares.

Expected --(a reader of this package, with the body)--> Decoded
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.errors import TooLargeError
from runtime.manifest import Image, Manifest
from runtime.signature import Array, Batch, Signature, TensorSpec


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one body may make the server allocate: bytes of arrays, pixels of all its images, depth of nesting, rows."""

    tensor_bytes: int = 64 << 20
    pixels: int = 24_000_000
    depth: int = 32
    rows: int = 100_000

    def check_rows(self, count: int) -> None:
        """Raise TooLargeError for more rows than may be."""
        if count > self.rows:
            raise TooLargeError(f"the request has more than {self.rows} rows (MAX_INSTANCES): send fewer at a time")


@dataclass(frozen=True, slots=True)
class Expected:
    """A model's signature, and by input name the columns and the image meaning, where the manifest tells them.

    `raw` names the inputs that take pixels as they are: no manifest speaks, but their shape and dtype leave no doubt.
    """

    signature: Signature
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    raw: frozenset[str] = frozenset()
    bounds: Bounds = Bounds()


@dataclass(slots=True)
class Decoded:
    """What a body holds. `form` is the form of the reply, as in `json_reply`; `single`: one row, told as such."""

    form: str
    arrays: dict[str, Array]
    single: bool = False


def expected(signature: Signature, manifest: Manifest | None, bounds: Bounds) -> Expected:
    """Join the signature with what the manifest says of the inputs, or with what their shapes leave no doubt about."""
    told = {tensor.name: tensor for tensor in manifest.inputs} if manifest else {}
    features = {name: tensor.features for name, tensor in told.items() if tensor.features}
    images = {name: tensor.image for name, tensor in told.items() if tensor.image}
    raw = [
        spec
        for spec in signature.inputs
        if spec.dtype == "uint8" and spec.name not in images and _has_pixels(signature, spec)
    ]
    images |= {spec.name: Image(spec.shape[-3], spec.shape[-2], spec.shape[-1]) for spec in raw}
    return Expected(signature, features, images, frozenset(spec.name for spec in raw), bounds)


def form_of(signature: Signature) -> str:
    """The form in which bodies other than JSON are answered: by row where there are rows."""
    return "inputs" if signature.batch is Batch.NONE else "instances"


def _has_pixels(signature: Signature, spec: TensorSpec) -> bool:
    """Whether a uint8 input takes pictures as they are: height x width x 1 or 3, with or without rows."""
    rank = 3 if signature.batch is Batch.NONE else 4
    return len(spec.shape) == rank and spec.shape[-1] in (1, 3)
