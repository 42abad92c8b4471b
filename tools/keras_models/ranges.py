"""What values a model's inputs take, read off its layers: indices, pixels, or numbers around a mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.keras_models.subject import Spec, Subject
from tools.plausible import Range, default_range, is_image, is_integer

_BYTES_IN = {"Rescaling", "Normalization", "Resizing"}


def input_range(subject: Subject, spec: Spec) -> Range:
    """The range of one input."""
    layers = subject.layers()
    sizes = [layer.input_dim for layer in layers if type(layer).__name__ == "Embedding"]
    if sizes and (is_integer(spec.dtype) or _feeds_embedding(layers, spec.name)):
        return Range("index", high=min(sizes))
    by_kind = {type(layer).__name__: layer for layer in layers}
    if is_image(spec.shape) and not is_integer(spec.dtype):
        return Range("pixels", high=255.0 if _BYTES_IN & by_kind.keys() else 1.0)
    normalization = by_kind.get("Normalization")
    if normalization is not None and len(subject.inputs) == 1:
        return _normalized(normalization)
    return default_range(spec.as_input())


def _feeds_embedding(layers: list[Any], name: str) -> bool:
    """Whether an Embedding takes this input as it is, though its dtype be float."""
    for layer in layers:
        if type(layer).__name__ == "Embedding" and _source(layer) == name:
            return True
    named = [layer for layer in layers if type(layer).__name__ != "InputLayer"]
    inputs = len(layers) - len(named)
    return inputs <= 1 and bool(named) and type(named[0]).__name__ == "Embedding"


def _source(layer: Any) -> str:
    """The name of the layer that the first call of `layer` took its input from."""
    try:
        history = layer.input._keras_history
    except AttributeError:
        return ""
    operation = getattr(history, "operation", None) or getattr(history, "layer", None)
    return str(getattr(operation, "name", ""))


def _normalized(layer: Any) -> Range:
    mean, variance = getattr(layer, "mean", None), getattr(layer, "variance", None)
    if mean is None or variance is None:
        return Range()
    return Range(mean=np.asarray(mean), std=np.sqrt(np.asarray(variance)))
