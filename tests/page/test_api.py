"""What the page is made of, asked without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from runtime import artifact, model
from runtime.app import create_app
from runtime.interpreter import package
from runtime.models import Models
from runtime.settings import from_env
from tests.models import MODELS, path, working
from tests.page.conftest import Serve

PAGE = Path(__file__).resolve().parents[2] / "runtime" / "page"


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """An application that serves every model of the catalogue that runs here."""
    models = Models()
    for name in working(package().name):
        models.put(name, model.load(path(name)))
    return create_app(from_env({"MODEL_URL": "unused"}), models).test_client()


@pytest.mark.parametrize("name", [name for name in MODELS if name in working(package().name)])
def test_the_example_of_every_model_is_answered(client: FlaskClient, name: str) -> None:
    body = client.get(f"/page/example.json?model={name}").data
    reply = client.post(f"/predict/{name}", data=body)
    assert reply.status_code == 200, (body, reply.text)


def test_golden_samples_come_one_after_the_other(serve: Serve) -> None:
    server = serve(path("packed"))
    samples = artifact.read(path("packed")).samples
    assert samples is not None
    bodies = [server.get(f"/page/example.json?index={index}").json() for index in range(len(samples) + 1)]
    assert bodies[0] == bodies[-1]
    assert bodies[0] != bodies[1]
    assert server.get("/page/example.json?index=-1").status_code == 400
    assert server.get("/page/example.json?model=other").status_code == 404


def test_the_form_is_that_of_the_hooks_where_they_take_other_inputs(serve: Serve, tmp_path: Path) -> None:
    """Clients send one `side`; the hook makes four features of it, and the golden samples are no examples any more."""
    (tmp_path / "square.py").write_text(
        "import numpy as np\n"
        'INPUTS = {"side": ("float32", (-1,))}\n'
        "def before(inputs):\n"
        '    return {"features": np.repeat(inputs["side"][:, None], 4, 1)}\n'
    )
    server = serve(path("packed"), MODEL_HOOKS=str(tmp_path / "square.py"))
    told = server.get("/page/model.json").json()["models"][0]
    assert [item["name"] for item in told["inputs"]] == ["side"]
    assert (told["examples"], told["range"]) == (0, None)
    body = server.get("/page/example.json").content
    assert server.post("/predict", data=body).status_code == 200


def test_the_description_says_what_the_manifest_says(serve: Serve) -> None:
    told = serve(path("packed")).get("/page/model.json").json()["models"][0]
    assert told["ready"] is True
    assert told["version"] == "1.2.3"
    assert told["sha256"] == artifact.read(path("packed")).digest
    assert told["inputs"][0]["features"] == ["length", "width", "height", "weight"]
    assert told["labels"] == ["small", "middle", "large"]
    assert told["form"] == "instances"
    assert MODELS["packed"].outputs.keys() == {output["name"] for output in told["outputs"]}


def test_the_page_can_be_switched_off(serve: Serve) -> None:
    server = serve(path("mlp"), PAGE="off")
    for address in ("/", "/page/main.js", "/page/model.json", "/page/example.json"):
        assert server.get(address, headers={"Accept": "text/html,*/*;q=0.8"}).status_code == 404
    assert server.get("/").json() == {"status": "alive"}


def test_who_asks_for_no_html_is_told_that_the_server_lives(serve: Serve) -> None:
    """As KServe's V1 client asks; every browser asks for HTML."""
    server = serve(path("mlp"))
    for accept in ("*/*", "application/json", ""):
        told = server.get("/", headers={"Accept": accept})
        assert (told.json(), told.headers["Vary"]) == ({"status": "alive"}, "Accept")
    page = server.get("/", headers={"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Vary"] == "Accept"
    assert server.get("/v1/models/mlp").json()["ready"] is True


def test_only_what_says_something_of_the_model_needs_the_key(serve: Serve) -> None:
    server = serve(path("mlp"), API_KEYS="ali:open-sesame-open-sesame")
    status = {name: server.get(name).status_code for name in ("/", "/page/main.js", "/page/model.json")}
    assert status == {"/": 200, "/page/main.js": 200, "/page/model.json": 401}
    headers = {"Authorization": "Bearer open-sesame-open-sesame"}
    assert server.get("/page/model.json", headers=headers).status_code == 200
    assert server.get("/page/example.json").status_code == 401


def test_files_are_fetched_once_and_nothing_else_is_served(serve: Serve) -> None:
    server = serve(path("mlp"))
    first = server.get("/page/main.js")
    assert "script-src 'self'" in first.headers["Content-Security-Policy"]
    assert "unsafe" not in first.headers["Content-Security-Policy"]
    again = server.get("/page/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("nothing.js", "..%2Fwsgi.py", "%2e%2e/wsgi.py"):
        assert server.get(f"/page/{name}").status_code in (400, 404), name


@pytest.mark.parametrize("file", sorted(PAGE.iterdir()), ids=lambda file: file.name)
def test_the_files_are_small_plain_and_ask_no_other_host(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 300
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)
    assert not re.search(r"<[^>]+ (style|on\w+)=", text)
