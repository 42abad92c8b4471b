"""A published model without the tool that publishes: an index and its artifacts, as bytes by path."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from runtime import artifact, interpreter
from runtime.manifest import Flatbuffer, Manifest, Tensor
from runtime.samples import Samples
from tests import models


def packed(version: str, model: str = "mlp", name: str = "digits", tolerance: float = 1e-3) -> bytes:
    """A small artifact of that version: the classifier of `tests.models`, with one golden sample."""
    import tempfile
    from pathlib import Path

    plain = models.path(model)
    ready = interpreter.load(plain)
    inputs = np.random.default_rng(7).random((1, 1, 4), np.float32)
    outputs = ready.run({"features": inputs[0]})["probabilities"][None]
    manifest = Manifest(
        name=name,
        version=version,
        flatbuffer=Flatbuffer(0, ""),
        inputs=(Tensor("features", "float32", (-1, 4)),),
        outputs=(Tensor("probabilities", "float32", (-1, 3)),),
    )
    samples = Samples({"features": inputs}, {"probabilities": outputs}, tolerance=tolerance)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        artifact.write(path, plain.read_bytes(), manifest, (), samples)
        return path.read_bytes()


def write(folder: Path, *versions: str) -> dict[str, Path]:
    """Artifacts of these versions as files."""
    paths = {version: folder / f"{version}.tflite" for version in versions}
    for version, path in paths.items():
        path.write_bytes(packed(version))
    return paths


def index(versions: dict[str, bytes], channels: dict[str, str], name: str = "digits") -> dict[str, Any]:
    """The index of these artifacts, ready for json.dumps."""
    return {
        "format": 1,
        "name": name,
        "versions": {
            version: {
                "url": url(version, content, name),
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "serial": serial,
            }
            for serial, (version, content) in enumerate(versions.items(), 1)
        },
        "channels": {channel: {"version": version} for channel, version in channels.items()},
    }


def files(versions: dict[str, bytes], channels: dict[str, str], name: str = "digits") -> dict[str, bytes]:
    """Index and artifacts by path, as a web server has them."""
    found = {f"/{name}/{url(version, content, name)}": content for version, content in versions.items()}
    return found | {f"/{name}/index.json": json.dumps(index(versions, channels, name)).encode()}


def url(version: str, content: bytes, name: str = "digits") -> str:
    """An artifact's path below its index."""
    return f"{version}/{name}-{hashlib.sha256(content).hexdigest()[:12]}.tflite"
