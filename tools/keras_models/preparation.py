"""The first job: load the model, take the sample data, answer it with Keras, save a SavedModel.

All in one process, because all of it needs the loaded model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from runtime.signature import describe
from tools import arrays, calibration, fidelity, model_files, plausible, right_answers
from tools.arrays import Array
from tools.errors import SourceFileError
from tools.keras_models import meaning, renaming
from tools.keras_models.loading import load, rebuild
from tools.keras_models.ranges import input_range
from tools.keras_models.subject import Subject, to_numpy

_CHUNK = 32
_RESCALING = ("Rescaling", "Normalization")  # a model with one of these takes pixels as they are


def prepare(options: dict[str, Any], folder: str, row_by_row: bool, fixed: bool) -> dict[str, Any]:
    """Fill `folder` with `saved/`, `samples/`, `keras/` (and `targets/`); describe the model.

    `row_by_row` fixes the batch to 1 where it is variable, `fixed` all other variable sizes to those of the samples.
    Raises SourceFileError, DataError.
    """
    out = Path(folder)
    file = _file(options)
    subject = _load(file, options, row_by_row)
    loops, own = _traced(subject)
    renaming.rename_inputs(subject, options["input_names"])
    outputs = renaming.rename_outputs(subject, options["output_names"], own)
    calibration.picture(options["reading"]["normalize"], [(spec.name, spec.shape) for spec in subject.inputs])
    batch = _batch(subject)
    samples, data = _samples(subject, outputs, options, batch)
    keras = _answer(subject, samples, batch)
    notes = [*_renamed(subject, options["input_names"]), *_broken(keras)]
    if fixed:
        notes += _fix_sizes(subject, samples)
    if batch == "dynamic" and (row_by_row or loops):
        batch = "row"
    subject.save(out / "saved", 1 if batch == "row" else None)
    arrays.save(out / "samples", samples)
    arrays.save(out / "keras", keras)
    if data is not None:
        targets, doubts = right_answers.measurable(keras, data.targets)
        arrays.save(out / "targets", targets)
        data = replace(data, warnings=(*data.warnings, *doubts))
    return {
        "framework": subject.framework,
        "tensorflow": tf.__version__,
        "batch": batch,
        "loops": loops,
        "layers": [layer.name for layer in subject.layers()],
        "inputs": [{"name": spec.name, "dtype": spec.dtype, "shape": spec.shape} for spec in subject.inputs],
        "outputs": [
            {
                "name": name,
                "dtype": "string" if array.dtype.kind in "OS" else array.dtype.name,
                "shape": array.shape,
            }
            for name, array in keras.items()
        ],
        "activations": meaning.activations(subject, list(keras)),
        "data": data.describe() if data else None,
        "notes": notes,
    }


def _load(file: model_files.ModelFile, options: dict[str, Any], row_by_row: bool) -> Subject:
    custom, trust = options["custom_objects"] or "", bool(options["trust"])
    subject = load(file, custom, trust)
    if file.kind == model_files.SAVED_MODEL and _batch(subject) == "dynamic" and (row_by_row or _traced(subject)[0]):
        # Its traced functions keep the variable batch inside: only Keras's own layers can fix it.
        return rebuild(file.path, custom, trust) or subject
    return subject


def _file(options: dict[str, Any]) -> model_files.ModelFile:
    if options.get("architecture"):
        weights = Path(options["weights"]) if options.get("weights") else None
        return model_files.parts(options["architecture"], weights)
    return model_files.identify(Path(options["model"]))


def _samples(
    subject: Subject, outputs: list[str], options: dict[str, Any], batch: str
) -> tuple[dict[str, Array], calibration.Data | None]:
    """The data that was given, else plausible values."""
    specs = [spec.as_input() for spec in subject.inputs]
    if options["data"]:
        reading = dict(options["reading"])
        if not reading["normalize"] and any(type(layer).__name__ in _RESCALING for layer in subject.layers()):
            reading["normalize"] = "none"
        data = calibration.load(options["data"], specs, outputs, calibration.Options(**reading))
        return dict(data.inputs), data
    ranges = {spec.name: input_range(subject, spec) for spec in subject.inputs}
    rows = specs[0].shape[0] if batch == "none" else plausible.ROWS
    return plausible.draw(specs, ranges, rows), None


def _batch(subject: Subject) -> str:
    """`dynamic`, `row` (dimension 0 is 1) or `none`, as runtime.signature has it."""
    firsts = {spec.shape[0] if spec.shape else 0 for spec in subject.inputs}
    if firsts == {-1}:
        return "dynamic"
    return "row" if firsts <= {-1, 1} else "none"


def _answer(subject: Subject, samples: dict[str, Array], batch: str) -> dict[str, Array]:
    """What Keras gives for the samples, each row on its own where the batch is fixed."""
    count = arrays.rows(samples)
    size = {"dynamic": _CHUNK, "row": 1}.get(batch, count)
    parts = []
    for start in range(0, count, size):
        chunk = arrays.take(samples, slice(start, start + size))
        try:
            tensors = {name: tf.convert_to_tensor(array) for name, array in chunk.items()}
            answers = to_numpy(subject.call(tensors))
        except (ValueError, TypeError, tf.errors.OpError) as error:
            told = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in subject.inputs)
            tried = ", ".join(f"{name} {list(array.shape)}" for name, array in samples.items())
            open_sizes = any(-1 in spec.shape[1:] for spec in subject.inputs)
            hint = f". It was tried with {tried}: give samples of a size it takes, with --data" if open_sizes else ""
            why = str(error).partition("\n")[0].rstrip(".")
            raise SourceFileError(
                f"the model loads but cannot be called with its own inputs ({told}): {why}{hint}"
            ) from error
        for name, array in answers.items():
            if array.shape[:1] != (arrays.rows(chunk),):
                raise SourceFileError(
                    f"output {name} of shape {list(array.shape)} has no row for each of {arrays.rows(chunk)} rows: "
                    "let the model give one answer a row, with dimension 0 for the batch"
                )
        parts.append(answers)
    return arrays.join(parts)


def _renamed(subject: Subject, asked: list[str]) -> list[str]:
    """A note of each input that was given another name, where nobody asked for it."""
    wanted = {text.rpartition("=")[2] for text in asked}
    return [
        f"the input {own!r} is called {spec.name!r} in requests: --input-name gives it another name"
        for own, spec in zip(subject.own_names, subject.inputs, strict=True)
        if own != spec.name and spec.name not in wanted
    ]


def _broken(keras: Mapping[str, Array]) -> list[str]:
    """Warnings of Keras's own NaN and infinities; SourceFileError where an output holds nothing else."""
    found = []
    for name, array in keras.items():
        rows = fidelity.broken_rows(array)
        if not rows:
            continue
        told = f"Keras answers NaN or infinities to {rows} of {len(array)} rows of {name}"
        if not np.isfinite(array).any():
            raise SourceFileError(f"{told}, and not one number: the weights or the samples are broken")
        found.append(f"{told}: the weights or the samples may be broken. Only the other numbers are measured")
    return found


def _fix_sizes(subject: Subject, samples: Mapping[str, Array]) -> list[str]:
    """Give every variable size but the batch the samples' own, and say so."""
    told = []
    for place, spec in enumerate(subject.inputs):
        shape = (*spec.shape[:1], *samples[spec.name].shape[1:])
        if -1 in spec.shape[1:]:
            told.append(f"{spec.name} {describe(shape[1:])} in place of {describe(spec.shape[1:])}")
        subject.inputs[place] = replace(spec, shape=shape)
    note = (
        f"the interpreter answers right for one size only, which is that of the samples: {', '.join(told)}. "
        "Give --data of the size that you need, and send rows of that size (shorter ones padded as in training)"
    )
    return [note]


def _traced(subject: Subject) -> tuple[bool, list[str]]:
    """Whether the traced model has loops over tensor lists, as recurrent layers make them, and its outputs' names.

    The lists' element shape must be static for the converter, so the batch must be; and quantizing
    activations crashes it.
    """
    function = tf.function(subject.call)
    traced = function.get_concrete_function({spec.name: spec.tensor(None) for spec in subject.inputs})
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for body in graph.library.function for node in body.node_def)]
    loops = any(node.op in ("TensorListReserve", "TensorListFromTensor") for node in nodes)
    return loops, list(traced.structured_outputs)
