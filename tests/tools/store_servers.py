"""Real stores for the tests of publishing: each a process on a free port of 127.0.0.1, with keys of its own."""

from __future__ import annotations

import base64
import datetime as dt
import email.utils
import hmac
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import quote

import pytest
import requests

KEY, SECRET = "test-access-key-id", "test-secret-access-key-0123456789"


@dataclass
class Running:
    """A store: where to publish, and the environment that gives access."""

    destination: str
    environ: dict[str, str] = field(default_factory=dict)


@contextmanager
def moto(folder: Path) -> Iterator[Running]:
    """An S3 that knows conditional writes (and does not check signatures)."""
    with _process([_tool("moto_server"), "-H", "127.0.0.1", "-p", "0"], folder) as port:
        environ = _aws(port)
        _make_bucket(environ)
        yield Running("s3://models/prod", environ)


@contextmanager
def rclone(folder: Path) -> Iterator[Running]:
    """An S3 that checks signatures (and ignores conditions)."""
    (folder / "data/models").mkdir(parents=True)
    command = [_tool("rclone"), "serve", "s3", "--addr", "127.0.0.1:0", "--auth-key", f"{KEY},{SECRET}"]
    with _process([*command, "--vfs-cache-mode", "writes", str(folder / "data")], folder) as port:
        yield Running("s3://models/prod", _aws(port))


@contextmanager
def azurite(folder: Path) -> Iterator[Running]:
    """Azure's blob store; the account and key are the emulator's own."""
    tool = os.environ.get("AZURITE") or shutil.which("azurite-blob")
    if tool is None:
        pytest.skip("Azurite is not installed (npm install -g azurite)")
    command = [tool, "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", str(folder), "--silent"]
    with _process([*command, "--skipApiVersionCheck", "--disableTelemetry"], folder) as port:
        account = "devstoreaccount1"
        key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
        environ = {
            "AZURE_STORAGE_ACCOUNT_NAME": account,
            "AZURE_STORAGE_ACCOUNT_KEY": key,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{account}",
        }
        _make_container(environ)
        yield Running("az://models/prod", environ)


def azure_signature(environ: dict[str, str]) -> str:
    """A shared access signature: its holder may read any blob of the account for an hour."""
    account = environ["AZURE_STORAGE_ACCOUNT_NAME"]
    expiry = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    signature = _azure_sign(environ, f"{account}\nr\nb\no\n\n{expiry}\n\nhttps,http\n2021-08-06\n\n")
    return f"sv=2021-08-06&ss=b&srt=o&sp=r&se={quote(expiry, '')}&spr=https,http&sig={quote(signature, '')}"


class _Dav(BaseHTTPRequestHandler):
    """A web server that takes PUT, with ETags and conditions, for who has the token."""

    files: dict[str, bytes]
    lock: Lock

    def _answer(self, status: int, body: bytes = b"", etag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _etag(self, path: str) -> str:
        return f'"{hash(self.files[path])}"' if path in self.files else ""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {SECRET}":
            self._answer(401)
        elif self.path in self.files:
            self._answer(200, self.files[self.path], self._etag(self.path))
        else:
            self._answer(404)

    do_HEAD = do_GET  # noqa: N815 - as the base class names it

    def do_PUT(self) -> None:
        if "Transfer-Encoding" in self.headers:  # beside a length it is an attack; alone, many hosts refuse it
            self.close_connection = True
            self._answer(400)
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {SECRET}":
            self._answer(401)
            return
        with self.lock:
            there, match = self._etag(self.path), self.headers.get("If-Match")
            if (match and match != there) or (self.headers.get("If-None-Match") == "*" and there):
                self._answer(412)
                return
            self.files[self.path] = body
        self._answer(201)

    def do_DELETE(self) -> None:
        self.files.pop(self.path, None)
        self._answer(204)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class _Forgetful(_Dav):
    """One that says yes to each PUT, and keeps nothing."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201)


class _DavServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # twenty may come at once, and find it asleep


@contextmanager
def web(folder: Path, handler: type[_Dav] = _Dav) -> Iterator[Running]:
    """A web server that takes PUT."""
    del folder
    kind = type("Dav", (handler,), {"files": {}, "lock": Lock(), "protocol_version": "HTTP/1.1"})
    server = _DavServer(("127.0.0.1", 0), kind)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield Running(f"http://127.0.0.1:{server.server_address[1]}/prod", {"PUBLISH_AUTH": SECRET})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def forgetful(folder: Path) -> AbstractContextManager[Running]:
    """A web server that says it takes PUT, and keeps nothing."""
    return web(folder, _Forgetful)


@contextmanager
def folder(place: Path) -> Iterator[Running]:
    """A folder on this disk."""
    yield Running(str(place / "prod"))


def _make_container(environ: dict[str, str]) -> None:
    """Azurite starts empty, and obstore makes no containers."""
    account, date = environ["AZURE_STORAGE_ACCOUNT_NAME"], email.utils.formatdate(usegmt=True)
    version = "x-ms-version:2021-08-06"
    text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\n{version}\n/{account}/{account}/models\nrestype:container"
    headers = {
        "x-ms-date": date,
        "x-ms-version": "2021-08-06",
        "Authorization": f"SharedKey {account}:{_azure_sign(environ, text)}",
    }
    url = f"{environ['AZURE_STORAGE_ENDPOINT']}/models?restype=container"
    requests.put(url, headers=headers, timeout=120).raise_for_status()


def _azure_sign(environ: dict[str, str], text: str) -> str:
    key = base64.b64decode(environ["AZURE_STORAGE_ACCOUNT_KEY"])
    return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def _aws(port: int) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }


def _make_bucket(environ: dict[str, str]) -> None:
    requests.put(f"{environ['AWS_ENDPOINT_URL']}/models", timeout=120).raise_for_status()


def _tool(name: str) -> str:
    """A program of this environment."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is not installed (requirements-dev.txt)")
    return str(path)


@contextmanager
def _process(command: list[str], folder: Path) -> Iterator[int]:
    """A server that chose a free port itself, once it tells which: nobody can have taken it in between."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 180
        while not (found := re.search(r"http://127\.0\.0\.1:([1-9]\d*)\D", log.read_text("utf-8", "replace"))):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command[0]} does not listen:\n{log.read_text('utf-8', 'replace')}")
            time.sleep(0.05)
        yield int(found[1])
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
