"""The catalogue tells the truth about each file, on the interpreter at hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime import interpreter
from tests.models import MODELS, Tensor, path, working

PACKAGE = interpreter.package().name
FAILING = [name for name in MODELS if name not in working(PACKAGE)]
# Prints how far a file comes; a crash prints nothing more.
PROBE = """
import sys
from runtime import errors, interpreter
from tests.models import MODELS, path
try:
    model = interpreter.load(path(sys.argv[1]))
    print("loaded", flush=True)
    model.run(MODELS[sys.argv[1]].example())
    print("ran")
except errors.DynoliteError:
    print("refused")
"""


def test_every_file_is_listed() -> None:
    """No file without an entry, no entry without a file."""
    assert {file.stem for file in Path(__file__).parent.glob("*.tflite")} == set(MODELS)


@pytest.mark.parametrize("name", working(PACKAGE))
def test_signature_and_example(name: str) -> None:
    """A working model has the names, dtypes, shapes and batch of its entry, and takes its example."""
    entry, model = MODELS[name], interpreter.load(path(name))
    signature = model.signature
    told = {
        spec.name: Tensor(spec.client_dtype, spec.shape, raw=spec.dtype if spec.quantization else "")
        for spec in signature.inputs + signature.outputs
    }
    listed = {**entry.inputs, **entry.outputs}
    assert told == {n: Tensor(one.dtype, one.shape, raw=one.raw) for n, one in listed.items()}
    assert signature.batch.value == entry.batch
    rows = 3 if entry.batch == "dynamic" else 1
    outputs = model.run(entry.example(rows))
    assert {n: array.dtype for n, array in outputs.items()} == {
        n: np.dtype(one.dtype) for n, one in entry.outputs.items()
    }


@pytest.mark.parametrize("name", FAILING)
def test_failure(name: str) -> None:
    """A failing model stops where its entry says: at load, at the first run, or with the whole process."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", PROBE, name], cwd=root, capture_output=True, text=True, check=False)
    stage = MODELS[name].fails[PACKAGE]
    if stage == "crash":
        assert done.returncode < 0
        return
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == (["refused"] if stage == "load" else ["loaded", "refused"])


def test_unknown_name() -> None:
    """A misspelt name is an error, not a path to nowhere."""
    with pytest.raises(KeyError):
        path("nosuch")
