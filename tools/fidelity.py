"""How near the interpreter's answers are to Keras's, and whether that is near enough.

Figures a output and for all: largest and mean absolute error, signal-to-quantization-noise ratio
(SQNR) in dB, top-1 agreement; with targets also the task's own metric and its change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tools.arrays import Array

BROKEN = 20.0  # dB: every broken file measured was under 15, every sound one over 30
EXACT = 200.0  # dB: what an output without any error is given
_MOSTLY_SAME = 60.0  # dB: whole numbers (classes, say) of which 99 % or more are the same


@dataclass(frozen=True)
class Figures:
    """One output's comparison over all rows."""

    max_error: float
    mean_error: float
    sqnr_db: float
    agreement: float | None


@dataclass(frozen=True)
class Metric:
    """The task's metric with Keras's answers and with the interpreter's, on the same rows."""

    name: str
    keras: float
    model: float

    @property
    def drop(self) -> float:
        """How much worse it became; negative when it became better. Errors are relative."""
        if self.name == "accuracy":
            return self.keras - self.model
        return (self.model - self.keras) / max(abs(self.keras), 1e-12)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        figures = {"keras": self.keras, "model": self.model, "drop": self.drop}
        return {"name": self.name, **{name: _rounded(value) for name, value in figures.items()}}


@dataclass(frozen=True)
class Fidelity:
    """The comparison of all outputs, with a metric for each that has right answers; the worst speaks for the model."""

    rows: int
    outputs: Mapping[str, Figures]
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    @property
    def metric(self) -> Metric | None:
        """That of the output which became worst, None without right answers."""
        return max(self.metrics.values(), key=lambda metric: metric.drop, default=None)

    @property
    def sqnr_db(self) -> float:
        """The lowest of all outputs."""
        return min(figures.sqnr_db for figures in self.outputs.values())

    @property
    def max_error(self) -> float:
        """The largest of all outputs."""
        return max(figures.max_error for figures in self.outputs.values())

    @property
    def mean_error(self) -> float:
        """The largest of all outputs' means."""
        return max(figures.mean_error for figures in self.outputs.values())

    @property
    def agreement(self) -> float | None:
        """The lowest of all classifying outputs, None without one."""
        found = [f.agreement for f in self.outputs.values() if f.agreement is not None]
        return min(found, default=None)

    def to_json(self) -> dict[str, Any]:
        """As plain values, rounded so that they do not change with the machine's last bits."""
        told: dict[str, Any] = {
            "rows": self.rows,
            "outputs": {name: self._output(name) for name in self.outputs},
            "sqnr_db": _rounded(self.sqnr_db),
            "max_error": _rounded(self.max_error),
            "mean_error": _rounded(self.mean_error),
        }
        if self.agreement is not None:
            told["agreement"] = _rounded(self.agreement)
        if self.metric is not None:
            told["metric"] = self.metric.to_json()
        return told

    def _output(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = {k: _rounded(v) for k, v in asdict(self.outputs[name]).items() if v is not None}
        if name in self.metrics and len(self.outputs) > 1:
            told["metric"] = self.metrics[name].to_json()
        return told


def compare(
    keras: Mapping[str, Array], model: Mapping[str, Array], targets: Mapping[str, Array] | None = None
) -> Fidelity:
    """Compare the answers by name, row by row; `targets` are the right ones, for outputs that have them.

    A ValueError tells of unlike names or shapes.
    """
    if keras.keys() != model.keys():
        raise ValueError(f"Keras gives {sorted(keras)}, the interpreter {sorted(model)}")
    rows = min(len(array) for array in model.values())
    figures = {name: _figures(name, keras[name][:rows], model[name]) for name in sorted(keras)}
    found = {name: measure(keras[name][:rows], model[name], right[:rows]) for name, right in (targets or {}).items()}
    return Fidelity(rows, figures, {name: metric for name, metric in found.items() if metric is not None})


def measure(keras: Array, model: Array, targets: Array) -> Metric | None:
    """Accuracy for classes, mean absolute error for numbers; None where targets fit neither."""
    classes = _classes(targets)
    if classes is not None and is_classifier(keras):
        one, other = (float((top(answers) == classes).mean()) for answers in (keras, model))
        return Metric("accuracy", one, other)
    if keras.dtype.kind in "biuf" and targets.dtype.kind in "biuf" and targets.size == keras.size:
        flat = targets.reshape(keras.shape).astype(float)
        one, other = (float(np.abs(answers - flat).mean()) for answers in (keras, model))
        return Metric("mean absolute error", one, other)
    return None


def is_classifier(outputs: Array) -> bool:
    """Whether rows are scores a class: (rows, classes), or (rows, 1) of probabilities."""
    if outputs.ndim != 2 or outputs.dtype.kind != "f":
        return False
    return outputs.shape[1] > 1 or bool(((outputs >= 0) & (outputs <= 1)).all())


def top(outputs: Array) -> Array:
    """Each row's class: the largest score's place, or whether the only score is over a half."""
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0.5).astype(int)
    return np.asarray(outputs.argmax(axis=1))


def _classes(targets: Array) -> Array | None:
    """Class numbers from numbers or one-hot rows."""
    if targets.ndim == 2 and targets.shape[1] > 1:
        return np.asarray(targets.argmax(axis=1))
    flat = targets.reshape(-1)
    if flat.dtype.kind in "biu":
        return flat.astype(int)
    whole = flat.dtype.kind == "f" and bool((flat == np.rint(flat)).all())
    return flat.astype(int) if whole else None


def _figures(name: str, keras: Array, model: Array) -> Figures:
    if keras.shape != model.shape:
        raise ValueError(f"output {name}: Keras gives shape {keras.shape}, the interpreter {model.shape}")
    if keras.dtype.kind in "OSb":
        same = float((keras == model).mean())
        return Figures(1 - same, 1 - same, EXACT if same == 1 else 0.0, same)
    if keras.dtype.kind in "iu":
        same = float((keras == model).mean())
        error = np.abs(keras.astype(np.float64) - model.astype(np.float64))
        told = EXACT if same == 1 else float(_MOSTLY_SAME if same >= 0.99 else 0)
        return Figures(float(error.max(initial=0.0)), float(error.mean()), told, same)
    one, other = keras.astype(np.float64), model.astype(np.float64)
    agreement = float((top(keras) == top(model)).mean()) if is_classifier(keras) else None
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return Figures(math.inf, math.inf, -math.inf, agreement)
    one, other = np.nan_to_num(one), np.nan_to_num(other)
    error = np.abs(one - other)
    return Figures(
        float(error.max(initial=0.0)),
        float(error.mean()) if error.size else 0.0,
        sqnr(one, other),
        agreement,
    )


def sqnr(signal: Array, noisy: Array) -> float:
    """10 log10(signal power / noise power) in dB, within -200 and 200."""
    noise = float(np.square(noisy - signal).sum())
    power = float(np.square(signal).sum())
    if noise == 0:
        return EXACT
    if power == 0:
        return -EXACT
    return max(-EXACT, min(EXACT, 10 * math.log10(power / noise)))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
