"""The seam: every model of the catalogue through `runtime.interpreter`, compared with the package itself."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import interpreter
from runtime.errors import ArtifactError, RefusedError
from runtime.signature import Array, Batch
from tests import models

PACKAGE = interpreter.package()
WORKING = models.working(PACKAGE.name)


def bare(path: Path, inputs: dict[str, Array]) -> dict[str, Array]:
    """The outputs that the interpreter package gives by its own signature runner, on a new interpreter."""
    foreign = PACKAGE.module.Interpreter(model_path=str(path), num_threads=1)
    keys = list(foreign.get_signature_list())
    runner = foreign.get_signature_runner("serving_default" if "serving_default" in keys else keys[0])
    outputs: dict[str, Array] = runner(**inputs)
    return outputs


@pytest.mark.parametrize("name", [n for n in WORKING if n not in ("no_signature", "int8_io", "uint8_image")])
def test_outputs_are_those_of_the_bare_interpreter(name: str) -> None:
    """Names, shapes, dtypes and values are the package's own (to a last bit that memory alignment decides)."""
    inputs = models.MODELS[name].example(rows=1)
    wanted = bare(models.path(name), inputs)
    got = interpreter.load(models.path(name)).run(inputs)
    assert got.keys() == wanted.keys()
    for key, array in wanted.items():
        assert (got[key].shape, got[key].dtype) == (array.shape, array.dtype)
        if array.dtype.kind == "f":
            np.testing.assert_allclose(got[key], array, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(got[key], array)


@pytest.mark.parametrize("name", WORKING)
def test_signature_is_as_the_catalogue_says(name: str) -> None:
    """Clients see the names, dtypes, shapes and the batch that the model was made with."""
    expected, signature = models.MODELS[name], interpreter.load(models.path(name)).signature
    assert {spec.name: (spec.client_dtype, spec.shape) for spec in signature.inputs} == {
        key: (tensor.dtype, tensor.shape) for key, tensor in expected.inputs.items()
    }
    assert signature.batch.value == expected.batch
    assert [spec.name for spec in signature.outputs] == sorted(expected.outputs)


@pytest.mark.parametrize("name", ["int8_io", "uint8_image"])
def test_quantized_ends_are_floats_to_the_client(name: str) -> None:
    """Floats are quantized on the way in and out; raw integers of the tensor's dtype give the same answer."""
    loaded = interpreter.load(models.path(name))
    spec = loaded.signature.inputs[0]
    assert spec.quantization is not None
    scale, zero_point = spec.quantization
    real = models.MODELS[name].example(rows=1)[spec.name]
    bounds = np.iinfo(spec.dtype)
    raw = np.clip(np.rint(real / scale) + zero_point, bounds.min, bounds.max).astype(spec.dtype)
    wanted = bare(models.path(name), {spec.name: raw})
    output = loaded.signature.outputs[0]
    assert output.quantization is not None
    out_scale, out_zero = output.quantization
    expected = (wanted[output.name].astype(np.float32) - out_zero) * np.float32(out_scale)
    for given in (real, raw):
        got = loaded.run({spec.name: given})[output.name]
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_quantizing_saturates() -> None:
    """A real value far outside the calibrated range becomes the nearest integer, not a wrapped one."""
    loaded = interpreter.load(models.path("int8_io"))
    spec = loaded.signature.inputs[0]
    huge = np.full((1, *spec.shape[1:]), 1e9, np.float32)
    top = np.full((1, *spec.shape[1:]), np.iinfo(spec.dtype).max, spec.dtype)
    got, want = loaded.run({spec.name: huge}), loaded.run({spec.name: top})
    np.testing.assert_array_equal(got["probabilities"], want["probabilities"])


def test_variables_do_not_carry_over_from_one_run_to_the_next() -> None:
    """A model that adds to a variable gives each run the answer of a first run."""
    loaded = interpreter.load(models.path("stateful"))
    x = {"x": np.ones((1, 4), np.float32)}
    for _ in range(3):
        np.testing.assert_array_equal(loaded.run(x)["total"], x["x"])


def test_the_state_of_a_sequence_operator_does_not_carry_over() -> None:
    """What one client sent leaves no trace in the next one's answer."""
    loaded = interpreter.load(models.path("fused_lstm"))
    entry = models.MODELS["fused_lstm"]
    first = loaded.run(entry.example(seed=1))["scores"]
    loaded.run(entry.example(seed=2))
    np.testing.assert_array_equal(loaded.run(entry.example(seed=1))["scores"], first)


def test_outputs_are_not_touched_by_later_runs() -> None:
    """An array handed out stays as it is."""
    loaded = interpreter.load(models.path("mlp"))
    first = loaded.run(models.MODELS["mlp"].example(seed=1))["probabilities"]
    kept = first.copy()
    loaded.run(models.MODELS["mlp"].example(seed=2))
    np.testing.assert_array_equal(first, kept)


def test_the_batch_is_resized_where_the_signature_allows() -> None:
    """n rows at once give what n single rows give, whatever came before."""
    loaded = interpreter.load(models.path("cnn"))
    for rows in (1, 2, 7, 3, 1):
        _check_rows(loaded, rows)


def _check_rows(loaded: interpreter.Interpreter, rows: int) -> None:
    inputs = models.MODELS["cnn"].example(rows=rows)["image"]
    together = loaded.run({"image": inputs})["probabilities"]
    for index in range(rows):
        alone = loaded.run({"image": inputs[index : index + 1]})["probabilities"]
        np.testing.assert_allclose(together[index], alone[0], atol=1e-5)


def test_a_refused_value_does_not_spoil_the_interpreter() -> None:
    """After an embedding index out of range is refused, the next run answers rightly."""
    loaded = interpreter.load(models.path("embedding"))
    good = models.MODELS["embedding"].example()
    before = loaded.run(good)["scores"]
    with pytest.raises(RefusedError, match="an index is out of its range"):
        loaded.run({"ids": np.full((1, 6), 10**6, np.int32)})
    np.testing.assert_allclose(loaded.run(good)["scores"], before, atol=1e-6)


def test_a_refused_shape_does_not_spoil_the_interpreter() -> None:
    """A length that the model cannot take is told with the shape; the interpreter then answers as before."""
    loaded = interpreter.load(models.path("least_length"))
    good = models.MODELS["least_length"].example()
    before = loaded.run(good)["scores"]
    with pytest.raises(RefusedError, match=r"cannot take 'signal' of shape \[1, 2, 2\]|refuses these values"):
        loaded.run({"signal": good["signal"][:, :2]})
    np.testing.assert_allclose(loaded.run(good)["scores"], before, atol=1e-6)


FAILING = {name: model.fails[PACKAGE.name] for name, model in models.MODELS.items() if PACKAGE.name in model.fails}
SAYS = {"flex": "Flex", "flex_static": "Flex", "custom_op": "custom operator", "new_op_version": "version 12 is newer"}


@pytest.mark.parametrize("name", [name for name, how in FAILING.items() if how in ("load", "run")])
def test_what_cannot_run_says_why(name: str) -> None:
    """A file this interpreter cannot run is an ArtifactError that says what it needs."""
    with pytest.raises(ArtifactError) as caught:
        interpreter.load(models.path(name)).run(models.MODELS[name].example())
    assert SAYS.get(name, "") in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0\0\0\0TFL3", b"<html>", b"\x1c\0\0\0TFL3" + b"\xff" * 100])
def test_what_is_no_model_is_refused_at_loading(content: bytes, tmp_path: Path) -> None:
    """Bytes that are no flatbuffer give an ArtifactError."""
    if content.endswith(b"\xff") and PACKAGE.name == "tflite-runtime":
        pytest.skip("a wild flatbuffer is for the trial's own process")
    path = tmp_path / "x.tflite"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="cannot load it"):
        interpreter.load(path)


def test_the_manifest_can_deny_the_batch() -> None:
    """A first dimension of 1 that is no batch stays part of the tensor when the manifest says so."""
    assert interpreter.load(models.path("mlp_static"), batch=False).signature.batch is Batch.NONE


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'. ...",
            "FULLY_CONNECTED version 12 is newer",
        ),
        ("Encountered unresolved custom op: Frob.\nSee instructions", "custom operator Frob"),
        (
            "Select TensorFlow op(s), included in the given model, is(are) not supported by ... FlexErf",
            "Flex operators (Erf)",
        ),
        ("gather index out of bounds\n  Node number 3", "gather index out of bounds Node number 3"),
        ("", "no reason given"),
    ],
)
def test_foreign_messages_are_explained(message: str, told: str) -> None:
    """An interpreter's own words become one line that says what to do."""
    assert told in interpreter.explain(message)
    assert "\n" not in interpreter.explain(message)


def test_interpreters_of_one_file_run_side_by_side() -> None:
    """Two interpreters in two threads do not see each other."""
    examples = [models.MODELS["cnn"].example(seed=seed) for seed in range(2)]
    expected = [interpreter.load(models.path("cnn")).run(example)["probabilities"] for example in examples]
    wrong: list[Any] = []

    def work(index: int) -> None:
        loaded = interpreter.load(models.path("cnn"))
        got = [loaded.run(examples[index])["probabilities"] for _ in range(50)]
        wrong.extend(array for array in got if not np.allclose(array, expected[index], atol=1e-6))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
