"""Models of few numbers, one with two outputs, and sample data: `--architecture tests.tools.houses:two`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tools.arrays import Array


def two() -> Any:
    """A price and a risk of two classes; too small for the converter to quantize anything in it."""
    import keras

    keras.utils.set_random_seed(7)
    inputs = keras.Input((3,), name="rooms")
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    price = keras.layers.Dense(1, name="price")(hidden)
    return keras.Model(
        inputs, {"price": price, "risk": keras.layers.Dense(2, activation="softmax", name="risk")(hidden)}
    )


def one() -> Any:
    """Pictures of 4 x 4 grey pixels to three classes."""
    import keras

    keras.utils.set_random_seed(7)
    inputs = keras.Input((4, 4, 1), name="photo")
    hidden = keras.layers.Dense(80, activation="relu")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="kind")(hidden))


def rows() -> dict[str, Array]:
    """Forty houses with what is right of them, by output."""
    generator = np.random.default_rng(3)
    samples = generator.normal(size=(40, 3)).astype(np.float32)
    return {"rooms": samples, "price": samples.sum(axis=1), "risk": (samples[:, 0] > 0).astype(int)}


def photos() -> Array:
    """Forty pictures, between 0 and 1."""
    return np.random.default_rng(3).random((40, 4, 4, 1)).astype(np.float32)


def table(path: Path, *, risk: bool = True) -> Path:
    """The houses as CSV, with the columns a, b, c, price and perhaps risk."""
    given = rows()
    columns = [*given["rooms"].T, given["price"], *([given["risk"]] if risk else [])]
    lines = [",".join(f"{value:.5g}" for value in line) for line in zip(*columns, strict=True)]
    path.write_text("\n".join(["a,b,c,price" + (",risk" if risk else ""), *lines]) + "\n", "utf-8")
    return path
