"""The mini reader of flatbuffers, against what TensorFlow wrote and against damaged bytes."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from runtime import flatbuffer
from tests import models


def test_operators_and_their_versions_are_read() -> None:
    """Builtin and custom operators, with the version that decides who can run them."""
    fully_connected = [op for op in flatbuffer.operators(models.path("new_op_version").read_bytes()) if op.code == 9]
    assert [op.version for op in fully_connected] == [12]
    customs = {op.custom for op in flatbuffer.operators(models.path("custom_op").read_bytes())}
    assert any(customs)


@pytest.mark.parametrize(("name", "assigns"), [("stateful", True), ("mlp", False), ("string_lookup", False)])
def test_a_model_that_assigns_variables_is_found(name: str, assigns: bool) -> None:
    """Such a model is loaded anew for each run."""
    assert flatbuffer.assigns_variables(models.path(name).read_bytes()) is assigns


def test_a_rows_largest_activation_is_found() -> None:
    """Of the small CNN it is the first convolution's output, not its weights or its image."""
    size = flatbuffer.row_bytes(models.path("cnn").read_bytes())
    assert 28 * 28 * 4 < size < 1 << 20


def test_quantized_tensors_are_told_by_type() -> None:
    """The dtypes inside show how a model was quantized."""
    assert "INT8" in flatbuffer.tensor_types(models.path("int8_io").read_bytes())
    assert "INT8" not in flatbuffer.tensor_types(models.path("mlp").read_bytes())


def test_damaged_bytes_end_in_an_error_and_soon() -> None:
    """Whatever stands in the file, reading it ends: with figures or with one of two exceptions."""
    sound = models.path("two_signatures").read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(sound)
        for place in generator.integers(0, len(sound), 8):
            damaged[place] = int(generator.integers(0, 256))
        try:
            flatbuffer.row_bytes(bytes(damaged))
            flatbuffer.assigns_variables(bytes(damaged))
        except (struct.error, IndexError):
            continue


@pytest.mark.parametrize(("name", "has"), [("fused_lstm", True), ("lstm", False), ("mlp", False)])
def test_tensors_that_keep_their_value_are_found(name: str, has: bool) -> None:
    """They are what makes a reset before each run necessary."""
    assert flatbuffer.has_variables(models.path(name).read_bytes()) is has
