"""From a Keras model or a function to a .tflite file, through a SavedModel so that names are kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Setup = Callable[[tf.lite.TFLiteConverter], None]
Serve = Callable[..., dict[str, tf.Tensor]]
Specs = Mapping[str, tf.TensorSpec]


def spec(*shape: int | None, dtype: tf.DType = tf.float32) -> tf.TensorSpec:
    """A tensor's shape (None where it varies) and dtype."""
    return tf.TensorSpec(shape, dtype)


def from_keras(model: keras.Model, inputs: Specs, output: str, setup: Setup | None = None) -> bytes:
    """Convert a Keras model with one output; `inputs` by name, a single one is passed bare."""

    def serve(given: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        fed = given if len(inputs) > 1 else next(iter(given.values()))
        return {output: model(fed, training=False)}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", serve, input_signature=[_named(inputs)])
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        return convert(folder, ["serving_default"], setup)


def from_function(serve: Serve, inputs: Specs, module: tf.Module | None = None, setup: Setup | None = None) -> bytes:
    """Convert a function of named tensors that returns named tensors; `module` holds its variables."""
    owner = module or tf.Module()
    signatures = {"serving_default": concrete(serve, inputs)}
    return from_signatures(owner, signatures, ["serving_default"], setup)


def concrete(serve: Serve, inputs: Specs) -> Any:
    """The concrete function whose arguments carry the inputs' names."""
    return tf.function(serve).get_concrete_function(**_named(inputs))


def from_signatures(
    module: tf.Module,
    signatures: Mapping[str, Any],
    keys: Sequence[str],
    setup: Setup | None = None,
) -> bytes:
    """Convert several signatures into one file; the first of `keys` becomes the main graph."""
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=dict(signatures))
        return convert(folder, keys, setup)


def convert(folder: str, keys: Sequence[str], setup: Setup | None) -> bytes:
    """Run the converter over a SavedModel."""
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(keys))
    if setup:
        setup(converter)
    content: bytes = converter.convert()
    return content


def representative(name: str, shape: tuple[int, ...]) -> Callable[[], Iterator[dict[str, Any]]]:
    """Seeded calibration data between 0 and 1: fifty inputs of `shape`, batch dimension included."""

    def dataset() -> Iterator[dict[str, Any]]:
        generator = np.random.default_rng(7)
        for _ in range(50):
            yield {name: generator.random(shape, np.float32)}

    return dataset


def _named(inputs: Specs) -> dict[str, tf.TensorSpec]:
    """The specs with their names written in: the signature takes them from there."""
    return {name: tf.TensorSpec(one.shape, one.dtype, name=name) for name, one in inputs.items()}
