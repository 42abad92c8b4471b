"""A loaded model without HTTP: rows, chunks, budgets, the pool and the golden samples."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime import artifact, interpreter, model, samples, self_test
from runtime.errors import ArtifactError, DeadlineError, OverloadError, RequestError, SelfTestError, TooLargeError
from runtime.model import Limits
from runtime.pool import Pool
from runtime.signature import Array
from tests import models

WORKING = models.working(interpreter.package().name)
ROWS = [name for name in WORKING if models.MODELS[name].batch != "none" and name != "packed_wrong"]


def stacked(name: str, rows: int) -> dict[str, Array]:
    """`rows` example rows, dimension 0 counting them also where the file has it fixed at 1."""
    examples = [models.MODELS[name].example(rows=1, seed=seed) for seed in range(rows)]
    return {key: np.concatenate([example[key] for example in examples]) for key in examples[0]}


@pytest.mark.parametrize("name", ROWS)
def test_many_rows_answer_as_each_row_alone(name: str) -> None:
    """Whatever the batch, row k of the answer is the answer to row k."""
    loaded = model.load(models.path(name))
    loaded.self_test()
    inputs = stacked(name, 5)
    together = loaded.predict(inputs)
    for row in range(5):
        alone = loaded.predict({key: array[row : row + 1] for key, array in inputs.items()})
        for key, array in together.items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(array[row], alone[key][0], rtol=1e-4, atol=1e-5)
            else:
                np.testing.assert_array_equal(array[row], alone[key][0])


def test_chunks_join_to_what_one_run_gives() -> None:
    """A batch that is run in several chunks, the last one short, gives the same rows in the same order."""
    inputs = stacked("cnn", 11)
    whole = model.load(models.path("cnn")).predict(inputs)["probabilities"]
    small = model.load(models.path("cnn"), Limits(chunk_bytes=1))
    assert small.chunk_rows == 1
    np.testing.assert_allclose(small.predict(inputs)["probabilities"], whole, atol=1e-5)
    middle = model.load(models.path("cnn"))
    middle.chunk_rows = 4
    np.testing.assert_allclose(middle.predict(inputs)["probabilities"], whole, atol=1e-5)


def test_rows_that_would_disturb_each_other_run_alone() -> None:
    """A batch of -1 that mixes its rows is found out at the self-test; the rows then get a run each."""
    loaded = model.load(models.path("joined"))
    loaded.self_test()
    assert loaded.chunk_rows == 1
    x = np.array([[1, 2, 3], [10, 20, 30]], np.float32)
    np.testing.assert_array_equal(loaded.predict({"x": x})["y"], x - x.max(axis=1, keepdims=True))
    sound = model.load(models.path("cnn"))
    sound.self_test()
    assert sound.chunk_rows > 1


def test_a_chunk_is_cut_by_the_largest_tensor_of_a_row() -> None:
    """The convolution's activations count, not only the 3 kB of its image."""
    loaded = model.load(models.path("cnn"), Limits(chunk_bytes=1 << 20))
    assert 1 <= loaded.chunk_rows < (1 << 20) // (28 * 28 * 4)


def test_whole_tensors_pass_where_there_is_no_batch() -> None:
    """A model without a batch takes its tensor as it is."""
    matrix = models.MODELS["whole"].example()["matrix"]
    got = model.load(models.path("whole")).predict({"matrix": matrix})["square"]
    np.testing.assert_allclose(got, matrix @ matrix, rtol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, "missing 'a', 'b'"),
        ({"a": np.zeros((1, 3), np.float32)}, "missing 'b'"),
        ({"a": np.zeros((1, 3)), "b": np.zeros((1, 2)), "c": np.zeros(1)}, "unknown 'c'"),
        ({"a": np.zeros((2, 3)), "b": np.zeros((1, 2))}, "same number of rows"),
        ({"a": np.zeros((1, 4)), "b": np.zeros((1, 2))}, r"each row of shape \[3\], got \[4\]"),
        ({"a": np.zeros(()), "b": np.zeros((1, 2))}, "got one value"),
        ({"a": np.zeros((0, 3)), "b": np.zeros((0, 2))}, "is empty"),
    ],
)
def test_inputs_that_do_not_fit_are_told_apart(inputs: dict[str, Array], told: str) -> None:
    """Each misfit has a message that says what was expected."""
    with pytest.raises(RequestError, match=told):
        model.load(models.path("two_inputs")).predict(inputs)


def test_a_request_over_the_byte_budget_is_refused_before_it_runs() -> None:
    """Inputs and outputs together are counted from the signature."""
    loaded = model.load(models.path("mlp"), Limits(max_tensor_bytes=280))
    loaded.predict({"features": np.zeros((10, 4), np.float32)})
    with pytest.raises(TooLargeError, match="needs 308 bytes"):
        loaded.predict({"features": np.zeros((11, 4), np.float32)})


def test_rows_past_the_deadline_are_not_run() -> None:
    """A request that would run on after its deadline ends with a DeadlineError."""
    loaded = model.load(models.path("mlp_static"))
    with pytest.raises(DeadlineError, match="fewer"):
        loaded.predict({"features": np.zeros((1000, 4), np.float32)}, time.monotonic())


def test_golden_samples_are_replayed() -> None:
    """A sound artifact passes its own test; one whose samples are another model's does not."""
    model.load(models.path("packed")).self_test()
    with pytest.raises(SelfTestError, match="golden sample 0: output 'probabilities' is off by"):
        model.load(models.path("packed_wrong")).self_test()


def test_a_manifest_that_names_other_tensors_is_refused(tmp_path: Path) -> None:
    """A manifest packed onto the wrong model is found out at loading."""
    packed = artifact.read(models.path("packed"))
    assert packed.manifest is not None
    path = tmp_path / "mixed.tflite"
    artifact.write(path, models.path("cnn").read_bytes(), packed.manifest)
    with pytest.raises(ArtifactError, match="names other tensors"):
        model.load(path)


def test_a_plain_file_that_cannot_run_fails_its_test() -> None:
    """Missing operators that show only at the first run are found before any client sees them."""
    with pytest.raises(ArtifactError, match="custom operator"):
        model.load(models.path("custom_op")).self_test()


def test_many_threads_get_their_own_answers() -> None:
    """Eight threads on two interpreters: no answer is another thread's."""
    loaded = model.load(models.path("mlp"), Limits(interpreters=2))
    inputs = np.random.default_rng(0).random((8, 4), np.float32)
    expected = loaded.predict({"features": inputs})["probabilities"]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(100):
            got = loaded.predict({"features": inputs[index : index + 1]})["probabilities"][0]
            if not np.allclose(got, expected[index], atol=1e-6):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_pool_bounds_how_long_one_waits() -> None:
    """With its one interpreter taken, a wait that ends is a DeadlineError; the place is free again."""
    pool = Pool([interpreter.load(models.path("mlp"))], max_waiting=1)
    only = pool.take(time.monotonic())
    for _ in range(2):
        with pytest.raises(DeadlineError):
            pool.take(time.monotonic() + 0.05)
    pool.give_back(only)
    assert pool.take(time.monotonic()) is only


def test_the_pool_bounds_how_many_wait() -> None:
    """A place too many is an OverloadError, and who has the place gets the interpreter."""
    pool = Pool([interpreter.load(models.path("mlp"))], max_waiting=1)
    only = pool.take(time.monotonic())
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(pool.take(time.monotonic() + 120)))
    thread.start()
    with pytest.raises(OverloadError, match="too many"):
        _ask_until_overloaded(pool)
    pool.give_back(only)
    thread.join()
    assert got == [only]


def test_who_waits_for_an_interpreter_gets_each_one_that_comes_free() -> None:
    """Many threads, two interpreters: every wait ends, and no two have the same one at once."""
    pool = Pool([interpreter.load(models.path("mlp")) for _ in range(2)], max_waiting=64)
    used: set[int] = set()
    wrong: list[str] = []

    def work() -> None:
        for _ in range(200):
            mine = pool.take(time.monotonic() + 120)
            if id(mine) in used:
                wrong.append("shared")
            used.add(id(mine))
            time.sleep(0)
            used.discard(id(mine))
            pool.give_back(mine)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def _ask_until_overloaded(pool: Pool) -> None:
    """Ask, giving the other thread up to a minute to begin its wait, until the pool has no place left."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(DeadlineError):
            pool.take(time.monotonic())
        time.sleep(0.002)


def test_limits_are_plain_values() -> None:
    """An embedder changes one limit and keeps the rest."""
    assert replace(Limits(), interpreters=3).chunk_bytes == Limits().chunk_bytes


def test_samples_without_a_sample_are_damaged() -> None:
    """An empty samples.npz would prove nothing."""
    empty = samples.Samples({"x": np.zeros((0, 1, 4), np.float32)}, {"y": np.zeros((0, 1, 3), np.float32)})
    with pytest.raises(ArtifactError, match=r"samples.npz is damaged"):
        samples.loads(samples.dumps(empty), 1 << 20)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([1.0, np.inf, np.nan], ""),
        ([2.0, np.inf, np.nan], "is off by 1, "),
        ([1.0, -np.inf, np.nan], "is off by inf, "),
        ([1.0, np.inf, 0.0], "no number where it should not be"),
    ],
)
def test_an_infinity_in_a_golden_answer_hides_nothing(given: list[float], problem: str) -> None:
    """It was taken for the largest number there is, of which a thousandth is allowed."""
    row = np.array([[[1, 2, 3, 4]]], np.float32)
    golden = samples.Samples({"features": row}, {"y": np.array([[1.0, np.inf, np.nan]], np.float32)})
    leased: Any = SimpleNamespace(run=lambda _: {"y": np.array(given, np.float32)})
    told = pytest.raises(SelfTestError, match=problem) if problem else contextlib.nullcontext()
    with told:
        self_test.replay(golden, leased)
