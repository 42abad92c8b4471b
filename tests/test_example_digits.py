"""The shipped digits artifact is what its README says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from runtime import artifact, interpreter

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "digits"
ARTIFACT = FOLDER / "digits.tflite"


def test_manifest() -> None:
    """It is proven on both interpreters, carries golden samples, and labels in the order of the digits."""
    found = artifact.read(ARTIFACT)
    assert found.manifest is not None
    assert {proof.interpreter for proof in found.manifest.proven_on} == set(interpreter.PACKAGES)
    assert found.samples
    assert found.labels[6] == "six"
    assert len(found.labels) == 10
    assert f"sha256 {found.digest[:12]}" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_readme_reply() -> None:
    """The request in the README is the file beside it, and gets the reply in the README."""
    blocks = re.findall(r"```json\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    reply, request = (json.loads(block) for block in blocks)
    assert request == json.loads((FOLDER / "six.json").read_text(encoding="utf-8"))
    images = np.array(request["instances"], np.float32)
    (answer,) = interpreter.load(ARTIFACT).run({"image": images}).values()
    np.testing.assert_allclose(answer, reply["predictions"], rtol=1e-3, atol=1e-6)
    assert answer.argmax() == 6


def test_reads_digits() -> None:
    """It reads scikit-learn's digits, learned from or not: more than 97 % of them."""
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.float32)[..., np.newaxis]
    (answers,) = interpreter.load(ARTIFACT).run({"image": images}).values()
    assert (answers.argmax(axis=1) == digits.target).mean() > 0.97
