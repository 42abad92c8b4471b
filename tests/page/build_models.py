"""Two models whose forms need more than tests/models has: a sound, and a picture of any size. Needs TensorFlow.

    python tests/page/build_models.py       writes sound.tflite and any_picture.tflite beside this file

`sound` tells a loud signal from a quiet one by its mean square; `any_picture` gives back its picture, inverted.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import tensorflow as tf

from tests.models.converter import from_function, spec

FOLDER = Path(__file__).resolve().parent
SAMPLES = 4000


def sound(wave: tf.Tensor) -> dict[str, tf.Tensor]:
    """float32 [any, 4000] -> scores float32 [any, 2], quiet and loud: the mean square against 0.1."""
    power = tf.reduce_mean(wave * wave, axis=1, keepdims=True)
    return {"scores": tf.nn.softmax(tf.concat([0.1 - power, power - 0.1], axis=1) * 40.0)}


def any_picture(picture: tf.Tensor) -> dict[str, tf.Tensor]:
    """float32 [any, any, any, 3] from 0 to 1 -> the same shape, inverted."""
    return {"inverse": 1.0 - picture}


def main() -> int:
    """Write both."""
    (FOLDER / "sound.tflite").write_bytes(from_function(sound, {"wave": spec(None, SAMPLES)}))
    (FOLDER / "any_picture.tflite").write_bytes(from_function(any_picture, {"picture": spec(None, None, None, 3)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
