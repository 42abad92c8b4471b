"""Models made of Keras layers: plain, quantized each way, recurrent, with strings."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf
import tf_keras
from keras import layers

from tests.models.converter import Setup, from_keras, representative, spec


def mlp() -> bytes:
    """The smallest honest classifier, with a dynamic batch."""
    return from_keras(_mlp(), {"features": spec(None, 4)}, "probabilities")


def mlp_static() -> bytes:
    """The same, for one row at a time."""
    return from_keras(_mlp(), {"features": spec(1, 4)}, "probabilities")


def cnn() -> bytes:
    """A float16 image classifier for 28x28 grey images."""
    return from_keras(_cnn(28, 8), {"image": spec(None, 28, 28, 1)}, "probabilities", _float16)


def int8_io() -> bytes:
    """Full int8, with int8 at both ends."""
    setup = _integer(tf.int8, representative("features", (1, 4)))
    return from_keras(_mlp(), {"features": spec(None, 4)}, "probabilities", setup)


def uint8_image() -> bytes:
    """Full int8 inside, uint8 at both ends: the common third-party image classifier."""
    setup = _integer(tf.uint8, representative("image", (1, 8, 8, 1)))
    return from_keras(_cnn(8, 4), {"image": spec(None, 8, 8, 1)}, "probabilities", setup)


def int16x8() -> bytes:
    """Activations of 16 bits, weights of 8, float at both ends."""

    def setup(converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative("features", (1, 4))
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]

    return from_keras(_mlp(), {"features": spec(None, 4)}, "probabilities", setup)


def dynamic_range() -> bytes:
    """8-bit weights, float activations, in the form that every interpreter reads."""
    setup = _dynamic(per_channel=False)
    return from_keras(_wide(), {"features": spec(None, 64)}, "probabilities", setup)


def new_op_version() -> bytes:
    """Dense per channel: FULLY_CONNECTED version 12, unknown to tflite-runtime 2.14."""
    setup = _dynamic(per_channel=True)
    return from_keras(_wide(), {"features": spec(None, 64)}, "probabilities", setup)


def embedding() -> bytes:
    """Six word ids below 20 to two scores; an id out of range is refused by GATHER."""
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(20, 4),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )
    return from_keras(model, {"ids": spec(None, 6, dtype=tf.int32)}, "scores")


def dynamic_length() -> bytes:
    """Ids of any number in any number of rows."""
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(20, 4),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )
    return from_keras(model, {"ids": spec(None, None, dtype=tf.int32)}, "scores")


def least_length() -> bytes:
    """A valid convolution: rows of any length from 5 on."""
    model = keras.Sequential(
        [keras.Input((None, 2)), layers.Conv1D(3, 5), layers.GlobalMaxPooling1D(), layers.Dense(2)]
    )
    return from_keras(model, {"signal": spec(None, None, 2)}, "scores")


def lstm() -> bytes:
    """A recurrent layer, which converts with a static batch only."""
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4), layers.Dense(2)])
    return from_keras(model, {"sequence": spec(1, 5, 3)}, "scores")


def fused_lstm() -> bytes:
    """A recurrent layer as one sequence operator, which keeps its state in tensors: Keras 2 converts it so."""
    model = tf_keras.Sequential([tf_keras.layers.LSTM(2, batch_input_shape=(1, 5, 3), name="scores")])
    content: bytes = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    return content


def string_lookup() -> bytes:
    """Words to their places in a vocabulary, by hash table operators."""
    lookup = layers.StringLookup(vocabulary=["ant", "bee", "cat"])
    given = keras.Input((1,), dtype="string")
    model = keras.Model(given, lookup(given))
    return from_keras(model, {"word": spec(None, 1, dtype=tf.string)}, "index")


def image_to_image() -> bytes:
    """A convolution that keeps the image's size: many values out for each row."""
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 3, padding="same", activation="sigmoid")])
    return from_keras(model, {"image": spec(None, 8, 8, 3)}, "restored")


def _mlp(size: int = 4, hidden: int = 16) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((size,)),
            layers.Dense(hidden, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )


def _wide() -> keras.Model:
    """Weights enough to be worth quantizing: the converter leaves up to 1024 of them in float."""
    return _mlp(64, 64)


def _cnn(side: int, filters: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((side, side, 1)),
            layers.Conv2D(filters, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def _float16(converter: tf.lite.TFLiteConverter) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _integer(ends: tf.DType, dataset: Callable[[], object]) -> Setup:
    def setup(converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = dataset
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = ends

    return setup


def _dynamic(*, per_channel: bool) -> Setup:
    def setup(converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter._experimental_disable_per_channel_quantization_for_dense_layers = not per_channel

    return setup


CASES = {
    case.__name__: case
    for case in (
        mlp,
        mlp_static,
        cnn,
        int8_io,
        uint8_image,
        int16x8,
        dynamic_range,
        new_op_version,
        embedding,
        dynamic_length,
        least_length,
        lstm,
        fused_lstm,
        string_lookup,
        image_to_image,
    )
}
