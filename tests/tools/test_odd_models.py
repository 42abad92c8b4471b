"""Models that are hard to export, each refused with its reason or exported with a note; code in files is not run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime import interpreter
from tests.tools import odd_models
from tests.tools.conftest import Export
from tools import report
from tools.errors import SourceFileError

pytestmark = pytest.mark.slow

ODD = "tests.tools.odd_models"
PLAIN = ("--quantize", "none")


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    subprocess.run([sys.executable, odd_models.__file__, str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("name", ["code", "code_blank", "code_escape", "old_code"])
def test_a_saved_model_runs_no_code_of_its_own_however_it_is_spelt(export: Export, odd: Path, name: str) -> None:
    with pytest.raises(SourceFileError, match=rf"{name} carries Python code \(in run\).*add --trust"):
        export(odd / name, *PLAIN)
    assert not (odd / "ran").exists()


def test_a_saved_model_whose_layers_cannot_be_read_is_refused(export: Export, odd: Path) -> None:
    with pytest.raises(SourceFileError, match=r"code_broken is damaged: what it tells of its Keras layers"):
        export(odd / "code_broken", *PLAIN)
    assert not (odd / "ran").exists()


def test_a_saved_model_of_before_tf_2_5_is_exported_by_its_layers(export: Export, odd: Path) -> None:
    told = export(odd / "old_plain", *PLAIN)
    assert told.framework.startswith("tf-keras ")
    assert told.written is not None


def test_code_of_ones_own_decides_for_itself_what_it_trusts(export: Export) -> None:
    assert export("--architecture", f"{ODD}:trusting", *PLAIN).written is not None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("function.h5", r"uses swish_of_mine, which is not Keras's own: .*--custom-objects MODULE"),
        ("initializer.h5", r"uses Ones_of_mine, which is not Keras's own: .*--custom-objects MODULE"),
        ("lambda_activation.h5", r"has a lambda as an activation.*--architecture module:function --weights lambda_act"),
    ],
)
def test_functions_of_ones_own_are_named_and_not_the_layer_that_uses_them(
    export: Export, odd: Path, name: str, message: str
) -> None:
    with pytest.raises(SourceFileError, match=message):
        export(odd / name, *PLAIN)


def test_a_function_of_ones_own_is_taken_from_its_module(export: Export, odd: Path) -> None:
    told = export(odd / "function.h5", "--custom-objects", ODD, *PLAIN)
    assert told.written is not None


def test_a_model_right_for_one_length_only_is_exported_for_that_of_the_samples(export: Export) -> None:
    told = export("--architecture", f"{ODD}:masked", "--data", f"{ODD}:steps", *PLAIN)
    assert told.written is not None
    assert told.written.manifest is not None
    assert told.written.manifest.inputs[0].shape == (1, 9, 6)
    assert any("for one size only" in note and "steps [9, 6]" in note for note in told.warnings)
    answers = interpreter.load(told.written.path).run({"steps": np.ones((1, 9, 6), np.float32)})
    assert next(iter(answers.values())).shape == (1, 9, 3)


def test_a_model_that_answers_nan_only_is_refused(export: Export) -> None:
    with pytest.raises(SourceFileError, match=r"Keras answers NaN or infinities to 32 of 32 rows of .* are broken"):
        export("--architecture", f"{ODD}:by_zero", *PLAIN)


def test_nan_in_some_rows_and_another_name_for_an_input_are_noted(export: Export) -> None:
    told = export("--architecture", f"{ODD}:roots", *PLAIN)
    assert told.written is not None
    assert any("Keras answers NaN or infinities to" in note for note in told.warnings)
    assert any("'mfcc stats' is called 'mfcc_stats' in requests" in note for note in told.warnings)


def test_the_report_is_the_same_when_the_folder_of_the_run_is_gone(export: Export, tmp_path: Path) -> None:
    told = export("--architecture", "tests.tools.houses:two", *PLAIN)
    for folder in tmp_path.glob("run-*"):
        shutil.rmtree(folder)
    assert report.compared_on(told) == "compared on"


def test_a_model_that_was_never_called_is_refused(export: Export) -> None:
    with pytest.raises(SourceFileError, match="does not know its input shape: call it once"):
        export("--architecture", f"{ODD}:uncalled", *PLAIN)
