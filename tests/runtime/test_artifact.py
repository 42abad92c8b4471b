"""The artifact's tail: what is packed is read back, and what was not packed is never believed."""

from __future__ import annotations

import contextlib
import io
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from runtime import artifact, interpreter, samples
from runtime.errors import ArtifactError
from runtime.manifest import Flatbuffer, Image, Manifest, Proof, Tensor
from runtime.samples import Samples

MODELS = Path(__file__).resolve().parent.parent / "models"
FRONT = b"\x1c\0\0\0TFL3"
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12)
WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
JSON = st.dictionaries(NAMES, st.one_of(st.integers(-9, 9), st.booleans(), NAMES), max_size=3)


def tensor_strategy() -> st.SearchStrategy[Tensor]:
    image = st.builds(
        Image,
        *[st.integers(1, 512)] * 3,
        scale=st.floats(0.001, 1),
        mean=st.lists(st.floats(-1, 1), max_size=3).map(tuple),
        std=st.lists(st.floats(0.1, 1), max_size=3).map(tuple),
    )
    return st.builds(
        Tensor,
        WORDS,
        st.sampled_from(["float32", "int64", "string", "bool"]),
        st.lists(st.integers(-1, 9), max_size=4).map(tuple),
        batch=st.booleans(),
        features=st.lists(NAMES.filter(bool), max_size=3).map(tuple),
        image=st.none() | image,
        labels=st.booleans(),
        activation=st.sampled_from(["", "softmax"]),
    )


MANIFESTS = st.builds(
    Manifest,
    name=WORDS,
    version=st.just("1.2.3"),
    flatbuffer=st.just(Flatbuffer(0, "")),
    inputs=st.lists(tensor_strategy(), min_size=1, max_size=3).map(tuple),
    outputs=st.lists(tensor_strategy(), min_size=1, max_size=3).map(tuple),
    proven_on=st.lists(st.builds(Proof, WORDS, WORDS), max_size=2).map(tuple),
    fidelity=JSON,
    provenance=JSON,
)
NUMBERS = arrays.arrays(
    st.sampled_from([np.float32, np.int64, np.uint8, np.bool_]), st.sampled_from([(2,), (2, 1, 3), (2, 0)])
)
TEXTS = st.lists(st.binary(max_size=6), min_size=2, max_size=2).map(lambda found: np.array([*found, b""], object)[:2])
GROUP = st.dictionaries(WORDS, NUMBERS | TEXTS, min_size=1, max_size=3)


@QUICK
@given(body=st.binary(max_size=200), manifest=MANIFESTS, labels=st.lists(LINES, max_size=4).map(tuple))
def test_whatever_is_packed_is_read_back(
    tmp_path: Path, body: bytes, manifest: Manifest, labels: tuple[str, ...]
) -> None:
    path = tmp_path / "model.tflite"
    written = artifact.write(path, FRONT + body, manifest, labels)
    found = artifact.read(path)
    assert found == written
    assert found.labels == labels
    assert found.manifest is not None
    assert found.manifest.inputs == manifest.inputs
    assert found.manifest.outputs == manifest.outputs
    assert found.manifest.provenance == manifest.provenance
    assert found.manifest.flatbuffer.bytes == len(FRONT + body)
    assert artifact.strip(path.read_bytes()) == FRONT + body


@QUICK
@given(given_=GROUP, answered=GROUP)
def test_samples_come_back_as_they_were_even_strings_that_end_in_nul(given_: Any, answered: Any) -> None:
    packed = Samples(given_, answered, tolerance=0.25)
    found = samples.loads(samples.dumps(packed), 1 << 20)
    assert found.tolerance == 0.25
    for before, after in ((given_, found.inputs), (answered, found.outputs)):
        assert before.keys() == after.keys()
        for name, array in before.items():
            np.testing.assert_array_equal(after[name], array)
            assert after[name].dtype == array.dtype


@QUICK
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_no_flipped_bit_gives_another_model(tmp_path: Path, at: int, bit: int) -> None:
    """A damaged file is refused, or taken for a plain model, or the bit was one of no meaning."""
    path = tmp_path / "model.tflite"
    good = packed(path)
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        found = artifact.read(path)
    except ArtifactError:
        return
    if found.manifest is not None:
        assert found.manifest.flatbuffer == good.manifest.flatbuffer  # type: ignore[union-attr]
        assert content[: found.manifest.flatbuffer.bytes] == FRONT + b"weights" * 9


@QUICK
@given(cut=st.integers(1, 400))
def test_a_cut_off_tail_is_never_read_as_a_whole_one(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "model.tflite"
    packed(path)
    content = path.read_bytes()
    path.write_bytes(content[: max(8, len(content) - cut)])
    with contextlib.suppress(ArtifactError):
        assert artifact.read(path).manifest is None


@QUICK
@given(junk=st.binary(max_size=300))
def test_random_bytes_behind_a_flatbuffer_are_no_tail(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(FRONT + junk)
    assert artifact.read(path).manifest is None
    assert artifact.strip(FRONT + junk) == FRONT + junk


def test_packing_is_deterministic_and_replaces_a_tail(tmp_path: Path) -> None:
    first, second = packed(tmp_path / "a.tflite"), packed(tmp_path / "b.tflite")
    assert first.digest == second.digest
    again = artifact.write(tmp_path / "c.tflite", (tmp_path / "a.tflite").read_bytes(), manifest(), ("x", "y"))
    assert again.digest == first.digest
    with zipfile.ZipFile(tmp_path / "c.tflite") as archive:
        assert sorted(archive.namelist()) == ["labels.txt", "manifest.json"]


def test_a_label_with_a_line_break_and_a_file_that_is_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="line break"):
        artifact.write(tmp_path / "a.tflite", FRONT, manifest(), ("one\ntwo",))
    with pytest.raises(ArtifactError, match="it looks like a ZIP"):
        artifact.write(tmp_path / "a.tflite", b"PK\x03\x04 and so on", manifest())
    assert list(tmp_path.iterdir()) == []


def test_a_bomb_in_the_tail_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tflite"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b"{}")
        archive.writestr("samples.npz", bytes(100 << 20))
    path.write_bytes(FRONT + stream.getvalue())
    with pytest.raises(ArtifactError, match="damaged"):
        artifact.read(path)


def test_the_interpreter_reads_the_front_and_unzip_the_tail(tmp_path: Path) -> None:
    """One file for both: the model answers as before, and the manifest is there to be read."""
    plain = MODELS / "cnn.tflite"
    path = tmp_path / "cnn.tflite"
    artifact.write(path, artifact.strip(plain.read_bytes()), manifest(), ("x",))
    before, after = interpreter.load(plain), interpreter.load(path)
    spec = before.signature.inputs[0]
    rows = {spec.name: np.ones([1 if size < 0 else size for size in spec.shape], np.float32)}
    for name, array in before.run(rows).items():
        np.testing.assert_allclose(after.run(rows)[name], array, atol=1e-6)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt") == b"x\n"
    listed = subprocess.run(["unzip", "-p", str(path), "manifest.json"], capture_output=True, check=False)
    assert b'"version": "1.2.3"' in listed.stdout


def packed(path: Path) -> artifact.Artifact:
    return artifact.write(path, FRONT + b"weights" * 9, manifest(), ("x", "y"))


def manifest() -> Manifest:
    tensors = (Tensor("x", "float32", (-1, 2)),)
    return Manifest("net", "1.2.3", Flatbuffer(0, ""), tensors, tensors)
