"""What the converter's messages, pages long each, mean, and what to do about it."""

from __future__ import annotations

import re

from tools.errors import ConvertError, FlexError

# One for each operator without a place, with the path of layers that it came from.
_PLACELESS = re.compile(r'fused\["(\w+):", "([^"@]*)[^\n]*?\'tf\.\w+\' op is neither a custom op nor a flex op')
_LISTED = re.compile(r"(?:TF Select ops|Flex ops|Custom ops): ([^\n]*)")
_TEXT = (
    "move the TextVectorization in front of the model: adapt it there, send the token numbers, "
    "and export the model from the Embedding on"
)
_BUCKETS = "move the bucketing or encoding in front of the model and send its result"
_UNROLL = (
    "export the Keras file (.keras or .h5) in place of the SavedModel, which fixes the batch to 1; or build the "
    "layer with unroll=True"
)
_WAYS_OUT = {
    "MaxPool3D": (
        "write MaxPooling3D as two MaxPooling2D: reshape to (batch * depth, height, width, "
        "channels) and pool, then reshape to (batch, depth, height * width, channels) and pool"
    ),
    "AvgPool3D": "write AveragePooling3D as two AveragePooling2D with reshapes between them",
    "StringLower": _TEXT,
    "StaticRegexReplace": _TEXT,
    "RegexReplace": _TEXT,
    "StringSplitV2": _TEXT,
    "RaggedTensorToTensor": _TEXT,
    "DenseBincount": _BUCKETS,
    "Bincount": _BUCKETS,
    "LookupTableFindV2": ("move the lookup in front of the model: adapt it there and send the numbers it gives"),
    "BitwiseAnd": "leave keras.ops.argmax out of the model: let it give the scores, and take the largest after it",
    "FFT": "compute the spectrum in front of the model, or write it as a Dense of cosines",
}
_OTHERWISE = "move this part in front of the model, or write it with other layers"


def explain(message: str, layers: list[str]) -> ConvertError:
    """The converter's message as an error that names the operator, its layer and the way out."""
    if "TensorListReserve" in message and "element_shape" in message:
        told = "a recurrent layer over a variable batch does not convert"
        return ConvertError(f"{told}: {_UNROLL}")
    found = dict(_PLACELESS.findall(message))
    for listed in _LISTED.findall(message):
        for name in listed.split(", "):
            found.setdefault(name.strip().removeprefix("Flex"), "")
    if found:
        return FlexError(_flex(found, layers))
    quantizer = re.search(r"not yet supported for op: '?(\w+)", message)
    if quantizer:
        return ConvertError(f"the quantizer does not know the operator {quantizer[1]} in this mode")
    return ConvertError(f"the converter refuses it: {_first(message)}")


def _flex(found: dict[str, str], layers: list[str]) -> str:
    told = []
    for operator, path in found.items():
        layer = layer_of(path, layers)
        told.append(f"{operator} (layer {layer})" if layer else operator)
    ways = list(dict.fromkeys(_WAYS_OUT.get(operator, _OTHERWISE) for operator in found))
    known = [way for way in ways if way != _OTHERWISE] or ways
    return (
        "the model needs TensorFlow's own (Flex) operators, which no small interpreter has: "
        f"{', '.join(told)}. The way out: {'; '.join(known)}"
    )


def layer_of(path: str, layers: list[str]) -> str:
    """The layer in a path such as `functional_1/pool_1/MaxPool3D`; Keras adds _1 to the names."""
    parts = path.split("/")
    for part in reversed(parts):
        for name in (part, re.sub(r"_\d+$", "", part)):
            if name in layers:
                return name
    return parts[-2] if len(parts) > 1 else ""


def _first(message: str) -> str:
    """The first line that says something, without places in the compiler."""
    for line in message.splitlines():
        said = re.sub(r"^.*?error: ", "", re.sub(r"loc\(.*\)+: ", "", line)).strip()
        if said:
            return said[:300]
    return "no reason given"
