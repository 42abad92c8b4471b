"""What a model's outputs mean, as far as its layers tell: the activation each was made with."""

from __future__ import annotations

from typing import Any

from tools.keras_models.subject import Subject

_KNOWN = ("softmax", "sigmoid")


def activations(subject: Subject, outputs: list[str]) -> dict[str, str]:
    """`softmax`, `sigmoid` or `none` by output name; an output whose layer is unknown is left out."""
    layers = subject.layers()
    by_name = {layer.name: layer for layer in layers}
    found = {}
    for output in outputs:
        layer = by_name.get(output)
        if layer is None and len(outputs) == 1 and layers:
            layer = layers[-1]
        told = _activation(layer)
        if told:
            found[output] = told
    return found


def _activation(layer: Any) -> str:
    if layer is None:
        return ""
    kind = type(layer).__name__.lower()
    if kind in _KNOWN:
        return kind
    function = getattr(layer, "activation", None)
    if function is None:
        return ""
    name = str(getattr(function, "__name__", ""))
    if name in _KNOWN:
        return name
    return "none" if name == "linear" else ""
