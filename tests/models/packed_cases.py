"""The artifacts: the classifier with manifest, labels and golden samples. Run in its own process:

    python tests/models/packed_cases.py

TensorFlow must not be in the process: tflite-runtime beside it loads no file (`vector::reserve`).
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np

from runtime import artifact, interpreter
from runtime.manifest import Flatbuffer, Manifest, Proof, Tensor
from runtime.samples import Samples

FOLDER = Path(__file__).resolve().parent
FEATURES = ("length", "width", "height", "weight")
LABELS = ("small", "middle", "large")


def pack(name: str, shift: float) -> int:
    """Write `name`.tflite, its golden outputs the interpreter's plus `shift`; return its bytes' count."""
    plain = FOLDER / "mlp.tflite"
    inputs = np.random.default_rng(7).random((5, 1, 4), np.float32)
    model = interpreter.load(plain)
    rows = [model.run({"features": row})["probabilities"] for row in inputs]
    samples = Samples({"features": inputs}, {"probabilities": np.stack(rows) + np.float32(shift)})
    path = FOLDER / f"{name}.tflite"
    return artifact.write(path, plain.read_bytes(), _manifest(name), LABELS, samples).size


def _manifest(name: str) -> Manifest:
    package = interpreter.package()
    return Manifest(
        name=name,
        version="1.2.3",
        flatbuffer=Flatbuffer(0, ""),
        inputs=(Tensor("features", "float32", (-1, 4), features=FEATURES),),
        outputs=(Tensor("probabilities", "float32", (-1, 3), labels=True, activation="softmax"),),
        proven_on=(Proof(package.name, package.version),),
    )


if __name__ == "__main__":
    for case, offset in (("packed", 0.0), ("packed_wrong", 0.25)):
        print(f"{case:18} {pack(case, offset):7,} bytes")
