"""Every layer family in every mode on both interpreters, and model files as people have them, against Keras."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import artifact
from tests.tools.conftest import Export
from tools import targets
from tools.errors import ExportError, SourceFileError, UnprovenError

pytestmark = pytest.mark.slow

ZOO = "tests.tools.zoo"
FILES = Path(__file__).resolve().parent / "keras_files.py"
ALL = {"none", "float16", "dynamic", "int8", "int16x8", "weight_only_wi8_afp32"}
FLOAT = {"none", "float16", "dynamic", "weight_only_wi8_afp32"}

# The model, its data, and the modes that must be sound on both interpreters.
FAMILIES = [
    ("dense", "rows20", ALL - {"int16x8"}),  # R14 has no GELU in 16 bits
    # R14 has no Conv2DTranspose with 8-bit weights and float activations.
    ("convolutional", "photos", {"none", "float16", "int8", "weight_only_wi8_afp32"}),
    ("attention", "rows12", FLOAT | {"int8"}),
    ("unrolled", "rows6", FLOAT),
    ("lstm", "steps", FLOAT),
    ("embedding", "", FLOAT),
    ("several", "", FLOAT),
    ("subclassed", "", FLOAT),
    ("preprocessing", "", FLOAT),
    ("normalized", "", FLOAT),
    ("any_size", "", FLOAT - {"weight_only_wi8_afp32"}),
    ("volume", "", {"none", "float16"}),
]


@pytest.fixture(scope="session")
def both() -> str:
    """Both interpreters where this machine has them, else the one it has."""
    for target in targets.TARGETS.values():
        try:
            targets.python_for(target, print)
        except UnprovenError:
            return next(name for name in targets.TARGETS if name != target.name)
    return "both"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    subprocess.run([sys.executable, str(FILES), str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(("model", "data", "sound"), FAMILIES, ids=[family[0] for family in FAMILIES])
def test_each_family_is_sound_in_its_modes_and_no_broken_mode_passes(
    export: Export, both: str, model: str, data: str, sound: set[str]
) -> None:
    given = ("--data", f"{ZOO}:{data}") if data else ()
    report = export("--architecture", f"{ZOO}:{model}", *given, "--target", both, "--max-accuracy-drop", "0.1")
    found = {item.mode: item for item in report.candidates}
    assert set(found) == ALL
    for mode in sound:
        figures = found[mode].fidelity
        assert figures is not None, (mode, found[mode].reason)
        assert figures.sqnr_db > 25, (mode, figures.sqnr_db)
        assert len(found[mode].proofs) == len(report.targets)
    assert report.chosen is not None
    assert report.chosen.fidelity is not None
    assert report.chosen.fidelity.sqnr_db >= (20 if report.chosen.fidelity.metric else 30)
    assert report.written is not None
    assert artifact.read(report.written.path).samples is not None


@pytest.mark.parametrize(
    ("name", "words", "framework"),
    [
        ("emotion.hdf5", (), "tf-keras"),
        ("speech.h5", (), "tf-keras"),
        ("speech.keras", (), "tf-keras"),
        ("speech_saved", (), "tf-keras"),
        ("review.h5", (), "tf-keras"),
        ("stateful.h5", (), "tf-keras"),
        ("net.h5", (), "keras"),
        ("net.model", (), "keras"),
        ("net_saved", (), "tensorflow"),
        ("mixed.keras", (), "keras"),
        ("lambda.h5", ("--trust",), "tf-keras"),
        ("lambda.keras", ("--trust",), "keras"),
        ("own.keras", ("--custom-objects", "own_layers"), "keras"),
        ("--architecture=mobilenet.json", ("--weights", "mobilenet_weights.h5"), "tf-keras"),
        ("--architecture=net.json", ("--weights", "net.weights.h5"), "keras"),
    ],
)
def test_files_as_people_have_them_are_exported(
    export: Export,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    words: tuple[str, ...],
    framework: str,
) -> None:
    monkeypatch.chdir(files)
    told = name.replace("=", f"={files}/") if "=" in name else str(files / name)
    paths = [str(files / word) if word.endswith(".h5") else word for word in words]
    report = export(told, *paths, "--quantize", "none")
    assert report.written is not None, report.candidates[0].reason
    assert report.framework.startswith(f"{framework} ")
    assert report.chosen is not None
    assert report.chosen.fidelity is not None
    assert report.chosen.fidelity.sqnr_db > 90


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("lambda.h5", (), r"carries Python code \(in twice\).*add --trust"),
        ("lambda.keras", (), r"carries Python code.*add --trust"),
        ("own.keras", (), r"uses Thrice, which is not Keras's own: .*--custom-objects MODULE"),
        ("mobilenet_weights.h5", (), r"holds weights only: .*--architecture"),
        ("--architecture=net.json", ("--weights", "mobilenet_weights.h5"), r"the weights are not those of the arch"),
        ("total_saved", (), r"output total of shape \[\] has no row for each"),
        ("bare_saved", (), r"has no serving signature"),
    ],
)
def test_files_that_cannot_be_exported_are_refused_in_words(
    export: Export, files: Path, tmp_path: Path, name: str, words: tuple[str, ...], message: str
) -> None:
    told = name.replace("=", f"={files}/") if "=" in name else str(files / name)
    paths = [str(files / word) if word.endswith(".h5") else word for word in words]
    with pytest.raises(SourceFileError, match=message):
        export(told, *paths)
    assert not (tmp_path / "out").exists()


def test_string_lookup_works(export: Export) -> None:
    report = export("--architecture", f"{ZOO}:lookup", "--quantize", "none")
    assert report.written is not None
    assert report.written.manifest is not None
    assert report.written.manifest.inputs[0].dtype == "string"


def test_an_interrupted_export_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C while TensorFlow starts: no file, no temporary folder, no process. The model is one that is never done."""
    script = Path(targets.__file__).with_name("export.py")
    command = [sys.executable, str(script), "--architecture", f"{ZOO}:endless", "--out", str(tmp_path / "out")]
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(script.parent.parent)}
    (tmp_path / "tmp").mkdir()
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, cwd=script.parent.parent) as process:
        started = ["pgrep", "-P", str(process.pid), "-f", "keras_worker"]
        until(lambda: process.poll() is not None or told(*started) != "")
        worker = told(*started).strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    until(lambda: "keras_worker" not in told("ps", "-o", "args=", "-p", worker))
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "out").exists()
    assert told("pgrep", "-f", str(tmp_path)) == ""


def told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def until(holds: Callable[[], bool]) -> None:
    """Return when it holds; fail if it takes two minutes."""
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_time_limit_ends_a_step_and_says_so(export: Export, worker: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "seconds", 0.2)
    with pytest.raises(ExportError, match=r"it took longer than 0\.2 s: allow more with --timeout"):
        export("--architecture", f"{ZOO}:endless", "--quantize", "none")
