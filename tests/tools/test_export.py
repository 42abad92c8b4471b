"""The exporter from command line to artifact, on models small enough to be quick."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime import artifact, interpreter
from tests.tools.conftest import Export
from tools import export as exporter
from tools import report_page, targets
from tools.errors import DataError, FlexError, UnprovenError
from tools.report import Report

ZOO, HOUSES = "tests.tools.zoo", "tests.tools.houses"
DENSE = ("--architecture", f"{ZOO}:dense", "--data", f"{ZOO}:rows20")


def modes(report: Report) -> dict[str, str]:
    return {item.mode: item.reason for item in report.candidates}


@pytest.mark.slow
def test_auto_measures_every_mode_and_packs_one_that_passes(export: Export) -> None:
    report = export(*DENSE, "--max-accuracy-drop", "0.02")
    assert set(modes(report)) == {"none", "float16", "dynamic", "int8", "int16x8", "weight_only_wi8_afp32"}
    assert report.chosen is not None
    assert report.chosen.reason == ""
    assert report.chosen.fidelity is not None
    metric = report.chosen.fidelity.metric
    assert metric is not None
    assert metric.name == "accuracy"
    assert metric.drop <= 0.02
    passing = [item.cpu_ms or 0 for item in report.candidates if not item.reason]
    assert (report.chosen.cpu_ms or 0) <= 1.1 * min(passing)


def test_the_artifact_carries_what_the_server_needs_and_replays(export: Export) -> None:
    words = ("--quantize", "float16", "--name", "net", "--version", "2.1.0", "--activation", "softmax")
    report = export(*DENSE, *words, "--feature-names", ",".join(f"f{i}" for i in range(20)))
    assert report.written is not None
    found = artifact.read(report.written.path)
    assert found.manifest is not None
    assert (found.name, found.version, found.manifest.quantization) == ("net", "2.1.0", "float16")
    told = found.manifest.inputs[0]
    assert (told.name, told.dtype, told.shape, told.batch) == ("features", "float32", (-1, 20), True)
    assert told.features[:2] == ("f0", "f1")
    output = found.manifest.outputs[0]
    assert (output.name, output.shape, output.activation) == ("scores", (-1, 5), "softmax")
    assert [proof.interpreter for proof in found.manifest.proven_on] == [targets.TARGETS[targets.default()].package]
    assert found.samples is not None
    assert len(found.samples) == 3
    for inputs, outputs in found.samples:
        assert inputs["features"].shape == (1, 20)
        assert outputs["scores"].shape == (1, 5)


def test_the_same_export_gives_the_same_digest(export: Export) -> None:
    first = export(*DENSE, "--quantize", "dynamic").written
    second = export(*DENSE, "--quantize", "dynamic").written
    assert first is not None
    assert second is not None
    assert first.digest == second.digest


@pytest.mark.slow
def test_prefer_size_and_accuracy_choose_otherwise(export: Export) -> None:
    small = export(*DENSE, "--max-accuracy-drop", "1", "--prefer", "size").chosen
    near = export(*DENSE, "--prefer", "accuracy").chosen
    assert small is not None
    assert near is not None
    assert near.mode == "none"
    assert small.bytes < near.bytes / 2


@pytest.mark.slow
def test_without_data_modes_that_need_it_are_left_out_and_it_says_so(export: Export) -> None:
    report = export("--architecture", f"{ZOO}:dense")
    assert modes(report)["int8"] == "needs real samples: --data"
    assert any("mean little, and int8 and int16x8 are left out" in warning for warning in report.warnings)


def test_without_data_one_mode_that_needs_none_is_made_and_nothing_said_of_others(export: Export) -> None:
    report = export("--architecture", f"{HOUSES}:two", "--quantize", "float16")
    assert report.written is not None
    assert len(report.warnings) == 1
    assert "mean little: give" in report.warnings[0]


def test_a_mode_that_quantizes_nothing_is_not_written_under_its_name(export: Export) -> None:
    report = export("--architecture", f"{HOUSES}:two", "--quantize", "dynamic")
    assert report.written is None
    assert "nothing was quantized: the file has no int8 tensors" in modes(report)["dynamic"]


@pytest.mark.slow
def test_auto_does_not_choose_a_mode_that_quantizes_nothing(export: Export) -> None:
    report = export("--architecture", f"{HOUSES}:two", "--prefer", "size")
    assert "nothing was quantized" in modes(report)["dynamic"]
    assert report.chosen is not None
    assert report.chosen.mode == "none"


def test_names_labels_and_wrong_ones(export: Export, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\nd\ne\n", "utf-8")
    renamed = ("--input-name", "x", "--output-name", "scores=y", "--quantize", "none")
    written = export(*DENSE, *renamed, "--labels", labels).written
    assert written is not None
    assert written.labels == ("a", "b", "c", "d", "e")
    assert written.manifest is not None
    assert (written.manifest.inputs[0].name, written.manifest.outputs[0].name) == ("x", "y")
    assert written.manifest.outputs[0].labels
    labels.write_text("a\nb\n", "utf-8")
    with pytest.raises(DataError, match="2 labels, but no output has as many scores: scores \\[5\\]"):
        export(*DENSE, "--labels", labels)
    with pytest.raises(DataError, match="OLD is one of 'scores'"):
        export(*DENSE, "--output-name", "nope=y")
    with pytest.raises(DataError, match="--feature-names gives 2 names"):
        export(*DENSE, "--feature-names", "a,b", "--quantize", "none")


def test_flex_operators_are_refused_with_the_layer_and_the_way_out(export: Export, tmp_path: Path) -> None:
    with pytest.raises(FlexError, match=r"MaxPool3D \(layer shrink\).*two MaxPooling2D"):
        export("--architecture", f"{ZOO}:pooled_volume")
    with pytest.raises(FlexError, match=r"StringSplitV2 \(layer words\).*in front of the model"):
        export("--architecture", f"{ZOO}:text")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_recurrent_model_is_served_row_by_row(export: Export) -> None:
    report = export("--architecture", f"{ZOO}:lstm", "--data", f"{ZOO}:steps")
    assert report.written is not None
    assert report.written.manifest is not None
    assert report.written.manifest.inputs[0].shape == (1, -1, 8)
    assert "crash" in modes(report)["int8"]
    assert any("row by row" in warning for warning in report.warnings)
    model = interpreter.load(report.written.path)
    for length in (1, 30):
        answers = model.run({"sequence": np.ones((1, length, 8), np.float32)})
        assert answers["scores"].shape == (1, 4)


def test_a_converter_that_crashes_is_a_reason_and_not_the_end(export: Export) -> None:
    report = export("--architecture", f"{ZOO}:lstm", "--data", f"{ZOO}:steps", "--quantize", "int8")
    assert report.written is None
    assert "crashed with SIG" in report.candidates[0].reason
    assert export(*DENSE, "--quantize", "none").written is not None


@pytest.mark.slow
def test_a_target_that_cannot_be_had_ends_the_export(
    export: Export, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = targets.python_for

    def only_default(target: targets.Target, say: Callable[[str], None]) -> Path:
        if target.name != targets.default():
            raise UnprovenError(f"{target.package} cannot be had on this machine")
        return there(target, say)

    other = next(name for name in targets.TARGETS if name != targets.default())
    monkeypatch.setattr(targets, "python_for", only_default)
    with pytest.raises(UnprovenError, match="cannot be had"):
        export(*DENSE, "--quantize", "float16", "--target", other)
    assert not (tmp_path / "out").exists()
    written = export(*DENSE, "--quantize", "float16", "--target", other, "--allow-unproven").written
    assert written is not None
    assert written.manifest is not None
    assert written.manifest.provenance["unproven_on"] == [other]


@pytest.mark.slow
def test_the_page_holds_the_table_the_pictures_and_the_differing_answers(export: Export) -> None:
    report = export(*DENSE, "--max-accuracy-drop", "1", "--quantize", "int8")
    page = report_page.page(report)
    assert page.count("<tr") >= 2
    assert "<svg" in page
    assert "Where scores differs" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_refusal_is_exit_code_1_and_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert exporter.main([str(tmp_path / "nope.keras"), "--json", "--out", str(tmp_path / "out")]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "SourceFileError"
    assert "is not there" in told["error"]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_existing_tflite_is_proven_and_packed_and_an_artifact_proven_elsewhere(
    export: Export, tmp_path: Path
) -> None:
    written = export(*DENSE, "--quantize", "float16").written
    assert written is not None
    plain = tmp_path / "plain.tflite"
    plain.write_bytes(artifact.strip(written.path.read_bytes()))
    packed = export(plain, "--data", f"{ZOO}:rows20").written
    assert packed is not None
    assert packed.manifest is not None
    assert packed.manifest.inputs[0].shape == (-1, 20)
    assert packed.samples is not None
    assert exporter.main(["--reprove", str(written.path), "--target", targets.default()]) == 0
    again = artifact.read(written.path)
    assert again.manifest is not None
    assert len(again.manifest.proven_on) == 1
