"""Files made of another file's bytes: without signatures, or damaged so that interpreters crash."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from tensorflow.lite.tools import flatbuffer_utils


def no_signature(mlp: bytes) -> bytes:
    """The classifier without signatures: tensor names are all that is left."""

    def edit(model: Any) -> None:
        model.signatureDefs = None

    return _edited(mlp, edit)


def crasher(loop: bytes) -> bytes:
    """Loads and tells its signature; allocating its tensors is a SIGSEGV on both interpreters.

    The loop's first input is marked as absent (-1), and its preparation follows the null pointer.
    """

    def edit(model: Any) -> None:
        for operator in model.subgraphs[0].operators:
            if hasattr(operator.builtinOptions, "bodySubgraphIndex"):
                operator.inputs[0] = -1

    return _edited(loop, edit)


def crasher_at_load(mlp: bytes) -> bytes:
    """The root table lies 2 GB past the file: tflite-runtime dies at load, LiteRT refuses it."""
    return struct.pack("<I", 0x7FFFFFF0) + mlp[4:]


def _edited(content: bytes, edit: Callable[[Any], None]) -> bytes:
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    edit(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


# Each with the model whose bytes it is made of.
CASES = {
    case.__name__: (case, base)
    for case, base in (
        (no_signature, "mlp"),
        (crasher, "loop"),
        (crasher_at_load, "mlp"),
    )
}
