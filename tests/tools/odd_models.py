"""Models that are hard to export: `--architecture tests.tools.odd_models:masked`; files: `python odd_models.py FOLDER`.

The functions are called in the exporter's own worker. The files are of Keras 2, and need a process of their own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def _keras() -> Any:
    import keras

    keras.utils.set_random_seed(7)
    return keras


def masked() -> Any:
    """A score for each step of a sequence of any length: right in the interpreter for one length only."""
    keras = _keras()
    layers = keras.layers
    each = layers.TimeDistributed(layers.Dense(3, activation="softmax"))
    return keras.Sequential(
        [keras.Input((None, 6), name="steps"), layers.Masking(), layers.LSTM(16, return_sequences=True), each]
    )


def steps() -> Any:
    """Samples for `masked`."""
    return np.random.default_rng(3).normal(size=(24, 9, 6)).astype(np.float32)


def by_zero() -> Any:
    """NaN everywhere."""
    keras = _keras()
    inputs = keras.Input((6,), name="row")
    return keras.Model(inputs, keras.layers.Dense(4)(inputs) * (keras.ops.sum(inputs) - keras.ops.sum(inputs)) / 0.0)


def roots() -> Any:
    """NaN for rows that begin with a number below zero; an input whose name holds a blank."""
    keras = _keras()
    inputs = keras.Input((6,), name="mfcc stats")
    return keras.Model(inputs, keras.layers.Dense(4)(keras.ops.sqrt(inputs[:, :1])))


def uncalled() -> Any:
    """A subclassed model that was never called."""
    keras = _keras()

    class Net(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.only = keras.layers.Dense(2)

        def call(self, inputs: Any) -> Any:
            return self.only(inputs)

    return Net()


def trusting() -> Any:
    """Code of one's own that loads a file with a lambda in it, and says that it trusts it."""
    keras = _keras()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lambda.keras"
        keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)]).save(path)
        return keras.models.load_model(path, safe_mode=False)


def swish_of_mine(inputs: Any) -> Any:
    """An activation that Keras does not know by this place."""
    import tensorflow as tf

    return inputs * tf.nn.sigmoid(inputs)


def files(folder: Path) -> None:
    """Keras 2 files with functions of one's own, and SavedModels whose Lambda leaves a file behind when it runs."""
    import tensorflow as tf
    import tf_keras as keras

    layers = keras.layers

    class Ones_of_mine(keras.initializers.Initializer):  # type: ignore[misc]  # noqa: N801
        def __call__(self, shape: Any, dtype: Any = None, **_: Any) -> Any:
            return tf.ones(shape, dtype)

    def save(name: str, **options: Any) -> None:
        keras.Sequential([keras.Input((5,)), layers.Dense(4, **options)]).save(folder / name)

    save("function.h5", activation=swish_of_mine)
    save("initializer.h5", kernel_initializer=Ones_of_mine())
    save("lambda_activation.h5", activation=lambda x: x * 2)
    ran = str(folder / "ran")
    run = layers.Lambda(lambda x, path=ran: (x, open(path, "w"))[0], name="run")  # noqa: PTH123, SIM115
    keras.Sequential([keras.Input((5, 4)), layers.LSTM(4), run]).save(folder / "code", save_format="tf")
    Path(ran).unlink()
    plain = keras.Sequential([keras.Input((5, 4)), layers.LSTM(4)])
    plain.save(folder / "plain", save_format="tf")
    for name in ("plain", "code"):
        before_tf_2_5(folder / name, folder / f"old_{name}")
    for name, spelling in SPELLINGS.items():
        respelt(folder / "code", folder / f"code_{name}", spelling)


SPELLINGS = {
    "blank": ('"class_name": "Lambda"', '"class_name" :"Lambda"'),
    "escape": ('"class_name": "Lambda"', '"class_name": "\\u004cambda"'),
    "broken": ('"class_name": "Lambda"', '"class_name" "Lambda"'),
}


def respelt(source: Path, folder: Path, spelling: tuple[str, str]) -> None:
    """A SavedModel whose layers are told in other words of JSON."""
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    shutil.copytree(source, folder)
    metadata = SavedMetadata.FromString((folder / "keras_metadata.pb").read_bytes())
    for node in metadata.nodes:
        node.metadata = node.metadata.replace(*spelling)
    (folder / "keras_metadata.pb").write_bytes(metadata.SerializeToString())


def before_tf_2_5(source: Path, folder: Path) -> None:
    """A SavedModel as TF 2.4 laid it out: what keras_metadata.pb tells is in saved_model.pb."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    shutil.copytree(source, folder)
    graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for node in SavedMetadata.FromString((folder / "keras_metadata.pb").read_bytes()).nodes:
        graph.meta_graphs[0].object_graph_def.nodes[node.node_id].user_object.metadata = node.metadata
    (folder / "saved_model.pb").write_bytes(graph.SerializeToString())
    (folder / "keras_metadata.pb").unlink()


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    files(Path(sys.argv[1]))
