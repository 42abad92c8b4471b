"""SavedModel -> .tflite in one mode.

Source of the settings: TensorFlow Lite's post-training quantization, and measurements of what
tflite-runtime 2.14 and LiteRT 2.3 run (docs/export.md).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from runtime import flatbuffer
from tools import arrays
from tools.errors import ConvertError
from tools.keras_models import complaints

CALIBRATION_ROWS = 100


def convert(saved: str, mode: str, samples: str, out: str, layers: list[str]) -> dict[str, Any]:
    """Convert in `mode` and write `out`.

    `samples` is the folder of calibration arrays, `layers` the model's layers, to name one at fault.
    Raises ConvertError, FlexError; also when the file is not quantized as the mode says.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(saved)
    _set_mode(converter, mode, Path(samples))
    try:
        content: bytes = converter.convert()
    except Exception as error:
        raise complaints.explain(str(error), layers) from error
    _check_types(content, mode)
    Path(out).write_bytes(content)
    return {"bytes": len(content)}


def quantize(model: str, recipe: str, out: str) -> dict[str, Any]:
    """Quantize a float .tflite by a recipe of ai-edge-quantizer and write `out`; ConvertError where nothing was."""
    quantizer = importlib.import_module("ai_edge_quantizer.quantizer")
    recipes = importlib.import_module("ai_edge_quantizer.recipe")
    worker = quantizer.Quantizer(model, getattr(recipes, recipe)())
    content = bytes(worker.quantize().quantized_model)
    _check_types(content, recipe)
    Path(out).write_bytes(content)
    return {"bytes": len(content)}


def _set_mode(converter: Any, mode: str, samples: Path) -> None:
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if mode == "none":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    elif mode == "dynamic":
        # Without it Dense becomes FULLY_CONNECTED version 12, which tflite-runtime refuses.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    elif mode in ("int8", "int16x8"):
        converter.representative_dataset = lambda: _representative(samples)
        if mode == "int16x8":
            ops = tf.lite.OpsSet
            converter.target_spec.supported_ops = [ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    else:
        raise ConvertError(f"unknown mode {mode}")


def _representative(samples: Path) -> Iterator[dict[str, Any]]:
    """One row at a time, by input name, spread evenly over the data."""
    data = arrays.load(samples)
    count = arrays.rows(data)
    picked = np.unique(np.linspace(0, count - 1, min(count, CALIBRATION_ROWS)).astype(int))
    for row in picked:
        yield {name: np.array(array[row : row + 1]) for name, array in data.items()}


def _check_types(content: bytes, mode: str) -> None:
    """The converter gives an unquantized file, silently, where there is nothing to quantize: it is not `mode`."""
    if mode == "none":
        return
    wanted = {"int16x8": "INT16", "float16": "FLOAT16"}.get(mode, "INT8")
    if wanted not in flatbuffer.tensor_types(content):
        raise ConvertError(
            f"nothing was quantized: the file has no {wanted.lower()} tensors, it would be the same as none "
            "(weights of few numbers are left as they are)"
        )
