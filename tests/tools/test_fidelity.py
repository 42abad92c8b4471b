"""Figures that nothing hides: NaN, one huge value, quiet columns; and which metric right answers are measured by."""

from __future__ import annotations

import numpy as np
import pytest

from tools import fidelity
from tools.arrays import Array

RANDOM = np.random.default_rng(5)


def nearness(keras: Array, model: Array) -> float:
    return fidelity.compare({"y": keras}, {"y": model}).sqnr_db


def scores(*shape: int) -> Array:
    return RANDOM.normal(size=shape).astype(np.float32)


def softmax(logits: Array) -> Array:
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def metric(keras: Array, model: Array, targets: Array) -> tuple[str, float, float]:
    found = fidelity.measure(keras, model, targets)
    assert found is not None
    return found.name, found.keras, found.model


def test_numbers_are_compared_between_nan_and_infinities_at_the_same_places() -> None:
    keras = scores(20, 3)
    keras[3, 1], keras[4, 0], keras[5, 0] = np.nan, np.inf, -np.inf
    assert nearness(keras, keras) == fidelity.EXACT
    noisy = keras * np.float32(1.1)
    assert nearness(keras, noisy) == pytest.approx(20, abs=0.1)
    assert fidelity.compare({"y": keras}, {"y": noisy}).max_error < 1


@pytest.mark.parametrize(
    ("one", "other"), [(np.nan, np.inf), (np.inf, -np.inf), (1.0, np.nan), (np.inf, 1.0), (np.nan, 0.0)]
)
def test_nan_or_an_infinity_that_only_one_has_is_refused(one: float, other: float) -> None:
    keras = scores(20, 3)
    model = keras.copy()
    keras[2, 1], model[2, 1] = one, other
    with pytest.raises(ValueError, match=r"Keras answers NaN or an infinity in \d of 20 rows, .* same places"):
        nearness(keras, model)


def test_answers_without_a_number_are_refused() -> None:
    with pytest.raises(ValueError, match="output y: Keras answers no number"):
        nearness(np.full((5, 3), np.nan), np.full((5, 3), np.nan))


def test_numbers_of_any_size_have_their_figures() -> None:
    keras = scores(20, 3).astype(np.float64)
    for scale in (1e-300, 1e300):
        assert nearness(keras * scale, keras * scale * 1.01) == pytest.approx(40, abs=0.1)


def test_one_huge_row_does_not_hide_the_others() -> None:
    keras = scores(32, 3)
    model = -keras
    keras[7] = model[7] = 1e20
    assert nearness(keras, model) < fidelity.BROKEN
    model[:7], model[8:] = keras[:7] * np.float32(1.001), keras[8:] * np.float32(1.001)
    assert nearness(keras, model) == pytest.approx(60, abs=0.1)


def test_a_loud_column_does_not_hide_a_quiet_one() -> None:
    keras = np.stack([3e5 + scores(32), scores(32), 2e5 + scores(32)], axis=1)
    model = keras.copy()
    model[:, 1] = 0
    assert nearness(keras, model) < fidelity.BROKEN


def test_empty_constant_and_unlikely_columns_fail_no_good_model() -> None:
    keras = scores(32, 4)
    keras[:, 0], keras[:, 1] = 0, 7
    noise = 1e-4 * scores(32, 4)
    noise[:, 0] = 1e-9
    assert nearness(keras, keras + noise) > 60
    certain = softmax(8 * scores(200, 10) + 30 * np.eye(10)[0])
    assert nearness(certain, certain + np.float32(1e-4)) > 60
    halves = np.maximum(scores(64, 1), 0)
    assert nearness(halves, halves + np.float32(1e-4)) > 60


def test_ordinary_answers_have_the_figure_of_all_of_them() -> None:
    for keras in (scores(200, 1), scores(200, 10), softmax(3 * scores(200, 10)), scores(40, 8, 8, 2)):
        noisy = keras + 0.01 * RANDOM.normal(size=keras.shape)
        assert nearness(keras, noisy) == fidelity.sqnr(keras.astype(float), noisy)


def test_columns_of_numbers_are_measured_by_their_mean_absolute_error() -> None:
    keras = scores(200, 3)
    assert metric(keras, keras + 1, keras)[0] == "mean absolute error"
    assert metric(softmax(keras), softmax(keras), softmax(keras))[0] == "mean absolute error"
    assert metric(scores(9, 1), scores(9, 1), np.arange(9))[0] == "mean absolute error"


def test_labels_that_are_not_one_hot_are_counted_one_by_one() -> None:
    wanted = np.array([[1, 1, 0], [0, 0, 0]])
    probabilities = np.array([[0.9, 0.8, 0.1], [0.2, 0.3, 0.6]], np.float32)
    assert metric(probabilities, np.zeros((2, 3), np.float32), wanted) == ("accuracy by label", 5 / 6, 4 / 6)
    logits = probabilities * 10 - 5
    assert metric(logits, logits, wanted) == ("accuracy by label", 5 / 6, 5 / 6)


def test_a_score_without_a_sigmoid_is_a_yes_above_zero() -> None:
    logits = np.array([[-3.0], [0.2], [4.0]], np.float32)
    assert metric(logits, np.array([[1.0], [0.2], [4.0]]), np.array([0, 1, 1])) == ("accuracy", 1, 2 / 3)
    assert metric(np.array([[0.3], [0.6]]), np.array([[0.3], [0.6]]), np.array([[0], [1]])) == ("accuracy", 1, 1)


@pytest.mark.parametrize("classes", [np.array([1, 2, 3]), np.array([0, 1, -1])])
def test_classes_beyond_the_scores_are_not_measured(classes: Array) -> None:
    assert fidelity.measure(scores(3, 3), scores(3, 3), classes) is None


def test_the_largest_score_is_looked_at_only_where_it_is_a_choice() -> None:
    logits, classes = scores(30, 3), np.arange(30) % 3
    assert fidelity.compare({"y": logits}, {"y": logits}).agreement is None
    assert fidelity.compare({"y": logits}, {"y": logits}, {"y": logits}).agreement is None
    assert fidelity.compare({"y": logits}, {"y": logits}, {"y": classes}).agreement == 1
    assert fidelity.compare({"y": logits}, {"y": logits}, {"y": np.eye(3)[classes]}).agreement == 1
    assert fidelity.compare({"y": softmax(logits)}, {"y": softmax(logits)}).agreement == 1
