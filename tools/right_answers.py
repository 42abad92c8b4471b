"""The right answers among sample data, each with the output that it is of.

An array or column with an output's name is that output's; one with a usual name (`y`, `labels` ...), a target column
and the classes of a folder of images are the only output's, where there is only one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tools import fidelity
from tools.arrays import Array
from tools.errors import DataError

USUAL = ("y", "labels", "label", "targets", "target", "y_test", "y_train")


def split(
    source: str, arrays: Mapping[str, Array], inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The arrays that are samples, and the right answers by output; DataError where it is not clear whose they are."""
    samples = {name: array for name, array in arrays.items() if name in inputs or name not in (*outputs, *USUAL)}
    answers = {name: array for name, array in arrays.items() if name in outputs and name not in samples}
    usual = [name for name in arrays if name not in samples and name not in answers]
    if usual and (not answers or len(outputs) > 1):
        answers |= of_the_only(f"--data {source}: {usual[0]!r}", arrays[usual[0]], outputs)
    return samples, answers


def of_the_only(what: str, answers: Array, outputs: Sequence[str]) -> dict[str, Array]:
    """Answers that name no output, as those of the only one; DataError where there are several."""
    if len(outputs) > 1:
        raise DataError(
            f"{what} does not tell which output it has the right answers to, {' or '.join(outputs)}: "
            "give each array or column of right answers the name of its output"
        )
    return dict.fromkeys(outputs, answers)


def returned(source: str, value: Any, outputs: Sequence[str]) -> dict[str, Array]:
    """What a function returned as right answers: a dict by output name, or an array for the only output."""
    if not isinstance(value, Mapping):
        return of_the_only(f"--data {source}", np.asarray(value), outputs)
    unknown = [str(name) for name in value if name not in outputs]
    if unknown:
        raise DataError(
            f"--data {source} returns right answers to {', '.join(unknown)}, the model's outputs are "
            f"{', '.join(outputs)}: name them as the outputs"
        )
    return {name: np.asarray(array) for name, array in value.items()}


def columns(header: Sequence[str], inputs: Sequence[str], outputs: Sequence[str], target: str) -> list[str]:
    """The columns of a table that are right answers by their names; `target` is --target-column.

    DataError where `target` is none of several outputs. Empty where there is one output and `target` says which
    column it is, or the column has a usual name.
    """
    if len(outputs) == 1 and target:
        return []
    if target and target not in outputs:
        raise DataError(
            f"--target-column {target}: the model has the outputs {', '.join(outputs)}: "
            "name each column of right answers as its output"
        )
    return [name for name in header if name in outputs and name not in inputs]


def measurable(keras: Mapping[str, Array], answers: Mapping[str, Array]) -> tuple[dict[str, Array], list[str]]:
    """The right answers that a metric can be had from, and in words what is wrong with the others."""
    good, doubts = {}, []
    for name, array in answers.items():
        text = array.dtype.kind not in "biuf"
        if not text and fidelity.measure(keras[name], keras[name], array) is not None:
            good[name] = array
            continue
        kind = "text" if text else f"{array.dtype} numbers of shape {list(array.shape)}"
        doubts.append(
            f"the right answers to {name} are {kind} and are not measured: expected each row's class as a number "
            f"from 0, or numbers of shape {list(keras[name].shape)}"
        )
    return good, doubts
