"""Everything that touches TensorFlow and Keras; nothing outside this package imports them.

    prepare   model file + sample data -> description, samples, Keras's answers, SavedModel
    convert   SavedModel + mode + calibration data -> .tflite
    quantize  float .tflite + recipe -> .tflite, by ai-edge-quantizer

    loading     a file of either Keras generation, or a SavedModel -> Subject
    saved_metadata  what a SavedModel of tf-keras tells of its layers
    subject     one model whatever made it: named inputs, named outputs, call, save
    ranges      what values its inputs take
    renaming    other names for inputs and outputs
    meaning     what its outputs mean
    conversion  the converter's settings for each mode
    complaints  what the converter's messages mean

Each job runs in a fork of tools/keras_worker.py, is called by its name in JOBS, and takes and
returns plain JSON values; arrays go through .npy files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tools.keras_models.conversion import convert, quantize
from tools.keras_models.preparation import prepare

JOBS: Mapping[str, Callable[..., object]] = {
    "prepare": prepare,
    "convert": convert,
    "quantize": quantize,
}
