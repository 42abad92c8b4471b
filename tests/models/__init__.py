"""Small real model files and what to expect of each: `path("mlp")`, `MODELS["mlp"].example(rows=2)`.

Made by `build.py` with TensorFlow's converter and kept in the repository, so that tests of the
runtime need NumPy and an interpreter only. What fails where was measured with tflite-runtime 2.14.0
and ai-edge-litert 2.3.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
# Where a file stops: the interpreter refuses to load it, refuses to run it, or the process dies.
Failure = Literal["load", "run", "crash"]
TFLITE_RUNTIME, LITERT = "tflite-runtime", "ai-edge-litert"


@dataclass(frozen=True)
class Tensor:
    """An input or output as clients see it (float32 if quantized); -1 where a dimension varies.

    `below` bounds the examples of an integer input; `raw` is the tensor's own dtype where it differs; `length` is what
    examples have in variable dimensions after the first.
    """

    dtype: str
    shape: Shape
    below: int = 5
    raw: str = ""
    length: int = 0

    def example(self, rows: int, seed: int) -> NDArray[Any]:
        """Seeded values the model accepts; every -1 becomes `rows`."""
        generator = np.random.default_rng(seed)
        shape = tuple(((self.length if at else 0) or rows) if size < 0 else size for at, size in enumerate(self.shape))
        if self.dtype == "string":
            words = np.empty(shape, dtype=object)
            words.flat[:] = [(b"ant", b"bee", b"cat", b"dog")[i % 4] for i in range(words.size)]
            return words
        if self.dtype == "bool":
            return generator.random(shape) > 0.5
        if np.dtype(self.dtype).kind == "i":
            return generator.integers(0, self.below, shape).astype(self.dtype)
        values: NDArray[Any] = generator.random(shape).astype(self.dtype)
        return values


@dataclass(frozen=True)
class Model:
    """One file: its signature, what dimension 0 means, and where it fails, by interpreter package."""

    what: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    batch: Literal["dynamic", "row", "none"] = "dynamic"
    fails: Mapping[str, Failure] = field(default_factory=dict)

    def example(self, rows: int = 1, seed: int = 0) -> dict[str, NDArray[Any]]:
        """Inputs by name for one run, seeded."""
        items = enumerate(sorted(self.inputs.items()))
        return {name: tensor.example(rows, seed + index) for index, (name, tensor) in items}


def path(name: str) -> Path:
    """The file of the model of that name; KeyError if the catalogue has none."""
    if name not in MODELS:
        raise KeyError(name)
    return Path(__file__).with_name(f"{name}.tflite")


def working(package: str) -> list[str]:
    """Names of the models that load and run on the interpreter package of that name."""
    return [name for name, model in MODELS.items() if package not in model.fails]


def _floats(*shape: int, raw: str = "") -> Tensor:
    return Tensor("float32", shape, raw=raw)


def _both(failure: Failure) -> dict[str, Failure]:
    return {TFLITE_RUNTIME: failure, LITERT: failure}


_FEATURES = {"features": _floats(-1, 4)}
_PROBABILITIES = {"probabilities": _floats(-1, 3)}
_IDS, _SCORES = Tensor("int32", (-1, 6), below=20), {"scores": _floats(-1, 2)}
_CNN_IN, _CNN_OUT = {"image": _floats(-1, 28, 28, 1)}, {"probabilities": _floats(-1, 10)}

MODELS: dict[str, Model] = {
    "mlp": Model("the smallest honest classifier", _FEATURES, _PROBABILITIES),
    "mlp_static": Model(
        "the same, one row at a time", {"features": _floats(1, 4)}, {"probabilities": _floats(1, 3)}, "row"
    ),
    "cnn": Model("float16 weights, 28x28 grey images", _CNN_IN, _CNN_OUT),
    "int8_io": Model(
        "full int8, int8 at both ends",
        {"features": _floats(-1, 4, raw="int8")},
        {"probabilities": _floats(-1, 3, raw="int8")},
    ),
    "uint8_image": Model(
        "full int8 inside, uint8 at both ends",
        {"image": _floats(-1, 8, 8, 1, raw="uint8")},
        {"probabilities": _floats(-1, 10, raw="uint8")},
    ),
    "int16x8": Model("16-bit activations, 8-bit weights, float at both ends", _FEATURES, _PROBABILITIES),
    "dynamic_range": Model("8-bit weights, float activations", {"features": _floats(-1, 64)}, _PROBABILITIES),
    "new_op_version": Model(
        "FULLY_CONNECTED version 12",
        {"features": _floats(-1, 64)},
        _PROBABILITIES,
        fails={TFLITE_RUNTIME: "load"},
    ),
    "two_inputs": Model(
        "sum = row sums of a and b; product = row sum of a, times b",
        {"a": _floats(-1, 3), "b": _floats(-1, 2)},
        {"product": _floats(-1, 2), "sum": _floats(-1, 1)},
    ),
    "embedding": Model("word ids 0 to 19; others are refused", {"ids": _IDS}, _SCORES),
    "dynamic_length": Model("rows of word ids of any length", {"ids": Tensor("int32", (-1, -1), below=20)}, _SCORES),
    "least_length": Model(
        "signals of any length from 5 on", {"signal": Tensor("float32", (-1, -1, 2), length=8)}, _SCORES
    ),
    "lstm": Model("recurrent, one row at a time", {"sequence": _floats(1, 5, 3)}, {"scores": _floats(1, 2)}, "row"),
    "fused_lstm": Model(
        "recurrent, its state in variable tensors",
        {"scores_input": _floats(1, 5, 3)},
        {"scores": _floats(1, 2)},
        "row",
    ),
    "string_lookup": Model(
        "ant, bee, cat to 1, 2, 3, others to 0; the output's rank is not in the file",
        {"word": Tensor("string", (-1, 1))},
        {"index": Tensor("int64", ())},
    ),
    "image_to_image": Model("8x8 RGB to 8x8 RGB", {"image": _floats(-1, 8, 8, 3)}, {"restored": _floats(-1, 8, 8, 3)}),
    "stateful": Model(
        "adds x to a variable: the total is x itself if requests are kept apart",
        {"x": _floats(1, 4)},
        {"total": _floats(1, 4)},
        "row",
    ),
    "bool_io": Model("logical not", {"flags": Tensor("bool", (-1, 3))}, {"inverse": Tensor("bool", (-1, 3))}),
    "scalar_out": Model(
        "x doubled, its batch dimension dropped; and the sum of x, of rank 0",
        {"x": _floats(1, 10)},
        {"total": _floats(), "vector": _floats(10)},
        "row",
    ),
    "loop": Model("x times 8, by a loop", {"x": _floats(1, 4)}, {"y": _floats(1, 4)}, "row"),
    "joined": Model(
        "x less the largest of all rows: no two rows may share a run", {"x": _floats(-1, 3)}, {"y": _floats(-1, 3)}
    ),
    "whole": Model("a matrix times itself", {"matrix": _floats(5, 5)}, {"square": _floats(5, 5)}, "none"),
    "float64_io": Model("x / 2", {"x": Tensor("float64", (-1, 2))}, {"half": Tensor("float64", (-1, 2))}),
    "int64_io": Model("x + 1", {"x": Tensor("int64", (-1, 2))}, {"next": Tensor("int64", (-1, 2))}),
    "nan_out": Model("the logarithm: NaN below 0, -infinity at 0", {"x": _floats(-1, 2)}, {"log": _floats(-1, 2)}),
    "two_signatures": Model(
        "the default signature doubles x; the main graph, `halve`, does not",
        {"x": _floats(-1, 3)},
        {"double": _floats(-1, 3)},
    ),
    "no_signature": Model(
        "mlp without signatures: the graph's own tensor names",
        {"serving_default_features:0": _floats(-1, 4)},
        {"StatefulPartitionedCall:0": _floats(-1, 3)},
    ),
    "flex": Model(
        "needs the Flex operator MatrixDeterminant",
        {"matrix": _floats(-1, 3, 3)},
        {"determinant": _floats(-1)},
        fails=_both("run"),
    ),
    "flex_static": Model(
        "the same, one row at a time",
        {"matrix": _floats(1, 3, 3)},
        {"determinant": _floats(1)},
        "row",
        fails=_both("run"),
    ),
    "custom_op": Model(
        "needs the custom operator Betainc", {"x": _floats(-1, 3)}, {"y": _floats(-1, 3)}, fails=_both("run")
    ),
    "crasher": Model(
        "loads; SIGSEGV when its tensors are allocated, that is at the first run",
        {"x": _floats(1, 4)},
        {"y": _floats(1, 4)},
        "row",
        fails=_both("crash"),
    ),
    "crasher_at_load": Model(
        "SIGSEGV at load on tflite-runtime; LiteRT refuses it",
        {},
        {},
        fails={TFLITE_RUNTIME: "crash", LITERT: "load"},
    ),
    "packed": Model("mlp as an artifact: manifest, labels, golden samples", _FEATURES, _PROBABILITIES),
    "packed_wrong": Model(
        "the same with golden outputs that no interpreter gives: runs, but fails its self-test",
        _FEATURES,
        _PROBABILITIES,
    ),
}
