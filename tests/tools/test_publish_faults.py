"""Publishing where something goes wrong on the other side, or somebody else is at work there."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from runtime import artifact
from runtime.errors import SourceError
from tests import certificates, hosts, published
from tests.tools import store_servers
from tests.tools.publish_command import run
from tests.tools.store_servers import SECRET
from tools import catalogue, publishing, stores
from tools.stores import Folder, StoreError

QUIET = Console(quiet=True)
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Artifacts of several versions."""
    return published.write(tmp_path_factory.mktemp("files"), "1.0.0", "1.1.0", "1.2.0", "1.3.0")


def entry(store: Folder, path: Path, version: str, channel: str | None = None) -> str:
    """Publish without a progress bar; the artifact's path."""
    return catalogue.publish(store, artifact.read(path), "digits", version, channel, lambda _: None).path


class Interrupted(Folder):
    """A folder in which somebody else acts right after an index was written, once."""

    def __init__(self, folder: Path, act: Callable[[], object]) -> None:
        super().__init__(folder)
        self._acts = [act]

    def replace(self, path: str, content: bytes, tag: str) -> None:
        super().replace(path, content, tag)
        if self._acts:
            self._acts.pop()()


def test_a_file_goes_to_a_web_server_with_its_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This host refuses a body in chunks, as many do; the progress bar hears of each piece."""
    big = tmp_path / "big.tflite"
    big.write_bytes(b"\x1c\0\0\0TFL3" + os.urandom(3 << 20))
    monkeypatch.setenv("PUBLISH_AUTH", SECRET)
    told: list[int] = []
    with store_servers.web(tmp_path) as running:
        store = stores.open_store(running.destination)
        store.upload("big/1.0.0/big.tflite", big, told.append)
        read = store.read("big/1.0.0/big.tflite")
    assert read
    assert read[0] == big.read_bytes()
    assert sum(told) == big.stat().st_size
    assert len(told) > 2


def test_a_host_that_keeps_nothing_is_told(
    tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers 201 to every PUT; what was sent is not there."""
    monkeypatch.setenv("PUBLISH_AUTH", SECRET)
    with store_servers.forgetful(tmp_path) as running, pytest.raises(StoreError, match="does this host keep files"):
        publishing.publish(files["1.0.0"], running.destination, QUIET)


def test_a_file_that_a_prune_took_is_uploaded_again(tmp_path: Path, files: dict[str, Path]) -> None:
    """Between the look for it and its listing: no index names a file that is gone."""
    path = entry(Folder(tmp_path), files["1.0.0"], "1.0.0")
    (tmp_path / "digits/index.json").unlink()  # pruned: the index first
    store = Interrupted(tmp_path, lambda: Folder(tmp_path).delete(path))
    entry(store, files["1.0.0"], "1.0.0")
    assert (tmp_path / path).read_bytes() == files["1.0.0"].read_bytes()


def test_a_prune_leaves_what_is_published_again_meanwhile(tmp_path: Path, files: dict[str, Path]) -> None:
    """After the index was written without it, and before its file goes."""
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        path = entry(Folder(tmp_path), files[version], version)
    first = entry(Folder(tmp_path), files["1.0.0"], "1.0.0")
    store = Interrupted(tmp_path, lambda: entry(Folder(tmp_path), files["1.0.0"], "1.0.0"))
    assert catalogue.prune(store, "digits", 1) == ["1.0.0"]
    listed = catalogue.load(store, "digits")
    assert listed
    assert sorted(listed.versions) == ["1.0.0", "1.1.0", "1.2.0"]
    assert (tmp_path / first).is_file()
    assert (tmp_path / path).is_file()


def test_a_prune_counts_what_can_be_served(tmp_path: Path, files: dict[str, Path]) -> None:
    """A yanked version is none of the N that stay; one that is newer than the oldest of them stays beside them."""
    store = Folder(tmp_path)
    for version, path in files.items():
        entry(store, path, version, "")
    catalogue.promote(store, "digits", "1.3.0", "latest")
    catalogue.yank(store, "digits", "1.2.0")
    assert catalogue.prune(store, "digits", 2) == ["1.0.0"]
    assert catalogue.prune(store, "digits", 1) == ["1.1.0", "1.2.0"]


def test_what_a_killed_publisher_left_is_cleared(tmp_path: Path, files: dict[str, Path]) -> None:
    """By the next publication of any version; what somebody is still writing stays."""
    entry(Folder(tmp_path), files["1.0.0"], "1.0.0")
    left, written = tmp_path / "digits/1.0.0/.publish-left", tmp_path / "digits/1.0.0/.publish-written"
    for path in (left, written):
        path.write_bytes(b"half")
    os.utime(left, (time.time() - 7200,) * 2)
    entry(Folder(tmp_path), files["1.1.0"], "1.1.0")
    assert (left.exists(), written.exists()) == (False, True)


def test_publishing_goes_by_the_proxy(tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the usual variables; no other road leads to this host, whose name nobody knows."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PUBLISH_AUTH", SECRET)
    with store_servers.web(tmp_path) as proxy:
        monkeypatch.setenv("http_proxy", proxy.destination.removesuffix("/prod"))
        publishing.publish(files["1.0.0"], "http://models.invalid/prod", QUIET)
        listed = catalogue.load(stores.open_store("http://models.invalid/prod"), "digits")
    assert listed
    assert list(listed.versions) == ["1.0.0"]


def test_publishing_trusts_an_own_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE, as for a server that fetches; without it the certificate is refused, and said so."""
    both, alone = certificates.make(tmp_path)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    with hosts.run(both) as host:
        host.files["/prod/note"] = b"here"
        with pytest.raises(StoreError, match="its TLS certificate is not trusted"):
            stores.open_store(f"{host.url}/prod").read("note")
        monkeypatch.setenv("SSL_CERT_FILE", str(alone))
        found = stores.open_store(f"{host.url}/prod").read("note")
    assert found
    assert found[0] == b"here"


def test_s3_without_keys_names_the_variables(files: dict[str, Path]) -> None:
    """A machine of Amazon's would lend some; here that service, which this host stands for, has none."""
    with hosts.run() as nobody:
        environ = {"AWS_METADATA_ENDPOINT": nobody.url, "NO_PROXY": "127.0.0.1"}
        done = run("publish", str(files["1.0.0"]), "s3://models/prod", environ=environ, check=False)
    assert done.returncode == 1
    assert "s3://models/prod: there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in done.stderr


def test_verify_does_not_wait_long_for_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tries for a while and says for how long."""
    monkeypatch.setattr(publishing, "_RETRY_SECONDS", 1.0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/digits/index.json"
        with pytest.raises(SourceError, match=r"no connection; given up after \d+ s"):
            publishing.verify(url, "")


def test_verify_tries_again(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the moment is none."""
    monkeypatch.setattr(publishing, "_RETRY_SECONDS", 120.0)
    with hosts.run() as host:
        host.files |= published.files({"1.0.0": files["1.0.0"].read_bytes()}, {"latest": "1.0.0"})
        host.faults["/digits/index.json"] = [hosts.status(503)]
        assert publishing.verify(f"{host.url}/digits/index.json", "")["version"] == "1.0.0"
    assert host.count("/digits/index.json") == 2
