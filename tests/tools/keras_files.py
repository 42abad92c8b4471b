"""Write model files as people have them: `python tests/tools/keras_files.py FOLDER`.

Keras 2 files come from tf-keras, Keras 3 files from Keras 3, SavedModels from both. A process of its own, as both need
TensorFlow.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np


def keras2(folder: Path) -> None:
    """The .h5, .hdf5, .keras and SavedModel files of Keras 2."""
    import tf_keras as keras

    layers = keras.layers
    keras.utils.set_random_seed(3)
    faces = _mini_xception(keras)
    faces.compile("adam", "categorical_crossentropy")
    faces.save(folder / "emotion.hdf5", save_format="h5")
    stacked = [layers.LSTM(32, return_sequences=True, input_shape=(40, 13)), layers.LSTM(16), layers.Dense(5)]
    speech = keras.Sequential(stacked)
    speech.save(folder / "speech.h5")
    speech.save(folder / "speech.keras")
    speech.save(folder / "speech_saved", save_format="tf")
    review = keras.Sequential(
        [
            layers.Embedding(500, 16, input_length=20, mask_zero=True),
            layers.Bidirectional(layers.LSTM(8)),
            layers.Dense(1),
        ]
    )
    review.save(folder / "review.h5")
    memory = keras.Sequential([layers.LSTM(8, batch_input_shape=(1, 10, 3), stateful=True), layers.Dense(1)])
    memory.save(folder / "stateful.h5")
    mobile = keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3), alpha=0.25, classes=10)
    mobile.save_weights(folder / "mobilenet_weights.h5")
    (folder / "mobilenet.json").write_text(mobile.to_json(), "utf-8")
    doubled = keras.Sequential([layers.Dense(4, input_shape=(3,)), layers.Lambda(lambda x: x * 2.0, name="twice")])
    doubled.save(folder / "lambda.h5")


def _mini_xception(keras: Any) -> Any:
    layers = keras.layers
    inputs = layers.Input((48, 48, 1))
    first = layers.Conv2D(8, 3, use_bias=False)(inputs)
    first = layers.Activation("relu")(layers.BatchNormalization()(first))
    side = layers.Conv2D(16, 1, strides=2, padding="same")(first)
    deep = layers.SeparableConv2D(16, 3, padding="same", use_bias=False)(first)
    deep = layers.MaxPooling2D(3, 2, padding="same")(layers.BatchNormalization()(deep))
    hidden = layers.Conv2D(7, 3, padding="same")(layers.add([deep, side]))
    scores = layers.Activation("softmax", name="predictions")(layers.GlobalAveragePooling2D()(hidden))
    return keras.Model(inputs, scores)


def keras3(folder: Path) -> None:
    """The .keras, .h5 and SavedModel files of Keras 3."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(3)
    net = keras.Sequential([keras.Input((6,)), layers.Dense(64, activation="relu"), layers.Dense(40)])
    net.save(folder / "net.h5")
    net.save(folder / "hidden.keras")
    (folder / "hidden.keras").rename(folder / "net.model")
    net.save_weights(folder / "net.weights.h5")
    (folder / "net.json").write_text(net.to_json(), "utf-8")
    net.export(folder / "net_saved", verbose=False)
    keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x * 2, name="twice")]).save(folder / "lambda.keras")
    keras.mixed_precision.set_global_policy("mixed_float16")
    half = [keras.Input((8,)), layers.Dense(64, activation="relu"), layers.Dense(20, dtype="float32")]
    keras.Sequential(half).save(folder / "mixed.keras")
    keras.mixed_precision.set_global_policy("float32")
    sys.path.insert(0, str(folder))
    (folder / "own_layers.py").write_text(_OWN, "utf-8")
    import own_layers  # type: ignore[import-not-found]

    keras.Sequential([keras.Input((4,)), own_layers.Thrice(), layers.Dense(2)]).save(folder / "own.keras")


_OWN = """
import keras


class Thrice(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 3
"""


def graphs(folder: Path) -> None:
    """SavedModels that no Keras made."""
    import tensorflow as tf

    class Total(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])  # type: ignore[untyped-decorator]
        def total(self, x: Any) -> Any:
            return {"total": tf.reduce_sum(x)}

    module = Total()
    tf.saved_model.save(module, str(folder / "total_saved"), signatures=module.total)
    bare = tf.Module()
    bare.variable = tf.Variable(np.ones(3, np.float32))
    tf.saved_model.save(bare, str(folder / "bare_saved"))


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    target = Path(sys.argv[1])
    keras2(target)
    keras3(target)
    graphs(target)
