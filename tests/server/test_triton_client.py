"""Triton's own Python client, sync and asyncio, against a real server: every way in which it asks and is answered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import model
from tests import models
from tests.server.conftest import PATIENCE, Server, Start

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow

triton = pytest.importorskip("tritonclient.http", reason="Triton's client is in requirements-dev.txt only")
aio = pytest.importorskip("tritonclient.http.aio")
utils = pytest.importorskip("tritonclient.utils")

CODINGS = (None, "gzip", "deflate")
DATATYPES = {
    "float32": "FP32",
    "float64": "FP64",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
    "string": "BYTES",
}
Client = Any


@pytest.fixture(scope="module", params=["fast", pytest.param("threads", marks=pytest.mark.slow)])
def worker_class(request: pytest.FixtureRequest) -> str:
    """Both ways of serving."""
    return str(request.param)


@pytest.fixture(scope="module")
def serve(start_shared: Start, worker_class: str) -> Callable[[str], Server]:
    """`serve("mlp") -> Server`: one server for each model of the catalogue that is asked for."""
    running: dict[str, Server] = {}

    def begin(name: str) -> Server:
        if name not in running:
            running[name] = start_shared(models.path(name), WORKER_CLASS=worker_class, WEB_CONCURRENCY="2")
        return running[name]

    return begin


@pytest.fixture
def connect(serve: Callable[[str], Server]) -> Iterator[Callable[[str], Client]]:
    """`connect("mlp") -> tritonclient`: closed at the test's end."""
    clients: list[Client] = []

    def begin(name: str) -> Client:
        url = serve(name).url.removeprefix("http://")
        clients.append(triton.InferenceServerClient(url, connection_timeout=PATIENCE, network_timeout=PATIENCE))
        return clients[-1]

    yield begin
    for client in clients:
        client.close()


def tensor(name: str, array: NDArray[Any], dtype: str, *, binary: bool) -> Any:
    """An input of the client's."""
    made = triton.InferInput(name, list(array.shape), DATATYPES[dtype])
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def inputs_of(name: str, rows: int, *, binary: bool) -> list[Any]:
    known = models.MODELS[name]
    return [tensor(key, array, known.inputs[key].dtype, binary=binary) for key, array in known.example(rows).items()]


def expected_of(name: str, rows: int) -> dict[str, NDArray[Any]]:
    """What the model gives without HTTP."""
    return model.load(models.path(name)).predict(models.MODELS[name].example(rows))


@pytest.mark.parametrize("name", ["mlp", "two_inputs", "bool_io", "int64_io", "float64_io", "string_lookup"])
def test_every_combination_of_body_and_coding(name: str, connect: Callable[[str], Client]) -> None:
    """Binary or JSON, in and out, plain, gzip or deflate, in and out: always the model's own outputs, to the bit."""
    client, want = connect(name), expected_of(name, 3)
    for binary_in, binary_out, coding_in, coding_out in itertools.product(
        (True, False), (True, False), CODINGS, CODINGS
    ):
        reply = client.infer(
            name,
            inputs_of(name, 3, binary=binary_in),
            outputs=[triton.InferRequestedOutput(key, binary_data=binary_out) for key in want],
            request_id="7",
            request_compression_algorithm=coding_in,
            response_compression_algorithm=coding_out,
        )
        assert reply.get_response()["id"] == "7"
        for key, array in want.items():
            got = reply.as_numpy(key)
            assert got.dtype == array.dtype
            assert np.array_equal(got, array)


def test_without_a_word_on_outputs_all_of_them_come(connect: Callable[[str], Client]) -> None:
    """In binary, which is what the client asks for then."""
    reply = connect("two_inputs").infer("two_inputs", inputs_of("two_inputs", 2, binary=True))
    for key, array in expected_of("two_inputs", 2).items():
        assert np.array_equal(reply.as_numpy(key), array)


def test_only_the_wanted_outputs_come(connect: Callable[[str], Client]) -> None:
    """One of two."""
    wanted = [triton.InferRequestedOutput("sum")]
    reply = connect("two_inputs").infer("two_inputs", inputs_of("two_inputs", 2, binary=True), outputs=wanted)
    assert [output["name"] for output in reply.get_response()["outputs"]] == ["sum"]


@pytest.mark.parametrize("binary", [True, False])
def test_classes_with_their_labels(binary: bool, connect: Callable[[str], Client]) -> None:
    """`score:index:label`, best first, as bytes or as JSON."""
    wanted = [triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)]
    reply = connect("packed").infer("packed", inputs_of("packed", 2, binary=True), outputs=wanted)
    got = reply.as_numpy("probabilities")
    labels = ("small", "middle", "large")
    for row, scores in zip(got, expected_of("packed", 2)["probabilities"], strict=True):
        for told, index in zip(row, np.argsort(-scores), strict=False):
            text = told.decode() if isinstance(told, bytes) else told
            assert text == f"{scores[index]:f}:{index}:{labels[index]}"
    assert got.shape == (2, 2)


def test_one_raw_tensor_without_any_json(connect: Callable[[str], Client]) -> None:
    """`generate_request_body` is not needed: the body is the tensor, the header says 0."""
    client, example = connect("mlp"), models.MODELS["mlp"].example(2)["features"]
    headers = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
    reply = client._post("v2/models/mlp/infer", example.tobytes(), headers, {})
    length = int(reply.get("Inference-Header-Content-Length"))
    got = triton.InferResult.from_response_body(reply.read(), header_length=length)
    assert np.array_equal(got.as_numpy("probabilities"), expected_of("mlp", 2)["probabilities"])


def test_health_metadata_configuration_and_index(connect: Callable[[str], Client]) -> None:
    """What the client asks before it infers."""
    client = connect("packed")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("packed")
    assert client.is_model_ready("packed", "1.2.3")
    assert not client.is_model_ready("packed", "9.9.9")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("packed") == {
        "name": "packed",
        "versions": ["1.2.3"],
        "platform": "tflite",
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}],
    }
    config = client.get_model_config("packed")
    assert (config["input"][0]["data_type"], config["input"][0]["dims"]) == ("TYPE_FP32", [4])
    assert config["max_batch_size"] > 1
    assert connect("cnn").get_model_config("cnn")["input"][0]["format"] == "FORMAT_NHWC"
    (entry,) = client.get_model_repository_index()
    assert (entry["name"], entry["state"]) == ("packed", "READY")


def test_statistics_count_what_was_asked(connect: Callable[[str], Client]) -> None:
    """Over all workers; failures apart."""

    def statistics() -> dict[str, Any]:
        (told,) = client.get_inference_statistics("embedding")["model_stats"]
        return dict(told)

    client = connect("embedding")
    before = statistics()
    for _ in range(5):
        client.infer("embedding", inputs_of("embedding", 1, binary=True))
    with pytest.raises(utils.InferenceServerException, match="refuses"):
        client.infer("embedding", [tensor("ids", np.full((1, 6), 99, np.int32), "int32", binary=True)])
    after = statistics()
    assert after["inference_count"] - before["inference_count"] == 5
    assert after["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"] == 1
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert client.get_inference_statistics()["model_stats"][0]["name"] == "embedding"


def test_errors_are_the_clients_own_exceptions(connect: Callable[[str], Client]) -> None:
    """Unknown models, inputs and outputs, wrong shapes and datatypes: the message arrives."""
    client = connect("mlp")
    good = inputs_of("mlp", 1, binary=True)
    wrong = {
        "Request for unknown model: 'other' is not found": ("other", good, None),
        "shape": ("mlp", [tensor("features", np.zeros((1, 5), np.float32), "float32", binary=True)], None),
        "unknown 'x'": ("mlp", [*good, tensor("x", np.zeros((1, 4), np.float32), "float32", binary=True)], None),
        "missing 'features'": ("mlp", [tensor("x", np.zeros((1, 4), np.float32), "float32", binary=True)], None),
        "no output 'y'": ("mlp", good, [triton.InferRequestedOutput("y")]),
        "got bytes|takes no pictures": (
            "mlp",
            [tensor("features", np.array([[b"a"]], object), "string", binary=True)],
            None,
        ),
    }
    for told, (name, inputs, outputs) in wrong.items():
        with pytest.raises(utils.InferenceServerException, match=told):
            client.infer(name, inputs, outputs=outputs)
    with pytest.raises(utils.InferenceServerException, match="unknown model: 'mlp' version '77'"):
        client.infer("mlp", good, model_version="77")
    assert np.array_equal(client.infer("mlp", good).as_numpy("probabilities"), expected_of("mlp", 1)["probabilities"])


def test_many_at_once_each_with_its_own_answer(serve: Callable[[str], Server]) -> None:
    """The asyncio client, a hundred requests, sixteen at a time, plain and compressed."""
    url, name = serve("mlp").url.removeprefix("http://"), "mlp"
    runner = model.load(models.path(name))

    async def ask() -> None:
        async with aio.InferenceServerClient(url, conn_timeout=PATIENCE) as client:
            assert await client.is_server_ready()
            turns = asyncio.Semaphore(16)
            await asyncio.gather(*(in_turn(turns, client, seed) for seed in range(100)))

    async def in_turn(turns: asyncio.Semaphore, client: Client, seed: int) -> None:
        async with turns:
            await one(client, seed)

    async def one(client: Client, seed: int) -> None:
        example = models.MODELS[name].example(1 + seed % 3, seed)["features"]
        reply = await client.infer(
            name,
            [tensor("features", example, "float32", binary=seed % 2 == 0)],
            request_id=str(seed),
            request_compression_algorithm=CODINGS[seed % 3],
            response_compression_algorithm=CODINGS[seed // 3 % 3],
        )
        assert reply.get_response()["id"] == str(seed)
        want = runner.predict({"features": example})["probabilities"]
        np.testing.assert_allclose(reply.as_numpy("probabilities"), want, rtol=1e-6)

    asyncio.run(ask())
