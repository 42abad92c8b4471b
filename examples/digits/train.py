#!/usr/bin/env python3
"""Train a small CNN on scikit-learn's handwritten digits (1797 images of 8x8 pixels) in a few seconds.

    python examples/digits/train.py --out .demo/digits

    load_digits -> 1437 images to learn from -> digits.keras
                   100 of those              -> calibration.npz   image
                   360 never seen            -> holdout.npz       image, label
                   the ten names             -> labels.txt

The model takes `image`: float32 [any, 8, 8, 1], from 0 (paper) to 255 (ink), as a grey image file has it, and
gives `probabilities`: float32 [any, 10]. The seed is fixed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# TensorFlow has much to say of the machine before it is asked anything.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 7
LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Data(NamedTuple):
    """Images float32 [count, 8, 8, 1] from 0 to 255, and which digit each is, int64 [count]."""

    images: NDArray[np.float32]
    digits: NDArray[np.int64]


def progress(epochs: int) -> keras.callbacks.Callback:
    """One line an epoch: the loss, and the share of right answers on images not learned from."""

    def tell(epoch: int, figures: dict[str, Any]) -> None:
        bar = "#" * round(20 * (epoch + 1) / epochs)
        print(
            f"epoch {epoch + 1:2}/{epochs} [{bar:20}] loss {figures['loss']:.3f}"
            f"  right {figures['accuracy']:.1%}  unseen {figures['val_accuracy']:.1%}",
            flush=True,
        )

    return keras.callbacks.LambdaCallback(on_epoch_end=tell)


def load_data() -> tuple[Data, Data]:
    """The images to learn from and the held-out ones, every digit in the same share."""
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.float32)[..., np.newaxis]
    train, test, train_digits, test_digits = train_test_split(
        pixels, digits.target.astype(np.int64), test_size=360, random_state=SEED, stratify=digits.target
    )
    return Data(train, train_digits), Data(test, test_digits)


def build_model() -> keras.Model:
    """Two convolutions and a classifier: about 9,000 weights. The pixels are scaled inside."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax", name="probabilities"),
        ],
        name="digits",
    )
    model.compile(keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def save(model: keras.Model, train: Data, test: Data, out: Path) -> None:
    """Write the four files into the folder."""
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / "calibration.npz", image=train.images[:100])
    np.savez_compressed(out / "holdout.npz", image=test.images, label=test.digits)
    (out / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS), encoding="utf-8")
    model.save(out / "digits.keras")


def parse_args(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".demo/digits"), help="folder for the four files")
    parser.add_argument("--epochs", type=int, default=15, help="rounds through the images (15)")
    parser.add_argument(
        "--at-least", type=float, default=0.97, help="share of held-out digits that must be right (0.97)"
    )
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Train, save and tell; 1 if the model is worse than asked for, with nothing saved."""
    args = parse_args(argv)
    keras.utils.set_random_seed(SEED)
    started = time.monotonic()
    train, test = load_data()
    model = build_model()
    model.fit(
        *train,
        batch_size=32,
        epochs=args.epochs,
        validation_data=test,
        callbacks=[progress(args.epochs)],
        verbose=0,
    )
    _, accuracy = model.evaluate(*test, verbose=0)
    print(f"{accuracy:.1%} of {len(test.digits)} held-out digits right, {time.monotonic() - started:.1f} s")
    if accuracy < args.at_least:
        print(f"that is less than {args.at_least:.1%}: nothing saved; try more --epochs", file=sys.stderr)
        return 1
    save(model, train, test, args.out)
    print(f"saved {args.out}/digits.keras, calibration.npz, holdout.npz, labels.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
