"""Right answers in sample data: each goes to its output, and none is passed over without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tools import houses
from tests.tools.conftest import Export
from tools import calibration, fidelity, report, right_answers, selection
from tools.arrays import Array
from tools.calibration import Data, Input, Options
from tools.candidates import Candidate
from tools.errors import DataError
from tools.fidelity import Fidelity, Figures, Metric

HOUSES = ("--architecture", "tests.tools.houses:two")
BOTH = ("price", "risk")
ROOMS = [Input("rooms", "float32", (-1, 3))]


def load(source: object, outputs: tuple[str, ...] = BOTH, target_column: str = "") -> Data:
    return calibration.load(str(source), ROOMS, outputs, Options(target_column))


def saved(path: Path, **arrays: Array) -> Path:
    np.savez(path, **arrays)
    return path


def test_arrays_with_the_names_of_outputs_are_their_right_answers(tmp_path: Path) -> None:
    given = houses.rows()
    data = load(saved(tmp_path / "x.npz", **given))
    assert set(data.inputs) == {"rooms"}
    assert data.targets["price"].tolist() == given["price"].tolist()
    assert data.targets["risk"].tolist() == given["risk"].tolist()
    assert set(load("tests.tools.houses:rows").targets) == {"price", "risk"}


def test_y_is_the_right_answer_of_the_only_output_and_refused_where_there_are_several(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npz", rooms=np.ones((40, 3)), y=np.ones(40))
    assert set(load(path, ("price",)).targets) == {"price"}
    with pytest.raises(DataError, match=r"'y' does not tell which output .* price or risk: .* the name of its output"):
        load(path)


def test_an_input_may_have_a_usual_name_of_right_answers(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npz", y=np.ones((40, 3)))
    data = calibration.load(str(path), [Input("y", "float32", (-1, 3))], BOTH, Options())
    assert data.inputs["y"].shape == (40, 3)
    assert data.targets == {}


def test_columns_with_the_names_of_outputs_are_their_right_answers(tmp_path: Path) -> None:
    path = houses.table(tmp_path / "x.csv")
    for target in ("", "price"):
        data = load(path, target_column=target)
        assert data.features == ("a", "b", "c")
        assert set(data.targets) == {"price", "risk"}
    with pytest.raises(DataError, match=r"--target-column c: the model has the outputs price, risk"):
        load(path, target_column="c")
    alone = load(houses.table(tmp_path / "y.csv", risk=False), target_column="price")
    assert set(alone.targets) == {"price"}


def test_a_column_with_a_usual_name_is_refused_where_there_are_several_outputs(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b,c,label\n1,2,3,0\n4,5,6,1\n", "utf-8")
    assert set(load(path, ("risk",)).targets) == {"risk"}
    with pytest.raises(DataError, match=r"the column 'label' does not tell which output"):
        load(path)


def test_classes_of_a_folder_are_said_to_be_measured_for_no_output_where_there_are_several(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "one.png")
    picture = [Input("photo", "float32", (-1, 4, 4, 1))]
    data = calibration.load(str(tmp_path), picture, BOTH, Options(normalize="none"))
    assert data.targets == {}
    assert any("classes are not measured: the model has several outputs" in warning for warning in data.warnings)


def test_a_function_returns_right_answers_by_output() -> None:
    assert set(right_answers.returned("m:f", {"risk": [0, 1]}, BOTH)) == {"risk"}
    with pytest.raises(DataError, match=r"returns right answers to cost, the model's outputs are price, risk"):
        right_answers.returned("m:f", {"cost": [0, 1]}, BOTH)
    with pytest.raises(DataError, match="does not tell which output"):
        right_answers.returned("m:f", [0, 1], BOTH)


def test_right_answers_that_cannot_be_measured_are_told() -> None:
    keras = {"risk": np.array([[0.9, 0.1], [0.2, 0.8]], np.float32), "price": np.full((2, 1), 5, np.float32)}
    answers = {"risk": np.array(["lów", "high"]), "price": np.ones((2, 5))}
    good, doubts = right_answers.measurable(keras, answers)
    assert good == {}
    assert "the right answers to risk are text and are not measured" in doubts[0]
    assert "float64 numbers of shape [2, 5]" in doubts[1]
    assert right_answers.measurable(keras, {"risk": np.array([0, 1])})[1] == []


def test_each_output_has_its_metric_and_the_worst_speaks_for_the_model() -> None:
    keras = {"price": np.array([[1.0], [2.0]], np.float32), "risk": np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)}
    model = {"price": keras["price"] + 1, "risk": keras["risk"]}
    found = fidelity.compare(keras, model, {"price": np.array([1.5, 2.5]), "risk": np.array([0, 1])})
    assert {name: metric.name for name, metric in found.metrics.items()} == {
        "price": "mean absolute error",
        "risk": "accuracy",
    }
    assert found.metric is found.metrics["price"]
    assert found.to_json()["outputs"]["risk"]["metric"]["keras"] == 1.0


def test_an_output_must_keep_its_metric_and_those_without_one_their_nearness() -> None:
    figures = {"price": Figures(0.1, 0.1, 25.0, None), "risk": Figures(0.1, 0.1, 60.0, None)}

    def reason(metrics: dict[str, Metric]) -> str:
        item = Candidate("int8", Path(), fidelity=Fidelity(100, figures, metrics))
        return selection.judge(item, selection.Limits(0.01, 30), made_up=False).reason

    kept, lost = Metric("mean absolute error", 1.0, 1.0), Metric("accuracy", 0.9, 0.8)
    assert reason({"price": kept}) == ""
    assert "risk: accuracy is 0.1 worse" in reason({"price": kept, "risk": lost})
    assert "25.0 dB, the floor is 30" in reason({"risk": Metric("accuracy", 0.9, 0.9)})


@pytest.mark.parametrize("source", ["npz", "csv"])
def test_the_report_has_a_column_for_each_output_with_right_answers(
    export: Export, tmp_path: Path, source: str
) -> None:
    csv = source == "csv"
    path = houses.table(tmp_path / "x.csv", risk=False) if csv else saved(tmp_path / "x.npz", **houses.rows())
    told = export(*HOUSES, "--data", path, *(["--target-column", "price"] if csv else []), "--quantize", "none")
    heads = report.table_heads(told)
    assert "price: mean absolute error (change)" in heads
    assert ("risk: accuracy (change)" in heads) is not csv
    assert told.written is not None
    assert told.written.manifest is not None
    assert told.written.manifest.fidelity["outputs"]["price"]["metric"]["name"] == "mean absolute error"
    assert len(heads) == len(report.row_cells(told, told.candidates[0]))


@pytest.mark.slow
def test_right_answers_are_named_as_the_outputs_are_after_renaming(export: Export, tmp_path: Path) -> None:
    given = houses.rows()
    path = saved(tmp_path / "x.npz", rooms=given["rooms"], cost=given["price"])
    words = ("--output-name", "price=cost", "--data", path, "--quantize", "none")
    told = export(*HOUSES, *words)
    assert "cost: mean absolute error (change)" in report.table_heads(told)
