"""ONNX models through the same seam: a real one, converted from Keras, and what is said of those not served."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime import artifact, model, onnx, trial
from runtime.errors import ArtifactError, RefusedError, RequestError
from runtime.signature import Batch

FILE = Path(__file__).parents[1] / "models" / "mlp.onnx"
# What Keras answered for these rows before the conversion: see tests/models/build_onnx.py.
ROWS = np.array([[1, 2, 3, 4], [0, 1, 0, 1]], np.float32)
KERAS = np.array([[0.17017533, 0.7137534, 0.11607132], [0.38939258, 0.42211586, 0.18849154]], np.float32)

needs_onnxruntime = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import onnxruntime"], capture_output=True, check=False).returncode != 0,
    reason="onnxruntime is not installed here",
)


def run_apart(code: Callable[[], None]) -> int:
    """Run code in a fork that ends at once; its exit code. ONNX Runtime, once imported, stays out of this process."""
    child = os.fork()
    if child == 0:
        try:
            code()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - it must not return into the tests
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_the_file_is_known_by_its_content() -> None:
    """Not by its name: a URL may have any."""
    assert artifact.read(FILE).kind == "onnx"
    assert not onnx.is_onnx((FILE.parent / "mlp.tflite").read_bytes()[:8])
    assert not onnx.is_onnx(b"\x08")
    assert not onnx.is_onnx(b"<html>\n")


@needs_onnxruntime
def test_it_answers_what_keras_answered() -> None:
    """The converted model gives Keras's own numbers, in one run of two rows."""

    def ask() -> None:
        loaded = model.load(FILE)
        assert loaded.signature.batch is Batch.DYNAMIC
        (output,) = loaded.predict({"features": ROWS}).values()
        np.testing.assert_allclose(output, KERAS, atol=1e-5)
        loaded.self_test()

    assert run_apart(ask) == 0


@needs_onnxruntime
def test_what_does_not_fit_is_refused() -> None:
    """The client's mistakes get the same errors as with any other model."""

    def ask() -> None:
        loaded = model.load(FILE)
        with pytest.raises(RequestError, match="expected each row of shape"):
            loaded.predict({"features": ROWS[:, :3]})
        with pytest.raises(RefusedError):
            onnx.load(FILE).run({"features": ROWS[:, :3]})

    assert run_apart(ask) == 0


@needs_onnxruntime
def test_a_damaged_file_is_an_artifact_error(tmp_path: Path) -> None:
    """Half a file is told as such by the trial that every file has to pass."""
    path = tmp_path / "half.onnx"
    path.write_bytes(FILE.read_bytes()[:400])
    with pytest.raises(ArtifactError, match=r"onnxruntime .* cannot load it"):
        trial.spawned(path, 60)


def test_without_onnxruntime_the_way_to_it_is_told() -> None:
    """An ONNX model on a server without onnxruntime says what to install."""
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from pathlib import Path\n"
        "from runtime import model\n"
        "try:\n    model.load(Path(sys.argv[1]))\nexcept Exception as error:\n    print(type(error).__name__, error)\n"
    )
    root = Path(__file__).parents[2]
    told = subprocess.run(
        [sys.executable, "-c", code, FILE], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert told.startswith("ArtifactError the file is an ONNX model")
    assert "requirements-onnx.txt" in told
