"""Who may ask what, asked of a real server in both lanes: keys, the admin key, origins, headers, log and metrics."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests import models
from tests.server.conftest import Server, Start
from tests.server.raw import connect

# Servers are started and stopped all the time.
pytestmark = pytest.mark.slow

WEB, PHONE, ADMIN = "web-key-0123456789", "dyn_" + "p" * 43, "admin-key-0123456789"
KEYS = f"web:{WEB},phone:sha256:{hashlib.sha256(PHONE.encode()).hexdigest()}"
ROW: dict[str, Any] = {"instances": [[1, 2, 3, 4]]}
PAGE = "https://app.example"


@pytest.fixture(scope="module", params=["threads", "fast"])
def closed(request: pytest.FixtureRequest, start_shared: Start) -> Server:
    """A server with keys."""
    options = {"API_KEYS": KEYS, "ADMIN_KEY": f"boss:{ADMIN}", "CORS_ORIGINS": PAGE, "WORKER_CLASS": request.param}
    return start_shared(models.path("packed"), WEB_CONCURRENCY="2", **options)


@pytest.fixture(scope="module", params=["threads", "fast"])
def open_server(request: pytest.FixtureRequest, start_shared: Start) -> Server:
    """A server without keys, which logs JSON."""
    return start_shared(models.path("packed"), LOG_FORMAT="json", WEB_CONCURRENCY="2", WORKER_CLASS=request.param)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/predict"),
        ("POST", "/predict/packed"),
        ("POST", "/v1/models/packed:predict"),
        ("GET", "/v1/models/packed"),
        ("GET", "/v2"),
        ("GET", "/v2/models/packed"),
        ("POST", "/v2/models/packed/infer"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/page/model.json"),
        ("POST", "/admin/refresh"),
    ],
)
def test_without_a_key_it_is_401(closed: Server, method: str, path: str) -> None:
    """Everything that tells of the model or asks it, with the header that says how to get in."""
    for headers in ({}, bearer("wrong-key-0123456789")):
        reply = closed.request(method, path, json=ROW, headers=headers)
        assert reply.status_code == 401, path
        assert reply.headers["WWW-Authenticate"].startswith('Bearer realm="dynolite"')
        assert ("invalid_token" in reply.headers["WWW-Authenticate"]) == bool(headers)
        assert "error" in reply.json()


def test_who_has_no_key_need_not_send_a_body(closed: Server) -> None:
    """The 401 comes before the body is read: no one fills the memory without a key."""
    begun = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 12000000\r\n\r\n{"
    with connect(closed, begun) as client, client.makefile("rb") as stream:
        assert b" 401 " in stream.readline()
    assert closed.post("/predict", data=b" " * 3_000_000, headers=bearer("wrong-key-0123456789")).status_code == 401


@pytest.mark.parametrize("headers", [bearer(WEB), bearer(PHONE), {"X-API-Key": WEB}, bearer(ADMIN)])
def test_each_key_opens(closed: Server, headers: dict[str, str]) -> None:
    """Plain and hashed, by either header; the log names the key and never shows it."""
    assert closed.post("/predict", json=ROW, headers=headers).status_code == 200
    last = closed.get("/metrics", headers=headers)
    assert last.status_code == 200
    closed.line(last.headers["X-Request-Id"])
    assert not any(key in closed.log for key in (WEB, PHONE, ADMIN))


def test_two_clients_are_told_apart_in_the_log(closed: Server) -> None:
    """By the names of their keys."""
    for name, key in (("web", WEB), ("phone", PHONE)):
        reply = closed.post("/predict", json=ROW, headers=bearer(key) | {"X-Request-Id": f"who-{name}"})
        assert reply.status_code == 200
        line = closed.line(f"request=who-{name}")
        assert f"key={name}" in line


def test_only_the_admin_key_opens_admin(closed: Server) -> None:
    """A key for predictions does not refresh models."""
    assert closed.post("/admin/refresh", headers=bearer(WEB)).status_code == 401
    assert closed.post("/admin/refresh", headers=bearer(ADMIN)).status_code < 300


def test_health_is_open_and_small(closed: Server) -> None:
    """Monitors need no key; versions of software, digests and reasons are for those who have one."""
    for path in ("/health", "/health/live", "/v2/health/live", "/v2/health/ready"):
        assert closed.get(path).status_code == 200
        assert closed.request("HEAD", path).status_code == 200
    assert set(closed.get("/health").json()) <= {"status", "ready", "model", "version"}
    assert {"sha256", "interpreter", "server"} <= set(closed.get("/health", headers=bearer(WEB)).json())


def test_a_page_of_the_list_may_ask(closed: Server) -> None:
    """A browser's preflight goes without a key; the reply itself names the origin."""
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = closed.request("OPTIONS", "/predict", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    for key, status in ((WEB, 200), ("wrong-key-0123456789", 401)):
        reply = closed.post("/predict", json=ROW, headers=bearer(key) | {"Origin": PAGE})
        assert (reply.status_code, reply.headers["Access-Control-Allow-Origin"]) == (status, PAGE)
        assert "X-Model" in reply.headers["Access-Control-Expose-Headers"]


def test_no_other_page_may(closed: Server) -> None:
    """An origin that is not in the list gets no permission, whatever it asks."""
    for method in ("OPTIONS", "POST"):
        asked = bearer(WEB) | {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        reply = closed.request(method, "/predict", json=ROW, headers=asked)
        assert "Access-Control-Allow-Origin" not in reply.headers
        assert "Origin" in reply.headers["Vary"]


@pytest.mark.parametrize("path", ["/health", "/nothing", "/predict", "/"])
def test_headers_that_every_reply_has(open_server: Server, path: str) -> None:
    """Security headers on successes and refusals; nothing says which server this is, or its version."""
    reply = open_server.get(path)
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["X-Request-Id"])
    assert reply.headers["Server"] == "dynolite"
    assert "gunicorn" not in str(reply.headers).lower()


def test_a_prediction_names_its_model_and_times(open_server: Server) -> None:
    """X-Model always, Server-Timing when asked for."""
    reply = open_server.post("/predict", json=ROW)
    digest = open_server.get("/health").json()["sha256"]
    assert reply.headers["X-Model"] == f"packed; version=1.2.3; digest={digest[:12]}"
    assert "Server-Timing" not in reply.headers
    timed = open_server.post("/predict", json=ROW, headers={"Server-Timing": "1"}).headers["Server-Timing"]
    assert re.fullmatch(r"decode;dur=[\d.]+, queue;dur=[\d.]+, invoke;dur=[\d.]+, encode;dur=[\d.]+", timed)


def test_the_log_is_json_when_asked_for(open_server: Server) -> None:
    """One object a line: the request's id, model, version, stages and trace; no body, no query."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Request-Id": "in-json", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    open_server.post("/predict?secret=query-text", json=ROW, headers=headers)
    line = json.loads(open_server.line('"in-json"'))
    assert (line["path"], line["status"], line["model"], line["version"]) == ("/predict", 200, "packed", "1.2.3")
    assert line["trace"] == trace
    assert {"decode", "queue", "invoke", "encode", "ms", "in", "out", "pid"} <= set(line)
    assert "query-text" not in open_server.log
    assert "instances" not in open_server.log
    ours = [text for text in open_server.lines if not text.startswith(("INFO:", "Created"))]
    assert all(json.loads(text) for text in ours)


def test_a_path_cannot_forge_a_line(closed: Server) -> None:
    """Line breaks, quotes and escapes in a path stay inside their quotes."""
    closed.get("/x%0alevel=info%20forged=1%22%1b[31m")
    line = closed.line("forged")
    assert r"\n" in line
    assert "\x1b" not in line


def test_metrics_are_those_of_all_workers(open_server: Server) -> None:
    """However the requests fell to the workers, any of them tells the sum; failures by kind."""
    before = counts(open_server)
    for _ in range(30):
        open_server.post("/predict", json=ROW)
    open_server.post("/predict", data="nothing")
    for _ in range(4):
        now = counts(open_server)
        assert now['dynolite_requests_total{route="/predict",status="200"}'] - before.get(
            'dynolite_requests_total{route="/predict",status="200"}', 0
        ) == pytest.approx(30)
    assert now['dynolite_errors_total{kind="RequestError"}'] >= 1
    assert now['dynolite_model_ready{model="packed"}'] == 1
    assert now['dynolite_memory_bytes{kind="rss",process="master"}'] > 1e6
    requests_before = now['dynolite_requests_total{route="/predict",status="200"}']
    invoked = now['dynolite_stage_seconds_count{model="packed",stage="invoke",version="1.2.3"}']
    assert invoked == requests_before


def test_the_memory_of_every_worker_is_told(open_server: Server) -> None:
    """By its slot; each has answered once before the first test asks."""
    wanted = {f'dynolite_memory_bytes{{kind="pss",process="worker-{slot}"}}' for slot in (0, 1)}
    assert wanted <= set(counts(open_server))


@pytest.mark.parametrize("lane", ["threads", "fast"])
def test_each_request_is_told_once(start: Start, lane: str) -> None:
    """Also where the platform forces gunicorn's own access log on, as Heroku does."""
    server = start(models.path("packed"), GUNICORN_CMD_ARGS="--access-logfile -", WORKER_CLASS=lane)
    server.post("/predict", json=ROW, headers={"X-Request-Id": "only-once"})
    quiet = start(models.path("packed"), ACCESS_LOG="off", WORKER_CLASS=lane)
    quiet.post("/predict", json=ROW, headers={"X-Request-Id": "never"})
    server.stop()  # whatever it had to say is read
    quiet.stop()
    (line,) = [line for line in server.lines if "/predict" in line]
    assert "request=only-once" in line
    assert not [line for line in quiet.lines if "/predict" in line]


def test_counting_can_be_switched_off(start: Start) -> None:
    """METRICS=off: nothing is counted, and /metrics is not there."""
    server = start(models.path("packed"), METRICS="off")
    assert server.post("/predict", json=ROW).status_code == 200
    assert server.get("/metrics").status_code == 404


def counts(server: Server) -> dict[str, float]:
    """Every sample of /metrics by its name and labels."""
    lines: Iterator[str] = (line for line in server.get("/metrics").text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
