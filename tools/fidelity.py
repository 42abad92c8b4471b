"""How near the interpreter's answers are to Keras's, and whether that is near enough.

Figures a output and for all: largest and mean absolute error, signal-to-quantization-noise ratio
(SQNR) in dB, top-1 agreement; with targets also the task's own metric and its change.

NaN and infinities must be at the same places in both; all figures are of the numbers between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tools.arrays import Array

BROKEN = 20.0  # dB: every broken file measured was under 15, every sound one over 30
EXACT = 200.0  # dB: what an output without any error is given
ACCURACY, LABEL_ACCURACY, MEAN_ERROR = "accuracy", "accuracy by label", "mean absolute error"
_LOUD = 100.0  # times a usual row's power (20 dB): a row beyond is not to hide the others
_FEW_COLUMNS = 16  # numbers in units of their own, as a regression's; more are features of one kind
_ROUNDING = 1e-12  # times the loudest column's power: float32 itself rounds so
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
        if self.name in (ACCURACY, LABEL_ACCURACY):
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

    A ValueError tells of unlike names or shapes, of NaN or infinities that one has and the other has not, and of
    answers of Keras's without a number among them.
    """
    if keras.keys() != model.keys():
        raise ValueError(f"Keras gives {sorted(keras)}, the interpreter {sorted(model)}")
    rows = min(len(array) for array in model.values())
    given = {name: array[:rows] for name, array in keras.items()}
    right = {name: array[:rows] for name, array in (targets or {}).items()}
    figures = {name: _figures(name, given[name], model[name], right.get(name)) for name in sorted(given)}
    found = {name: measure(given[name], model[name], array) for name, array in right.items()}
    return Fidelity(rows, figures, {name: metric for name, metric in found.items() if metric is not None})


def measure(keras: Array, model: Array, targets: Array) -> Metric | None:
    """Accuracy for classes and for labels, mean absolute error for numbers; None where targets fit none of them."""
    if keras.dtype.kind not in "biuf" or targets.dtype.kind not in "biuf":
        return None
    classes = _classes(keras, targets)
    if classes is not None:
        one, other = (float((top(answers, keras) == classes).mean()) for answers in (keras, model))
        return Metric(ACCURACY, one, other)
    if targets.size != keras.size:
        return None
    wanted = targets.reshape(keras.shape)
    if keras.ndim == 2 and _is_binary(targets):
        one, other = (float(((answers > _threshold(keras)) == wanted).mean()) for answers in (keras, model))
        return Metric(LABEL_ACCURACY, one, other)
    there = np.isfinite(keras) & np.isfinite(model) & np.isfinite(wanted)
    if not there.any():
        return None
    one, other = (float(np.abs(answers[there].astype(float) - wanted[there]).mean()) for answers in (keras, model))
    return Metric(MEAN_ERROR, one, other)


def is_classifier(outputs: Array, targets: Array | None = None) -> bool:
    """Whether each row is a choice of one class: as softmax gives it, one probability, or as the right answers are."""
    if outputs.ndim != 2 or outputs.dtype.kind != "f":
        return False
    if targets is not None and targets.dtype.kind in "biuf":
        return _classes(outputs, targets) is not None
    if not _is_probability(outputs):
        return False
    return outputs.shape[1] == 1 or bool(np.allclose(outputs.sum(axis=1, dtype=float), 1, atol=1e-2))


def top(outputs: Array, keras: Array) -> Array:
    """Each row's class: the largest score's place, or whether the only one is over the threshold of `keras`."""
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > _threshold(keras)).astype(int)
    return np.asarray(outputs.argmax(axis=1))


def broken_rows(outputs: Array) -> int:
    """How many rows hold NaN or an infinity."""
    if outputs.dtype.kind != "f":
        return 0
    return int((~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)).sum())


def _classes(outputs: Array, targets: Array) -> Array | None:
    """Class numbers from numbers or one-hot rows, where `outputs` are scores by class; else None."""
    if outputs.ndim != 2 or outputs.dtype.kind != "f":
        return None
    count = outputs.shape[1]
    if count > 1 and targets.shape == outputs.shape:
        one_hot = _is_binary(targets) and bool((targets.sum(axis=1) == 1).all())
        return np.asarray(targets.argmax(axis=1)) if one_hot else None
    if targets.size != len(outputs) or not bool((targets == np.rint(targets)).all()):
        return None
    flat = targets.reshape(-1)
    return flat.astype(int) if bool(((flat >= 0) & (flat < max(count, 2))).all()) else None


def _is_binary(targets: Array) -> bool:
    return bool(np.isin(targets, (0, 1)).all())


def _is_probability(outputs: Array) -> bool:
    return bool(((outputs >= 0) & (outputs <= 1)).all())


def _threshold(keras: Array) -> float:
    """Where a score becomes a yes: a half for probabilities, 0 where no sigmoid is the last layer."""
    return 0.5 if _is_probability(keras) else 0.0


def _figures(name: str, keras: Array, model: Array, targets: Array | None) -> Figures:
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
    agreement = float((top(keras, keras) == top(model, keras)).mean()) if is_classifier(keras, targets) else None
    one, other = keras.astype(np.float64), model.astype(np.float64)
    there = np.isfinite(one)
    _alike_where_broken(name, one, other)
    if one.size and not there.any():
        raise ValueError(f"output {name}: Keras answers no number, but NaN or infinities everywhere")
    error = np.abs(one[there] - other[there])
    mean = float(error.mean()) if error.size else 0.0
    return Figures(float(error.max(initial=0.0)), mean, _lowest(one, other, there), agreement)


def _alike_where_broken(name: str, keras: Array, model: Array) -> None:
    """ValueError where NaN or infinities are not at the same places."""
    if np.array_equal(np.where(np.isfinite(keras), 0, keras), np.where(np.isfinite(model), 0, model), equal_nan=True):
        return
    raise ValueError(
        f"output {name}: Keras answers NaN or an infinity in {broken_rows(keras)} of {len(keras)} rows, "
        f"the interpreter in {broken_rows(model)}, and not at the same places"
    )


def _lowest(keras: Array, model: Array, there: Array) -> float:
    """SQNR of all, or of a part that what is far louder would hide, where that is lower."""
    signal, noisy = np.where(there, keras, 0), np.where(there, model, 0)
    return min(sqnr(signal[part], noisy[part]) for part in _parts(signal))


def _parts(signal: Array) -> Iterator[Any]:
    """Everything; the rows without those that are far louder; each column (of few) that is far quieter than another."""
    yield ...
    if signal.ndim == 0 or signal.size == 0:
        return
    scaled = signal / (np.abs(signal).max() or 1.0)
    power = np.square(scaled).reshape(len(scaled), -1).mean(axis=1)
    usual = np.sort(power[power > 0])
    if usual.size and (power > _LOUD * usual[(usual.size - 1) // 2]).any():
        yield power <= _LOUD * usual[(usual.size - 1) // 2]
    if 2 <= scaled.shape[-1] <= _FEW_COLUMNS and scaled.ndim > 1 and not _is_probability(signal):
        columns = np.square(scaled).reshape(-1, scaled.shape[-1]).mean(axis=0)
        quiet = (columns < columns.max() / _LOUD) & (columns > columns.max() * _ROUNDING)
        yield from ((..., column) for column in np.flatnonzero(quiet))


def sqnr(signal: Array, noisy: Array) -> float:
    """10 log10(signal power / noise power) in dB, within -200 and 200; of numbers of any size."""
    scale = max(float(np.abs(signal).max(initial=0)), float(np.abs(noisy).max(initial=0))) or 1.0
    noise = float(np.square(noisy / scale - signal / scale).sum())
    power = float(np.square(signal / scale).sum())
    if noise == 0:
        return EXACT
    if power == 0:
        return -EXACT
    return max(-EXACT, min(EXACT, 10 * math.log10(power / noise)))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
