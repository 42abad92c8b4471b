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
from tools import arrays, calibration
from tools.arrays import Array
from tools.candidates import Candidate, Prepared
from tools.errors import DataError, ExportError

# Every boot replays the golden samples, and every download carries them. One is worth more bytes.
GOLDEN, GOLDEN_BYTES, ONE_GOLDEN_BYTES = 3, 2 << 20, 8 << 20
FIRST_VERSION = "1.0.0"
# Largest difference allowed on replay, relative: integer kernels round otherwise on another CPU.
_TOLERANCES = {"int8": 0.02, "dynamic": 0.02, "int16x8": 0.01}


@dataclass(frozen=True)
class Meaning:
    """What the model's numbers mean, as far as somebody said so.

    What is empty is as the manifest has it where an artifact was given.
    """

    name: str
    version: str
    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    image: Mapping[str, Any] | None = None
    activation: str = ""


def meaning(arguments: argparse.Namespace, prepared: Prepared) -> Meaning:
    """What the command line, else the artifact that was given, else the data says.

    DataError where it does not fit the model.
    """
    data: dict[str, Any] = prepared.told["data"] or {}
    inputs = prepared.told["inputs"]
    known = prepared.manifest.inputs if prepared.manifest else ()
    features = arguments.feature_names
    if features and (len(inputs) > 1 or inputs[0]["shape"][1:] != [len(features)]):
        told = ", ".join(f"{item['name']} {item['shape'][1:]}" for item in inputs)
        raise DataError(f"--feature-names gives {len(features)} names, the inputs are {told}")
    if not features and not any(tensor.features for tensor in known):
        features = tuple(data.get("features", ()))
    image = None
    if arguments.normalize or not any(tensor.image for tensor in known):
        image = data.get("image") or calibration.picture(
            arguments.normalize, [(item["name"], item["shape"]) for item in inputs]
        )
    name, version = _name(arguments, prepared)
    return Meaning(name, version, read_labels(arguments, prepared), features, image, arguments.activation or "")


def read_labels(arguments: argparse.Namespace, prepared: Prepared) -> tuple[str, ...]:
    """The labels of --labels, else those of the artifact that was given, else the classes of the data's folders."""
    if arguments.labels is not None:
        return label_lines(arguments.labels)
    if prepared.given and prepared.given.labels:
        return prepared.given.labels
    data: dict[str, Any] = prepared.told["data"] or {}
    return tuple(data.get("labels", ()))


def label_lines(path: Path) -> tuple[str, ...]:
    """The file of --labels, one a line; DataError where it cannot be read."""
    try:
        found = tuple(line.strip() for line in path.read_text("utf-8-sig").strip().splitlines())
    except FileNotFoundError:
        raise DataError(f"--labels {path}: there is no such file") from None
    except OSError as error:
        raise DataError(f"--labels {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"--labels {path}: is not text in UTF-8, one label a line") from None
    if not found:
        raise DataError(f"--labels {path}: there is no label in it, one a line")
    return found


def _name(arguments: argparse.Namespace, prepared: Prepared) -> tuple[str, str]:
    """The model's name and version."""
    source = Path(arguments.model or arguments.architecture.split(":")[0])
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", source.stem).strip("-.") or "model"
    known = prepared.manifest
    return (
        arguments.name or (known.name if known else stem[:64]),
        arguments.version or (known.version if known else FIRST_VERSION),
    )


def pack(
    path: Path,
    chosen: Candidate,
    prepared: Prepared,
    meaning: Meaning,
    provenance: Mapping[str, Any],
) -> Artifact:
    """Write the artifact, whole or not at all. DataError where labels do not fit, ExportError where it cannot be."""
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
        proven_on=_proofs(chosen, prepared),
        quantization=chosen.mode,
        fidelity=_fidelity(chosen, prepared),
        provenance=provenance,
    )
    samples = golden(chosen, prepared)
    try:
        return artifact.write(path, chosen.path.read_bytes(), manifest, meaning.labels, samples)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}") from None


def _proofs(chosen: Candidate, prepared: Prepared) -> tuple[Proof, ...]:
    """The interpreters that have run the file; of an artifact that was given also those which ran it before."""
    here = tuple(Proof(p.package, p.version) for p in chosen.proofs.values())
    names = {proof.interpreter for proof in here}
    known = prepared.manifest.proven_on if prepared.manifest else ()
    return (*(proof for proof in known if proof.interpreter not in names), *here)


def _fidelity(chosen: Candidate, prepared: Prepared) -> Mapping[str, Any]:
    """The comparison with Keras; that of an artifact that was given was on more rows than its golden samples."""
    if prepared.manifest and prepared.manifest.fidelity:
        return prepared.manifest.fidelity
    return chosen.fidelity.to_json() if chosen.fidelity else {}


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
    picked = _picked(proof.outputs, rows, size, count)
    given, answered, keras = (_runs(group, picked, size) for group in groups)
    tolerance = max(_TOLERANCES.get(chosen.mode, 1e-3), 2 * _spread(chosen, picked, size))
    if prepared.golden is not None:
        tolerance = max(tolerance, prepared.golden.tolerance)
    return Samples(given, answered, keras, float(f"{tolerance:.2g}"))


def _picked(outputs: Mapping[str, Array], rows: int, size: int, count: int) -> Array:
    """Where each of `count` samples of `size` rows begins, evenly; those answered by NaN or infinities only at need."""
    starts = np.arange(rows - size + 1)
    whole = np.ones(rows, bool)
    for array in outputs.values():
        if array.dtype.kind == "f":
            whole &= np.isfinite(array.reshape(rows, -1)).all(axis=1)
    sound = np.array([start for start in starts if whole[start : start + size].all()], int)
    starts = sound if sound.size else starts
    evenly = np.linspace(0, len(starts) - 1, count).astype(int)
    picked: Array = np.unique(starts[evenly])
    return picked


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
    known = prepared.manifest.inputs if prepared.manifest else ()
    old = next((tensor for tensor in known if tensor.name == spec.name), None)
    features = meaning.features if len(prepared.told["inputs"]) == 1 else ()
    image = _image(meaning.image) if meaning.image and len(spec.shape) == 4 else None
    return Tensor(
        spec.name,
        spec.dtype,
        spec.shape,
        prepared.batch != "none",
        features=features or (old.features if old else ()),
        image=image or (old.image if old else None),
    )


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
