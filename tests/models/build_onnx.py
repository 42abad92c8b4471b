"""Make mlp.onnx as a Keras user does, and print what Keras answers: `python tests/models/build_onnx.py`.

Needs tf2onnx beside the development requirements, which are without it: it pins an old protobuf.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


def main() -> int:
    """Write the file; the same weights every time."""
    import keras

    keras.utils.set_random_seed(7)
    inputs = keras.Input((4,), name="features")
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
    rows = np.array([[1, 2, 3, 4], [0, 1, 0, 1]], np.float32)
    answer = model.predict(rows)  # a model that was never called is not exported
    model.export(str(Path(__file__).with_name("mlp.onnx")), format="onnx")
    print(answer.tolist())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
