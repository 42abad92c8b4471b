"""What an export is refused for at once, before TensorFlow is started, and what it says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tools.conftest import Export
from tests.tools.test_choice import MODELS
from tools import export as exporter
from tools.errors import DataError, ExportError

PLAIN = str(MODELS / "cnn.tflite")
NO_WORK = ("--architecture", "there.is:nothing")  # whatever is refused before the work is refused before this


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "{0}/file.keras"), "file.keras is a file: give the folder for the artifact"),
        (("--out", "{0}/file.keras/deeper"), "cannot be made, {0}/file.keras is a file"),
        (("--report", "{0}/nowhere/page.html"), "there is no folder {0}/nowhere"),
        (("--report", "{0}"), "is a folder"),
        (("--labels", "{0}/nope.txt"), "--labels {0}/nope.txt: there is no such file"),
        (("--labels", "{0}"), "cannot be read: Is a directory"),
        (("--labels", "{0}/file.keras"), "there is no label in it"),
        (("--quantize", "int8"), "--quantize int8 needs real samples, .*100 rows with --data"),
        (("--quantize", "int16x8"), "--quantize int16x8 needs real samples"),
    ],
)
def test_it_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str], message: str
) -> None:
    (tmp_path / "file.keras").touch()
    option, value = words
    out = () if option == "--out" else ("--out", str(tmp_path / "out"))
    assert exporter.main([*NO_WORK, *out, option, value.format(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "Errno" not in said
    assert said.splitlines()[1:] == ["Nothing was written."]
    assert re.search(message.format(tmp_path), said)
    assert not (tmp_path / "out").exists()


def test_an_artifact_is_not_proven_for_a_place_that_is_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert exporter.main(["--reprove", PLAIN, "--out", str(tmp_path / "file")]) == 1
    assert "is a file: give the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--quantize", "int8"), "cnn.tflite is a .tflite file, .*cannot be quantized again"),
        (("--input-name", "x"), "--input-name x: cnn.tflite is a .tflite file, whose names stay"),
        (("--output-name", "x"), "--output-name x: cnn.tflite is a .tflite file, whose names stay"),
    ],
)
def test_options_that_a_tflite_file_cannot_follow_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str], message: str
) -> None:
    assert exporter.main([PLAIN, "--out", str(tmp_path / "out"), *words]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_an_artifact_that_cannot_be_put_in_its_place_is_told(export: Export, tmp_path: Path) -> None:
    (tmp_path / "out" / "cnn.tflite").mkdir(parents=True)
    with pytest.raises(ExportError, match=r"cnn\.tflite cannot be written: Is a directory"):
        export(PLAIN, "--name", "cnn")


def test_normalize_for_what_is_no_picture_is_refused(export: Export) -> None:
    with pytest.raises(DataError, match=r"--normalize 1\.\.2 is for pictures.*rooms \[any, 3\]"):
        export("--architecture", "tests.tools.houses:two", "--data", "tests.tools.houses:rows", "--normalize", "1..2")
