"""Fidelity figures, operator versions, the choice between modes, and what a model file is."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from tools import fidelity, model_files, operators, proving, selection, targets
from tools.arrays import Array
from tools.candidates import Candidate
from tools.errors import ProofError, SourceFileError
from tools.fidelity import Fidelity, Figures, Metric
from tools.proving import Proof

MODELS = Path(__file__).resolve().parent.parent / "models"


def candidate(mode: str, size: int, cpu_ms: float, sqnr_db: float, metric: Metric | None = None) -> Candidate:
    proof = Proof("tflite-runtime", "2.14.0", {}, cpu_ms, 0.0, {})
    figures = Fidelity(100, {"y": Figures(0.1, 0.1, sqnr_db, None)}, {"y": metric} if metric else {})
    return Candidate(mode, Path(), size, {"tflite-runtime": proof}, figures)


def test_sqnr_is_ten_decibels_a_power_of_ten() -> None:
    signal = np.ones(100)
    assert fidelity.sqnr(signal, signal + 0.1) == pytest.approx(20)
    assert fidelity.sqnr(signal, signal) == fidelity.EXACT
    assert fidelity.sqnr(np.zeros(3), np.ones(3)) == -fidelity.EXACT


def test_the_worst_output_speaks_for_the_model() -> None:
    keras = {"a": np.ones((4, 3), np.float32), "b": np.ones((4, 3), np.float32)}
    found = fidelity.compare(keras, {"a": keras["a"], "b": keras["b"] * 1.1})
    assert found.sqnr_db == pytest.approx(20, abs=0.1)
    assert found.max_error == pytest.approx(0.1, abs=1e-6)


def test_unlike_names_shapes_and_nan_are_found() -> None:
    keras = {"a": np.ones((4, 3), np.float32)}
    with pytest.raises(ValueError, match=r"Keras gives \['a'\], the interpreter \['b'\]"):
        fidelity.compare(keras, {"b": keras["a"]})
    with pytest.raises(ValueError, match="shape"):
        fidelity.compare(keras, {"a": np.ones((4, 2), np.float32)})
    spoiled = keras["a"].copy()
    spoiled[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fidelity.compare(keras, {"a": spoiled})


@pytest.mark.parametrize("targets_", [np.array([0, 1, 1]), np.eye(2)[[0, 1, 1]], np.array([0.0, 1.0, 1.0])])
def test_accuracy_from_numbers_one_hot_rows_or_whole_floats(targets_: Array) -> None:
    keras = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], np.float32)
    model = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]], np.float32)
    found = fidelity.compare({"y": keras}, {"y": model}, {"y": targets_})
    assert found.metric is not None
    assert (found.metric.name, found.metric.keras) == ("accuracy", 1.0)
    assert found.metric.drop == pytest.approx(1 / 3)
    assert found.agreement == pytest.approx(2 / 3)


def test_numbers_are_measured_by_their_mean_absolute_error() -> None:
    keras = np.array([[1.5], [2.5]], np.float32)
    found = fidelity.compare({"y": keras}, {"y": keras + 1}, {"y": np.array([1.0, 2.25])})
    assert found.metric is not None
    assert found.metric.name == "mean absolute error"
    assert found.metric.keras == pytest.approx(0.375)


def test_the_fastest_wins_and_among_equals_the_smallest() -> None:
    listed = [candidate("none", 400, 1.0, 140), candidate("float16", 200, 1.03, 80), candidate("int8", 100, 2.0, 40)]
    assert selection.choose(listed, "speed") is listed[1]
    assert selection.choose(listed, "size") is listed[2]
    assert selection.choose(listed, "accuracy") is listed[0]
    assert selection.choose([], "speed") is None


def test_a_mode_must_reach_the_floor_or_keep_the_accuracy() -> None:
    limits = selection.Limits(0.01, 30)
    assert "19.0 dB, the floor is 20" in selection.judge(candidate("a", 1, 1, 19), limits, False).reason
    assert "29.0 dB, the floor is 30" in selection.judge(candidate("a", 1, 1, 29), limits, False).reason
    assert "the floor is 40 on made-up samples" in selection.judge(candidate("a", 1, 1, 35), limits, True).reason
    assert selection.judge(candidate("a", 1, 1, 35), limits, False).reason == ""
    kept = candidate("a", 1, 1, 25, Metric("accuracy", 0.95, 0.94))
    lost = candidate("a", 1, 1, 60, Metric("accuracy", 0.95, 0.93))
    assert selection.judge(kept, limits, False).reason == ""
    assert "accuracy is 0.02 worse, 0.01 is allowed" in selection.judge(lost, limits, False).reason


def test_operators_newer_than_the_target_are_named_with_both_versions() -> None:
    newer = (MODELS / "new_op_version.tflite").read_bytes()
    problems = operators.unsupported(newer, "tflite-runtime")
    assert len(problems) == 1
    assert "FULLY_CONNECTED has version" in problems[0]
    assert "tflite-runtime 2.14.0 knows it up to 10" in problems[0]
    assert operators.unsupported((MODELS / "cnn.tflite").read_bytes(), "tflite-runtime") == []


def test_flex_operators_are_named() -> None:
    for package in ("tflite-runtime", "ai-edge-litert"):
        problems = operators.unsupported((MODELS / "flex.tflite").read_bytes(), package)
        assert any("(Flex) operator" in problem for problem in problems)


def test_an_interpreter_that_crashes_is_a_proof_that_failed(tmp_path: Path) -> None:
    python = targets.python_for(targets.TARGETS[targets.default()], print)
    with pytest.raises(ProofError, match="the interpreter crashes on it"):
        proving.run(python, {"model": str(MODELS / "crasher_at_load.tflite")}, tmp_path / "job.json")


def test_the_default_target_is_that_of_the_slug() -> None:
    assert targets.default() == "tflite-runtime"
    assert [target.name for target in targets.chosen("both")] == ["tflite-runtime", "litert"]


def keras_file(path: Path, version: str, config: object) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
    return path


def test_a_keras_file_is_known_by_its_content_and_generation(tmp_path: Path) -> None:
    assert model_files.identify(keras_file(tmp_path / "a.bin", "3.15.1", {})).generation == 3
    assert model_files.identify(keras_file(tmp_path / "b.keras", "2.15.0", {})).generation == 2


def test_hdf5_tells_a_model_from_weights(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "whole.bin", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": []})
        file.attrs["keras_version"] = b"2.2.4"
    found = model_files.identify(tmp_path / "whole.bin")
    assert (found.kind, found.generation) == (model_files.HDF5, 2)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
    with pytest.raises(SourceFileError, match=r"holds weights only: .*--architecture model.json --weights weights.h5"):
        model_files.identify(tmp_path / "weights.h5")


def test_lambda_layers_are_found_wherever_they_are(tmp_path: Path) -> None:
    inner = {"class_name": "Lambda", "config": {"name": "twice", "function": {"class_name": "__lambda__"}}}
    path = keras_file(tmp_path / "a.keras", "3.0", {"config": {"layers": [{"config": {"layers": [inner]}}]}})
    assert "twice" in model_files.identify(path).code_layers()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\x80\x04\x95", "pickle, which is never opened"),
        (b"version https://git-lfs", "git lfs pull"),
        (b"<!DOCTYPE html>", "web page"),
        (b'{"class_name": "Sequential"}', "an architecture without weights: export.py --architecture x.bin"),
        (b"\x89HDF\r\n\x1a\n truncated", "is damaged"),
        (b"random", "expected .keras, .h5/.hdf5, a SavedModel folder or .tflite"),
    ],
)
def test_what_is_no_model_is_told_apart(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(SourceFileError, match=message):
        model_files.identify(tmp_path / "x.bin")


def test_folders_that_are_no_saved_model_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SourceFileError, match=r"it has no saved_model.pb"):
        model_files.identify(tmp_path)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    with pytest.raises(SourceFileError, match=r"is no SavedModel, but .*1 is one"):
        model_files.identify(tmp_path)


def test_an_architecture_needs_weights_and_must_be_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}", "utf-8")
    with pytest.raises(SourceFileError, match="--weights FILE is missing"):
        model_files.parts(str(tmp_path / "a.json"), None)
    (tmp_path / "a.yaml").write_text("layers: []", "utf-8")
    with pytest.raises(SourceFileError, match="is not JSON"):
        model_files.parts(str(tmp_path / "a.yaml"), tmp_path / "a.json")
