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


def explain(message: str, file: ModelFile) -> SourceFileError:
    """The loader's message as an error with the way out."""
    name = file.path.name
    unknown = _FUNCTION.search(message) or _UNKNOWN_CLASS.search(message) or _UNKNOWN.search(message)
    if (unknown and "locate" in message) or "Unknown" in message:
        what = unknown[1] if unknown else "something"
        return SourceFileError(
            f"{name} uses {what}, which is not Keras's own: give the module that defines it, --custom-objects MODULE "
            f"(with {what} in it, under that name)"
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


def short(message: str) -> str:
    """The first sentence of a message, without the dump of a configuration."""
    text = " ".join(re.split(r"\n\nconfig=|Full object config|\nconfig=", message)[0].split())
    return text[:300].rstrip(". ")
