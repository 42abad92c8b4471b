"""Why a Keras cannot load a file, in a line that says what to do."""

from __future__ import annotations

import re

from tools.errors import SourceFileError
from tools.model_files import ModelFile

_UNKNOWN_CLASS = re.compile(r"(?:Could not locate class|Unknown layer:|Unknown object:?|class) '(\w+)'")
_UNKNOWN = re.compile(r"Unknown (?:layer|object|activation function|initializer|regularizer)[^\w]*'?(\w+)'?")
_OTHER_WEIGHTS = re.compile(
    r"expected \d+ (?:variables|layers)|weights? count|[Ll]ayer count|layers? into a model|shape mismatch|incompatible"
)
_FUNCTION = re.compile(r"Could not locate function '(\w+)'")
_BYTECODE = re.compile(r"'\w+': \{'value': \['4w")  # a lambda as tf-keras writes it; no Keras reads that
_CAUSE = "Exception encountered:"  # what tf-keras puts between the layer at hand and what is wrong with it


def explain(message: str, file: ModelFile) -> SourceFileError:
    """The loader's message as an error with the way out."""
    name = file.path.name
    cause = message.rpartition(_CAUSE)[2]
    if "<lambda>" in cause or _BYTECODE.search(message):
        return SourceFileError(
            f"{name} has a lambda as an activation or another function of a layer, which Keras saves in a form that it "
            f"cannot load: build the model with it in code, --architecture module:function --weights {name}"
        )
    if "safe_mode=False" in message:
        return untrusted(name, ["a layer's function"])
    unknown = _FUNCTION.search(cause) or _UNKNOWN.search(cause) or _UNKNOWN_CLASS.search(cause)
    if (unknown and "locate" in cause) or "Unknown" in cause:
        what = unknown[1] if unknown else "something"
        return SourceFileError(
            f"{name} uses {what}, which is not Keras's own: give the module that defines it, --custom-objects MODULE "
            f"(with {what} in it, under that name)"
        )
    return _otherwise(message, file)


def _otherwise(message: str, file: ModelFile) -> SourceFileError:
    """What is wrong with weights, bytecode, or the rest."""
    name = file.path.name
    if "not yet been built" in message:
        return SourceFileError(
            f"{name}: the weights cannot be given to a model that was never called: let the function that builds it "
            "call it once on data of the right shape, model(numpy.zeros((1, ...))), before it returns it"
        )
    if "marshal" in message or "bad marshal data" in message:
        return SourceFileError(
            f"{name} has a Lambda whose bytecode another Python wrote: load it with that Python, replace the Lambda "
            "by a layer of its own, and save it again"
        )
    if _OTHER_WEIGHTS.search(message):
        return SourceFileError(
            f"{name}: the weights are not those of the architecture: {short(message)}. Give the architecture that they "
            "were trained with"
        )
    wrote = f" (written by Keras {file.keras_version})" if file.keras_version else ""
    return SourceFileError(
        f"{name} cannot be loaded{wrote}: {short(message)}. Load it where it was made and save it again as .keras, or "
        "give its architecture as --architecture module:function with --weights"
    )


def untrusted(name: str, carried: list[str]) -> SourceFileError:
    """The refusal of a file that would run code of its own."""
    return SourceFileError(
        f"{name} carries Python code (in {', '.join(carried[:5])}) that runs when it is loaded: if you know where the "
        "file comes from, add --trust; better, replace the Lambda by a layer of its own or by keras.ops"
    )


def short(message: str) -> str:
    """The first sentence of a message, without the dump of a configuration."""
    text = " ".join(re.split(r"\n\nconfig=|Full object config|\nconfig=", message)[0].split())
    return text[:300].rstrip(". ")
