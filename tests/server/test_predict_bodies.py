"""Every body that `/predict` reads, sent by `requests` and `curl` to a real server, in both ways of serving."""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from runtime import artifact, model
from runtime.manifest import Flatbuffer, Image, Manifest, Tensor
from tests import models
from tests.server.conftest import PATIENCE, Server, Start

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow

LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ROWS = np.array([[0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4]], np.float32)


@pytest.fixture(scope="module", params=["fast", pytest.param("threads", marks=pytest.mark.slow)])
def worker_class(request: pytest.FixtureRequest) -> str:
    """Both ways of serving."""
    return str(request.param)


@pytest.fixture(scope="module")
def packed(start_shared: Start, worker_class: str) -> Server:
    """A classifier whose manifest names features and labels."""
    return start_shared(models.path("packed"), WORKER_CLASS=worker_class, MAX_BODY_BYTES="2M", MAX_INFLATED_BYTES="4M")


@pytest.fixture(scope="module")
def photos(start_shared: Start, worker_class: str, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A classifier of grey pictures, whose manifest says how to normalize them."""
    path = photo_model(tmp_path_factory.mktemp("photos"))
    return start_shared(path, WORKER_CLASS=worker_class, MAX_PIXELS="100000")


def photo_model(folder: Path) -> Path:
    """The small CNN as an artifact with an image meaning."""
    meaning = Image(28, 28, 1, 1 / 255, (0.5,), (0.25,))
    manifest = Manifest(
        "digits",
        "1.0.0",
        Flatbuffer(0, ""),
        (Tensor("image", "float32", (-1, 28, 28, 1), image=meaning),),
        (Tensor("probabilities", "float32", (-1, 10), labels=True, activation="softmax"),),
    )
    return artifact.write(folder / "digits.tflite", models.path("cnn").read_bytes(), manifest, LABELS).path


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    """A colourful picture."""
    stream = io.BytesIO()
    Pillow.linear_gradient("L").resize(size).convert("RGB").save(stream, kind)
    return stream.getvalue()


def seen(data: bytes) -> NDArray[Any]:
    """What the model should be given for a picture."""
    with Pillow.open(io.BytesIO(data)) as opened:
        pixels = np.asarray(opened.convert("L").resize((28, 28), Pillow.Resampling.BILINEAR), np.float32)
    normalized: NDArray[Any] = (pixels / 255 - 0.5) / 0.25
    return normalized.reshape(1, 28, 28, 1)


def want(name: str, key: str, array: NDArray[Any]) -> NDArray[Any]:
    """What the model gives without HTTP."""
    return model.load(models.path(name)).predict({key: array})["probabilities"]


def predictions(reply: Any) -> NDArray[Any]:
    assert reply.status_code == 200, reply.text
    (values,) = reply.json().values()
    return np.array(values, np.float32)


def npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(**arrays: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


NAMED = [dict(zip(("length", "width", "height", "weight"), row, strict=True)) for row in ROWS.tolist()]
BODIES = {
    "rows": (json.dumps({"instances": ROWS.tolist()}).encode(), "application/json"),
    "columns": (json.dumps({"inputs": ROWS.tolist()}).encode(), "application/json"),
    "features": (json.dumps({"features": ROWS.tolist()}).encode(), "application/x-www-form-urlencoded"),
    "objects": (json.dumps({"instances": NAMED}).encode(), "application/json"),
    "npy": (npy(ROWS), "application/x-npy"),
    "npy of float64, swapped": (npy(ROWS.astype(">f8")), "application/octet-stream"),
    "npz": (npz(features=ROWS), "application/x-npz"),
    "raw": (ROWS.astype("<f4").tobytes(), "application/octet-stream"),
    "csv": (b"0.1,0.2,0.3,0.4\n1,2,3,4\n", "text/csv"),
    "csv with names": (b"weight,length,height,width\n0.4,0.1,0.3,0.2\n4,1,3,2\n", "text/csv; header=present"),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_the_same_rows_in_every_body(name: str, coding: str, packed: Server) -> None:
    """One answer, whatever carried the numbers, packed or not."""
    body, media_type = BODIES[name]
    headers = {"Content-Type": media_type, "Content-Encoding": coding}
    reply = packed.post("/predict", data=gzip.compress(body) if coding == "gzip" else body, headers=headers)
    np.testing.assert_allclose(predictions(reply), want("packed", "features", ROWS), rtol=1e-6)


def test_replies_as_numpy_reads_them(packed: Server) -> None:
    """.npy and .npz by Accept, to the bit; a single vector of features answers a single vector."""
    body = {"instances": ROWS.tolist()}
    expected = want("packed", "features", ROWS)
    reply = packed.post("/predict", json=body, headers={"Accept": "application/x-npy"})
    assert reply.headers["Content-Type"] == "application/x-npy"
    assert np.array_equal(np.load(io.BytesIO(reply.content)), expected)
    reply = packed.post("/predict", json=body, headers={"Accept": "application/json;q=0.5, application/x-npz"})
    assert np.array_equal(np.load(io.BytesIO(reply.content))["probabilities"], expected)
    reply = packed.post("/predict", json={"features": ROWS[0].tolist()}, headers={"Accept": "application/x-npy"})
    assert np.load(io.BytesIO(reply.content)).shape == (3,)
    assert packed.post("/predict", json=body, headers={"Accept": "text/html"}).status_code == 406


def test_the_best_classes_with_their_labels(packed: Server) -> None:
    """?top_k: label, score and index, best first, in each form of the reply."""
    scores = want("packed", "features", ROWS)
    labels = ("small", "middle", "large")
    reply = packed.post("/predict?top_k=2", json={"instances": ROWS.tolist()})
    for told, row in zip(reply.json()["predictions"], scores, strict=True):
        best = np.argsort(-row)[:2]
        assert [item["label"] for item in told] == [labels[index] for index in best]
        assert [item["index"] for item in told] == best.tolist()
        np.testing.assert_allclose([item["score"] for item in told], row[best], rtol=1e-6)
    single = packed.post("/predict?top_k=99", json={"features": ROWS[0].tolist()}).json()["prediction"]
    assert len(single) == 3
    assert packed.post("/predict?top_k=0", json={"features": ROWS[0].tolist()}).status_code == 400


def test_outputs_are_picked_by_name(start: Start, worker_class: str) -> None:
    """?outputs: one of two loses its name, both keep theirs; .npy holds one, so one must be picked."""
    server = start(models.path("two_inputs"), WORKER_CLASS=worker_class)
    body = {"inputs": {"a": [[1, 2, 3]], "b": [[1, 2]]}}
    assert server.post("/predict?outputs=sum", json=body).json() == {"outputs": [[9.0]]}
    assert server.post("/predict?outputs=sum,product", json=body).json()["outputs"]["product"] == [[6.0, 12.0]]
    refused = server.post("/predict", json=body, headers={"Accept": "application/x-npy"})
    assert refused.status_code == 406
    assert "?outputs=" in refused.json()["error"]
    picked = server.post("/predict?outputs=product", json=body, headers={"Accept": "application/x-npy"})
    assert np.load(io.BytesIO(picked.content)).tolist() == [[6.0, 12.0]]


def test_two_inputs_in_one_npz_or_form(start: Start, worker_class: str) -> None:
    """By name; a .npy is refused with what to send instead."""
    server = start(models.path("two_inputs"), WORKER_CLASS=worker_class)
    a, b = np.array([[1, 2, 3]], np.float32), np.array([[1, 2]], np.float32)
    for options in (
        {"data": npz(a=a, b=b), "headers": {"Content-Type": "application/x-npz"}},
        {"files": {"a": ("a.npy", npy(a)), "b": (None, "[[1, 2]]")}},
    ):
        reply = server.post("/predict", **options)
        assert reply.json() == {"predictions": [{"product": [6.0, 12.0], "sum": [9.0]}]}, reply.text
    assert "several inputs" in server.post("/predict", data=npy(a)).json()["error"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_picture_in_every_way_it_can_be_sent(kind: str, photos: Server) -> None:
    """As the body, in a form, in JSON by row, by column and by name: resized and normalized as the manifest says."""
    data = picture(kind)
    expected = want("cnn", "image", seen(data))
    b64 = {"b64": base64.b64encode(data).decode()}
    ways: list[dict[str, Any]] = [
        {"data": data, "headers": {"Content-Type": f"image/{kind.lower()}"}},
        {"data": data},
        {"files": {"image": ("cat." + kind.lower(), data)}},
        {"files": {"file": ("cat", data, f"image/{kind.lower()}")}},
        {"json": {"instances": [b64]}},
        {"json": {"instances": [{"image": b64}]}},
        {"json": {"inputs": [b64]}},
        {"json": {"inputs": {"image": b64}}},
    ]
    for way in ways:
        np.testing.assert_allclose(predictions(photos.post("/predict", **way)), expected, rtol=1e-5)
    reply = photos.post("/v1/models/digits:predict", json={"instances": [b64, b64]})
    np.testing.assert_allclose(predictions(reply), np.repeat(expected, 2, 0), rtol=1e-5)


def test_curl_asks_what_the_picture_shows(photos: Server, tmp_path: Path) -> None:
    """`curl -F image=@cat.jpg`, and `curl --data-binary @cat.jpg` that says it is a form."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    path = tmp_path / "cat.jpg"
    path.write_bytes(picture("JPEG"))
    scores = want("cnn", "image", seen(path.read_bytes()))[0]
    for options in (
        ["-F", f"image=@{path}"],
        ["-F", f"image=@{path}", "-F", f"image=@{path}"],
        ["--data-binary", f"@{path}"],
    ):
        done = subprocess.run(
            [curl, "-sS", f"{photos.url}/predict?top_k=3", *options], capture_output=True, check=True, timeout=PATIENCE
        )
        for told in json.loads(done.stdout)["predictions"]:
            assert [item["label"] for item in told] == [LABELS[index] for index in np.argsort(-scores)[:3]]


def test_a_picture_that_is_too_large_is_413_before_it_is_decoded(photos: Server) -> None:
    """By its pixels, not by its bytes."""
    reply = photos.post("/predict", data=picture(size=(400, 300)), headers={"Content-Type": "image/png"})
    assert reply.status_code == 413
    assert "MAX_PIXELS" in reply.json()["error"]


def test_a_model_without_image_meaning_says_how_to_get_it(start: Start, worker_class: str) -> None:
    """Floats are never guessed; uint8 pixels need no meaning."""
    plain = start(models.path("cnn"), WORKER_CLASS=worker_class)
    reply = plain.post("/predict", data=picture(), headers={"Content-Type": "image/png"})
    assert reply.status_code == 400
    assert "tools/export.py" in reply.json()["error"]
    pixels = start(models.path("uint8_image"), WORKER_CLASS=worker_class)
    assert predictions(pixels.post("/predict", data=picture(), headers={"Content-Type": "image/png"})).shape == (1, 10)


def test_without_pillow_pictures_are_415_and_all_else_works(start: Start, worker_class: str, tmp_path: Path) -> None:
    """The error tells the line that brings them."""
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").write_text("raise ImportError('not here')")
    server = start(models.path("uint8_image"), WORKER_CLASS=worker_class, PYTHONPATH=str(tmp_path))
    reply = server.post("/predict", data=picture(), headers={"Content-Type": "image/png"})
    assert reply.status_code == 415
    assert "requirements-image.txt" in reply.json()["error"]
    assert server.post("/predict", json={"instances": np.zeros((1, 8, 8, 1)).tolist()}).status_code == 200


def test_ten_thousand_lines_of_csv(packed: Server) -> None:
    """In one request, each line with its own answer."""
    table = np.random.default_rng(0).random((10_000, 4), np.float32)
    body = "\n".join(",".join(map(str, row)) for row in table.tolist())
    reply = packed.post("/predict", data=body, headers={"Content-Type": "text/csv"})
    np.testing.assert_allclose(predictions(reply), want("packed", "features", table), rtol=1e-5)


def test_bodies_are_bounded_before_and_after_unpacking(packed: Server) -> None:
    """413 for three megabytes as they are, and for five in five kilobytes."""
    large = packed.post("/predict", data=b" " * (3 << 20))
    assert large.status_code == 413
    assert "MAX_BODY_BYTES" in large.json()["error"]
    bomb = packed.post("/predict", data=gzip.compress(b" " * (5 << 20)), headers={"Content-Encoding": "gzip"})
    assert bomb.status_code == 413
    assert "MAX_INFLATED_BYTES" in bomb.json()["error"]
    assert packed.post("/predict", data=b"{}", headers={"Content-Encoding": "br"}).status_code == 415


def test_rows_are_bounded_in_every_protocol(start: Start, worker_class: str) -> None:
    """413 for one row more than MAX_INSTANCES, whichever way they come."""
    server = start(models.path("mlp"), WORKER_CLASS=worker_class, MAX_INSTANCES="3")
    for rows, status in ((3, 200), (4, 413)):
        instances = np.ones((rows, 4), np.float32)
        tensor = {"name": "features", "shape": [rows, 4], "datatype": "FP32", "data": instances.ravel().tolist()}
        replies = [
            server.post("/predict", json={"instances": instances.tolist()}),
            server.post("/predict", data=npy(instances)),
            server.post("/v1/models/mlp:predict", json={"inputs": instances.tolist()}),
            server.post("/v2/models/mlp/infer", json={"inputs": [tensor]}),
        ]
        assert [reply.status_code for reply in replies] == [status] * 4


def test_replies_are_never_invalid_json(start: Start, worker_class: str) -> None:
    """NaN and infinities are null, and a header says so; only then."""
    server = start(models.path("nan_out"), WORKER_CLASS=worker_class)
    reply = server.post("/predict", json={"instances": [[-1, 0], [1, 1]]})
    assert reply.json() == {"predictions": [[None, None], [0.0, 0.0]]}
    assert reply.headers["X-Non-Finite"] == "null"
    assert "X-Non-Finite" not in server.post("/predict", json={"instances": [[1, 1]]}).headers
    best = server.post("/predict?top_k=1", json={"instances": [[-1, 0]]})
    assert best.json() == {"predictions": [[{"score": None, "index": 1}]]}
    assert best.headers["X-Non-Finite"] == "null"
    exact = server.post("/predict", json={"instances": [[-1, 0]]}, headers={"Accept": "application/x-npy"})
    assert np.isnan(np.load(io.BytesIO(exact.content))[0, 0])


def test_whole_tensors_answer_whole(start: Start, worker_class: str) -> None:
    """A model without rows takes its tensor in any body, and says `outputs`."""
    server = start(models.path("whole"), WORKER_CLASS=worker_class)
    matrix = np.eye(5, dtype=np.float32) * 3
    for options in (
        {"json": {"inputs": matrix.tolist()}},
        {"data": npy(matrix)},
        {"data": matrix.tobytes(), "headers": {"Content-Type": "application/octet-stream"}},
    ):
        assert server.post("/predict", **options).json() == {"outputs": (matrix @ matrix).tolist()}
    assert server.post("/predict", data=b"1,2,3,4,5", headers={"Content-Type": "text/csv"}).status_code == 400
