"""JSON Schemas of what tensors hold, for `runtime.openapi`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from runtime.signature import FLOAT_BOUND, TensorSpec

Json = dict[str, Any]


def element(spec: TensorSpec) -> Json:
    """One value of an input."""
    dtype = spec.client_dtype
    if dtype == "string":
        return {"type": "string"}
    if dtype == "bool":
        return {"type": "boolean"}
    if dtype in FLOAT_BOUND:
        bound = min(FLOAT_BOUND[dtype], sys.float_info.max)
        return {"type": "number", "exclusiveMinimum": -bound, "exclusiveMaximum": bound}
    limits = np.iinfo(dtype)
    return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}


def nested(element: Json, shape: tuple[int, ...]) -> Json:
    """Lists within lists of this shape; -1 is any length from 1 on."""
    for size in reversed(shape):
        bounds = {"minItems": size, "maxItems": size} if size >= 0 else {"minItems": 1}
        element = {"type": "array", "items": element} | bounds
    return element


def exactly(items: list[Json]) -> Json:
    """A list of these items, each in its place."""
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items), "maxItems": len(items)}


def record(properties: Json, required: list[str], *, extra: bool) -> Json:
    """An object; `extra`: other keys are passed over."""
    told: Json = {"type": "object", "properties": properties, "required": required}
    return told if extra else told | {"additionalProperties": False}
