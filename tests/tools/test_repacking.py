"""A .tflite file given to the exporter: what an artifact knows is kept, and what it is said to be now is followed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from runtime import artifact, manifest
from runtime.artifact import Artifact
from tests.tools.conftest import Export
from tests.tools.test_choice import MODELS
from tools import export as exporter
from tools import targets
from tools.jobs import Worker
from tools.options import parse_args

PHOTOS = ("--architecture", "tests.tools.houses:one", "--data", "tests.tools.houses:photos", "--quantize", "int8")
HOUSES = ("--architecture", "tests.tools.houses:two", "--data", "tests.tools.houses:rows", "--quantize", "none")


def made(worker: Worker, folder: Path, *words: str) -> Artifact:
    arguments = parse_args([*words, "--out", str(folder / "out")])
    (folder / "run").mkdir()
    written = exporter.export(arguments, folder / "run", Console(quiet=True), worker).written
    assert written is not None
    return written


@pytest.fixture(scope="module")
def pets(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact in int8 with labels, a version and what its pictures are."""
    folder = tmp_path_factory.mktemp("pets")
    (folder / "labels.txt").write_text("cat\ndog\nfox\n", "utf-8")
    said = ("--labels", str(folder / "labels.txt"), "--normalize", "0..1", "--version", "1.2.3", "--name", "pets")
    return made(worker, folder, *PHOTOS, *said)


@pytest.fixture(scope="module")
def house(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact of two outputs, whose features have names."""
    return made(worker, tmp_path_factory.mktemp("house"), *HOUSES, "--feature-names", "a,b,c", "--name", "house")


def test_what_an_artifact_knows_is_kept(export: Export, pets: Artifact) -> None:
    told = export(pets.path, "--name", "other", "--version", "2.0.0")
    new = told.written
    assert new is not None
    assert (new.name, new.version, new.path.name) == ("other", "2.0.0", "other.tflite")
    assert new.labels == ("cat", "dog", "fox")
    assert pets.manifest is not None
    assert new.manifest is not None
    assert new.manifest.quantization == "int8"
    assert new.manifest.inputs == pets.manifest.inputs
    assert new.manifest.inputs[0].image is not None
    assert new.manifest.outputs == pets.manifest.outputs
    assert new.manifest.outputs[0].activation == "softmax"
    assert new.manifest.fidelity == pets.manifest.fidelity
    assert new.manifest.flatbuffer == pets.manifest.flatbuffer
    origin = {**pets.manifest.provenance, "packed_from": "pets 1.2.3", "packed_from_sha256": pets.digest}
    assert new.manifest.provenance == origin
    assert told.warnings == ()


def test_golden_samples_and_keras_answers_to_them_are_kept(export: Export, pets: Artifact) -> None:
    told = export(pets.path, "--name", "other")
    assert told.written is not None
    before, after = pets.samples, told.written.samples
    assert before is not None
    assert after is not None
    for group in ("inputs", "outputs", "keras"):
        one, other = getattr(before, group), getattr(after, group)
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert after.tolerance == before.tolerance == 0.02
    assert told.to_json()["data"] == "its own golden samples"
    assert told.written.version == "1.2.3"


def test_an_option_overrides_what_the_artifact_knows(export: Export, pets: Artifact, tmp_path: Path) -> None:
    labels = tmp_path / "others.txt"
    labels.write_text("one\ntwo\nthree\n", "utf-8")
    words = ("--labels", labels, "--activation", "none", "--normalize", "-1..1", "--name", "other")
    new = export(pets.path, *words).written
    assert new is not None
    assert new.manifest is not None
    assert new.labels == ("one", "two", "three")
    assert new.manifest.outputs[0].activation == "none"
    assert new.manifest.inputs[0].image is not None
    assert new.manifest.inputs[0].image.mean == (1.0,)


def test_features_are_kept_and_overridden(export: Export, house: Artifact) -> None:
    for words, expected in (((), ("a", "b", "c")), (("--feature-names", "x,y,z"), ("x", "y", "z"))):
        new = export(house.path, "--name", "other", *words).written
        assert new is not None
        assert new.manifest is not None
        assert new.manifest.inputs[0].features == expected


@pytest.mark.parametrize("given", [(), ("--normalize", "none")])
def test_pictures_are_read_as_the_artifact_says(
    export: Export, pets: Artifact, tmp_path: Path, given: tuple[str, ...]
) -> None:
    (tmp_path / "photos" / "owl").mkdir(parents=True)
    Image.new("L", (4, 4), 255).save(tmp_path / "photos" / "owl" / "one.png")
    told = export(pets.path, "--data", tmp_path / "photos", *given)
    assert told.written is not None
    assert told.written.samples is not None
    assert float(told.written.samples.inputs["photo"].max()) == (255 if given else 1)
    assert told.written.labels == ("cat", "dog", "fox")
    assert not any("--normalize was not given" in warning for warning in told.warnings)


def test_proofs_on_other_interpreters_are_kept(export: Export, house: Artifact, tmp_path: Path) -> None:
    assert house.manifest is not None
    elsewhere = manifest.Proof("some-other-runtime", "1.0")
    content = artifact.strip(house.path.read_bytes())
    both = replace(house.manifest, proven_on=(elsewhere, *house.manifest.proven_on))
    changed = artifact.write(tmp_path / "both.tflite", content, both, house.labels, house.samples)
    new = export(changed.path).written
    assert new is not None
    assert new.manifest is not None
    assert new.manifest.proven_on == both.proven_on


def test_an_artifact_that_answers_otherwise_than_keras_did_is_refused(
    house: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert house.manifest is not None
    assert house.samples is not None
    wrong = replace(house.samples, keras={name: -array for name, array in house.samples.keras.items()})
    content = artifact.strip(house.path.read_bytes())
    changed = artifact.write(tmp_path / "wrong.tflite", content, house.manifest, house.labels, wrong)
    assert exporter.main([str(changed.path), "--out", str(tmp_path / "new")]) == 1
    assert "otherwise than Keras did" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_plain_file_says_that_its_samples_are_made_up_and_nothing_of_modes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(MODELS / "cnn.tflite"), "--out", str(tmp_path / "out"), "--json"]
    assert exporter.main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["chosen"] == "as it is"
    assert told["data"] == "made-up samples"
    assert len(told["warnings"]) == 1
    assert "made-up samples" in told["warnings"][0]
    assert "left out" not in told["warnings"][0]
    written = artifact.read(tmp_path / "out" / "cnn.tflite")
    assert written.manifest is not None
    assert written.version == "1.0.0"
    assert [proof.interpreter for proof in written.manifest.proven_on] == [targets.TARGETS[targets.default()].package]
