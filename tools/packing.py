"""The chosen file, packed: manifest, labels and golden samples behind the flatbuffer."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime import artifact
from runtime.artifact import Artifact
from runtime.manifest import Flatbuffer, Image, Manifest, Proof, Tensor
from runtime.samples import Samples
from runtime.signature import TensorSpec
from tools import arrays, images
from tools.arrays import Array
from tools.candidates import Candidate, Prepared
from tools.errors import DataError

# Every boot replays the golden samples, and every download carries them. One is worth more bytes.
GOLDEN, GOLDEN_BYTES, ONE_GOLDEN_BYTES = 3, 2 << 20, 8 << 20
# Largest difference allowed on replay, relative: integer kernels round otherwise on another CPU.
_TOLERANCES = {"int8": 0.02, "dynamic": 0.02, "int16x8": 0.01}


@dataclass(frozen=True)
class Meaning:
    """What the model's numbers mean, as far as somebody said so."""

    name: str
    version: str
    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    image: Mapping[str, Any] | None = None
    activation: str = ""


def meaning(arguments: argparse.Namespace, prepared: Prepared) -> Meaning:
    """What the command line and the data say; DataError where it does not fit the model."""
    data: dict[str, Any] = prepared.told["data"] or {}
    source = Path(arguments.model or arguments.architecture.split(":")[0])
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", source.stem).strip("-.") or "model"
    features = arguments.feature_names or tuple(data.get("features", ()))
    inputs = prepared.told["inputs"]
    if arguments.feature_names and (len(inputs) > 1 or inputs[0]["shape"][1:] != [len(features)]):
        told = ", ".join(f"{item['name']} {item['shape'][1:]}" for item in inputs)
        raise DataError(f"--feature-names gives {len(features)} names, the inputs are {told}")
    image = data.get("image") or None
    if image is None and arguments.normalize:
        image = images.meaning(arguments.normalize, inputs[0]["shape"])
    activation = arguments.activation or ""
    labels = read_labels(arguments, prepared)
    return Meaning(arguments.name or stem[:64], arguments.version, labels, features, image, activation)


def read_labels(arguments: argparse.Namespace, prepared: Prepared) -> tuple[str, ...]:
    """The labels of --labels, else the classes of the data's folders."""
    path: Path | None = arguments.labels
    if path is None:
        data: dict[str, Any] = prepared.told["data"] or {}
        return tuple(data.get("labels", ()))
    try:
        return tuple(line.strip() for line in path.read_text("utf-8-sig").strip().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--labels {path}: cannot be read: {error}") from None


def pack(
    path: Path,
    chosen: Candidate,
    prepared: Prepared,
    meaning: Meaning,
    provenance: Mapping[str, Any],
) -> Artifact:
    """Write the artifact, whole or not at all. Raises DataError where labels do not fit."""
    proof = next(iter(chosen.proofs.values()))
    inputs = tuple(_input(spec, prepared, meaning) for spec in proof.signature["inputs"].values())
    labelled = labelled_output(proof.outputs, meaning.labels)
    outputs = tuple(
        _output(proof.signature["outputs"][name], proof.outputs[name], prepared, meaning, labelled)
        for name in sorted(proof.outputs)
    )
    manifest = Manifest(
        name=meaning.name,
        version=meaning.version,
        flatbuffer=Flatbuffer(0, ""),
        inputs=inputs,
        outputs=outputs,
        proven_on=tuple(Proof(p.package, p.version) for p in chosen.proofs.values()),
        quantization=chosen.mode,
        fidelity=chosen.fidelity.to_json() if chosen.fidelity else {},
        provenance=provenance,
    )
    samples = golden(chosen, prepared)
    return artifact.write(path, chosen.path.read_bytes(), manifest, meaning.labels, samples)


def golden(chosen: Candidate, prepared: Prepared) -> Samples | None:
    """A few samples, each one run of the interpreter; None where even one is too large."""
    proof = next(iter(chosen.proofs.values()))
    inputs = arrays.load(prepared.folder / "samples")
    groups = (inputs, proof.outputs, prepared.keras())
    rows = arrays.rows(proof.outputs)
    size = rows if prepared.batch == "none" else 1
    one = sum(array[:size].nbytes for group in groups for array in group.values())
    if one > ONE_GOLDEN_BYTES:
        return None
    count = max(1, min(GOLDEN, rows // size, GOLDEN_BYTES // max(one, 1)))
    picked = np.unique(np.linspace(0, rows - size, count).astype(int))
    given, answered, keras = (_runs(group, picked, size) for group in groups)
    tolerance = max(_TOLERANCES.get(chosen.mode, 1e-3), 2 * _spread(chosen, picked, size))
    return Samples(given, answered, keras, float(f"{tolerance:.2g}"))


def labelled_output(outputs: Mapping[str, Array], labels: tuple[str, ...]) -> str:
    """The output that the labels name, "" without labels; DataError where none has their number."""
    if not labels:
        return ""
    fits = [name for name, array in outputs.items() if array.shape[-1:] == (len(labels),)]
    binary = [name for name, array in outputs.items() if array.shape[-1:] == (1,)]
    if len(labels) == 2 and not fits:
        fits = binary
    if fits:
        return min(fits)
    told = ", ".join(f"{name} {list(array.shape[1:])}" for name, array in outputs.items())
    raise DataError(f"there are {len(labels)} labels, but no output has as many scores: {told}")


def _input(spec: TensorSpec, prepared: Prepared, meaning: Meaning) -> Tensor:
    features = meaning.features if len(prepared.told["inputs"]) == 1 else ()
    image = _image(meaning.image) if meaning.image and len(spec.shape) == 4 else None
    return Tensor(spec.name, spec.dtype, spec.shape, prepared.batch != "none", features=features, image=image)


def _output(spec: TensorSpec, answers: Array, prepared: Prepared, meaning: Meaning, labelled: str) -> Tensor:
    batch = prepared.batch != "none"
    first = {"dynamic": -1, "row": 1}.get(prepared.batch, answers.shape[0])
    variable = spec.shape[1:] if len(spec.shape) == answers.ndim else (0,) * (answers.ndim - 1)
    rest = (-1 if told < 0 else size for told, size in zip(variable, answers.shape[1:], strict=True))
    activation = meaning.activation or prepared.told["activations"].get(spec.name, "")
    return Tensor(
        spec.name,
        spec.dtype,
        (first, *rest),
        batch,
        labels=spec.name == labelled,
        activation=activation,
    )


def _image(told: Mapping[str, Any]) -> Image:
    return Image(
        told["height"],
        told["width"],
        told["channels"],
        told["scale"],
        tuple(told["mean"]),
        tuple(told["std"]),
    )


def _runs(group: Mapping[str, Array], picked: Array, size: int) -> dict[str, Array]:
    return {name: np.stack([np.asarray(array[row : row + size]) for row in picked]) for name, array in group.items()}


def _spread(chosen: Candidate, picked: Array, size: int) -> float:
    """How far the targets' answers lie apart on the golden samples, relative."""
    runs = [_runs(proof.outputs, picked, size) for proof in chosen.proofs.values()]
    apart = 0.0
    for name, first in runs[0].items():
        if first.dtype.kind not in "fiu":
            continue
        scale = max(float(np.abs(first).max(initial=0.0)), 1e-6)
        for other in runs[1:]:
            difference = np.abs(first.astype(float) - other[name].astype(float))
            apart = max(apart, float(difference.max(initial=0.0)) / scale)
    return apart
