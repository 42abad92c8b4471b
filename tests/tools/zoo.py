"""Models of every layer family, and sample data for them: `--architecture tests.tools.zoo:lstm`.

They are built in the exporter's own worker, so that the tests themselves need no TensorFlow. Weights are drawn from a
fixed seed, and large enough (more than 1024 numbers) that the quantizers touch them.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np


def _keras() -> Any:
    import keras

    keras.utils.set_random_seed(7)
    return keras


def dense() -> Any:
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((20,), name="features")
    hidden = layers.Dense(64, activation="relu")(inputs)
    hidden = layers.Dense(64, activation="gelu")(hidden)
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="scores")(hidden))


def convolutional() -> Any:
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((16, 16, 3), name="image")
    hidden = layers.Conv2D(16, 3, activation="relu", padding="same")(inputs)
    hidden = layers.BatchNormalization()(hidden)
    hidden = layers.DepthwiseConv2D(3)(hidden)
    hidden = layers.SeparableConv2D(32, 3, activation="relu")(hidden)
    hidden = layers.Conv2DTranspose(16, 3, strides=2)(hidden)
    hidden = layers.GlobalAveragePooling2D()(hidden)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="scores")(hidden))


def attention() -> Any:
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((12, 32), name="sequence")
    hidden = inputs + layers.MultiHeadAttention(4, 16)(inputs, inputs)
    hidden = layers.LayerNormalization()(hidden)
    hidden = layers.GlobalAveragePooling1D()(hidden)
    return keras.Model(inputs, layers.Dense(3, name="scores")(hidden))


def embedding() -> Any:
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((10,), dtype="int32", name="tokens")
    hidden = layers.Embedding(200, 32)(inputs)
    hidden = layers.GlobalAveragePooling1D()(hidden)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid", name="score")(hidden))


def several() -> Any:
    """Four inputs, two outputs, all named."""
    keras = _keras()
    layers = keras.layers
    inputs = [keras.Input((size,), name=name) for name, size in (("zeta", 3), ("age", 1), ("mid", 8), ("b", 2))]
    hidden = layers.Dense(64, activation="relu")(layers.Concatenate()(inputs))
    hidden = layers.Dense(64, activation="relu")(hidden)
    kind = layers.Dense(3, activation="softmax", name="kind")(hidden)
    return keras.Model(inputs, {"kind": kind, "value": layers.Dense(1, name="amount")(hidden)})


def subclassed() -> Any:
    keras = _keras()

    class Net(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = keras.layers.Dense(64, activation="relu")
            self.second = keras.layers.Dense(40)

        def call(self, inputs: Any) -> Any:
            return {"twice": self.second(self.first(inputs)) * 2, "hidden": self.first(inputs)}

    model = Net()
    model(np.zeros((2, 30), np.float32))
    return model


def preprocessing() -> Any:
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((32, 32, 3), name="photo")
    hidden = layers.Resizing(16, 16)(layers.Rescaling(1 / 127.5, offset=-1)(inputs))
    hidden = layers.Conv2D(32, 3, strides=2, activation="relu")(hidden)
    return keras.Model(inputs, layers.Dense(10)(layers.Flatten()(hidden)))


def normalized() -> Any:
    keras = _keras()
    layer = keras.layers.Normalization(mean=[100.0, -5.0, 0.5, 30.0], variance=[400.0, 1.0, 0.01, 25.0])
    dense = [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(32), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((4,), name="row"), layer, *dense])


def lstm() -> Any:
    """Stacked, bidirectional, masked, over a sequence of any length."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((None, 8), name="sequence")
    hidden = layers.LSTM(24, return_sequences=True)(layers.Masking()(inputs))
    hidden = layers.Bidirectional(layers.GRU(16))(hidden)
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="scores")(hidden))


def unrolled() -> Any:
    keras = _keras()
    inputs = keras.Input((6, 8), name="sequence")
    hidden = keras.layers.LSTM(24, unroll=True)(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="scores")(hidden))


def any_size() -> Any:
    """Height and width are variable."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((None, None, 3), name="image")
    hidden = layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, layers.GlobalMaxPooling2D()(layers.Conv2D(24, 3)(hidden)))


def volume() -> Any:
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((8, 8, 8, 1), name="scan")
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.Conv3D(8, 3, activation="relu")(inputs))))


def pooled_volume() -> Any:
    """MaxPooling3D has no builtin operator."""
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((8, 8, 8, 1), name="scan")
    return keras.Model(inputs, layers.MaxPooling3D(name="shrink")(layers.Conv3D(2, 3)(inputs)))


def text() -> Any:
    """TextVectorization has no builtin operators."""
    keras = _keras()
    layer = keras.layers.TextVectorization(50, output_sequence_length=4, name="words")
    layer.adapt(["one two three", "four five"])
    inputs = keras.Input((), dtype="string", name="sentence")
    return keras.Model(inputs, keras.layers.Embedding(50, 4)(layer(inputs)))


def endless() -> None:
    """Its making never ends."""
    threading.Event().wait()


def lookup() -> Any:
    keras = _keras()
    inputs = keras.Input((1,), dtype="string", name="word")
    layer = keras.layers.StringLookup(vocabulary=["alpha", "beta", "gamma"], output_mode="int")
    return keras.Model(inputs, layer(inputs))


def photos() -> Any:
    """Samples for `convolutional`: between 0 and 1."""
    return np.random.default_rng(3).random((40, 16, 16, 3)).astype(np.float32)


def rows20() -> Any:
    """Samples and classes for `dense`."""
    generator = np.random.default_rng(3)
    return generator.normal(size=(200, 20)).astype(np.float32), generator.integers(0, 5, 200)


def rows12() -> Any:
    """Samples for `attention`."""
    return np.random.default_rng(3).normal(size=(40, 12, 32)).astype(np.float32)


def rows6() -> Any:
    """Samples for `unrolled`."""
    return np.random.default_rng(3).normal(size=(40, 6, 8)).astype(np.float32)


def steps() -> Any:
    """Samples for `lstm`."""
    return np.random.default_rng(3).normal(size=(40, 9, 8)).astype(np.float32)
