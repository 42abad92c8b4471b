"""Publishing, against real stores: nothing is lost, nothing is overwritten, no secret is shown."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from runtime import source
from runtime.settings import from_env
from tests import published
from tests.tools import store_servers
from tests.tools.publish_command import ROOT, run
from tests.tools.store_servers import SECRET, Running
from tools import catalogue, publishing, stores
from tools.catalogue import CatalogueError
from tools.stores import ConflictError, StoreError

QUIET = Console(quiet=True)
Kind = Callable[[Path], AbstractContextManager[Running]]
CLOUDS: list[Kind] = [store_servers.moto, store_servers.rclone, store_servers.azurite]
QUICK: list[Kind] = [store_servers.folder, store_servers.web]
# tools/publish.py, for twenty at once on a slow machine: who comes last may have to wait for a long time.
PATIENT = """
import sys
from tools import catalogue, publish
catalogue._PATIENCE = 1200.0
sys.exit(publish.main(sys.argv[1:]))
"""


@pytest.fixture(
    params=[*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in CLOUDS)],
    ids=lambda kind: kind.__name__,
    scope="module",
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Each kind of store, running for all tests of this file."""
    with request.param(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
def store(server: Running, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Running:
    """The store with a place of this test's own; its variables are set."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    own = hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    return Running(f"{server.destination}/{own}", server.environ)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Artifacts of several versions."""
    return published.write(tmp_path_factory.mktemp("files"), "1.0.0", "1.1.0", "1.2.0", "2.0.0")


def publish(store: Running, path: Path, **options: Any) -> catalogue.Published:
    return publishing.publish(path, store.destination, QUIET, **options)[0]


def test_a_version_is_published_once_and_never_overwritten(store: Running, files: dict[str, Path]) -> None:
    """The same file again changes nothing; another file under the same version is refused."""
    first = publish(store, files["1.0.0"])
    opened = stores.open_store(store.destination)
    before = opened.read("digits/index.json")
    again = publish(store, files["1.0.0"])
    assert (first.new, again.new, first.channels, again.channels) == (True, False, ("latest",), ())
    assert opened.read("digits/index.json") == before
    other = files["1.0.0"].with_name("other.tflite")
    other.write_bytes(published.packed("1.0.0", tolerance=2e-3))
    with pytest.raises(CatalogueError, match="published already, with other content"):
        publish(store, other)
    found = catalogue.load(opened, "digits")
    assert found
    assert found.versions["1.0.0"].sha256 == hashlib.sha256(files["1.0.0"].read_bytes()).hexdigest()


def test_the_life_of_a_model(store: Running, files: dict[str, Path]) -> None:
    """Publish, promote, roll back, yank, prune: what each leaves behind."""
    opened = stores.open_store(store.destination)
    for version in ("1.0.0", "1.2.0", "1.1.0", "2.0.0"):
        publish(store, files[version], channel="canary" if version == "2.0.0" else None)

    def channels() -> dict[str, str]:
        listed = catalogue.load(opened, "digits")
        assert listed
        return {name: channel.version for name, channel in listed.channels.items()}

    if not store.destination.startswith("http"):
        done = json.loads(run("list", store.destination, "--json", environ=store.environ).stdout)
        assert [(model["name"], len(model["versions"])) for model in done["models"]] == [("digits", 4)]
    done = json.loads(run("list", f"{store.destination}/digits", "--json", environ=store.environ).stdout)
    assert done["models"][0]["channels"] == channels()
    assert channels() == {"latest": "1.2.0", "canary": "2.0.0"}  # 1.1.0 came later, but is older
    assert catalogue.promote(opened, "digits", "2.0.0", "latest") == "1.2.0"
    assert catalogue.rollback(opened, "digits", "latest") == ("2.0.0", "1.2.0")
    assert catalogue.promote(opened, "digits", "1.1.0", "latest") == "1.2.0"
    assert catalogue.yank(opened, "digits", "1.1.0") == {"latest": "1.2.0"}
    with pytest.raises(CatalogueError, match="yanked"):
        catalogue.promote(opened, "digits", "1.1.0", "latest")
    assert catalogue.prune(opened, "digits", 1) == ["1.0.0"]
    listed = catalogue.load(opened, "digits")
    assert listed
    assert sorted(listed.versions) == ["1.1.0", "1.2.0", "2.0.0"]  # 1.1.0 is where a rollback of latest would go
    assert [listed.versions[v].serial for v in ("1.2.0", "1.1.0", "2.0.0")] == [2, 3, 4]
    assert opened.size(f"digits/{published.url('1.0.0', files['1.0.0'].read_bytes())}") is None
    assert opened.size(f"digits/{listed.versions['2.0.0'].url}") == files["2.0.0"].stat().st_size


def test_a_stale_index_is_not_written(store: Running, files: dict[str, Path], request: pytest.FixtureRequest) -> None:
    """Whoever read before somebody else wrote gets a conflict."""
    if "rclone" in request.node.name:
        pytest.skip("rclone's server ignores conditions")
    opened = stores.open_store(store.destination)
    publish(store, files["1.0.0"])
    read = opened.read("digits/index.json")
    assert read
    publish(store, files["1.1.0"])
    for tag in (read[1], ""):
        with pytest.raises(ConflictError):
            opened.replace("digits/index.json", read[0], tag)
    listed = catalogue.load(opened, "digits")
    assert listed
    assert len(listed.versions) == 2


def test_what_is_published_is_what_a_server_fetches(
    store: Running, server: Running, files: dict[str, Path], tmp_path: Path
) -> None:
    """From the URL that publishing prints, with the credentials that a server would have."""
    url = publishing.publish(files["1.0.0"], store.destination, QUIET)[1]
    environ = {"MODEL_URL": url, "CACHE_DIR": str(tmp_path)} | server.environ
    if "PUBLISH_AUTH" in server.environ:
        environ["MODEL_AUTH"] = SECRET
    if "AZURE_STORAGE_ENDPOINT" in server.environ:
        environ["MODEL_URL"] += f"?{store_servers.azure_signature(server.environ)}"
    environ = {name: value for name, value in environ.items() if not name.startswith("PUBLISH")}
    settings = from_env(environ)
    found = source.fetch(settings.models[0], settings, source.Ask(time.monotonic() + 120))
    assert Path(found.path).read_bytes() == files["1.0.0"].read_bytes()
    assert (found.version, found.channels) == ("1.0.0", ("latest",))


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [store_servers.folder, store_servers.web, store_servers.moto], ids=lambda k: k.__name__
)
def test_twenty_who_publish_at_once_lose_nothing(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in its own process: every version is listed, with a serial of its own."""
    versions = [f"1.{number}.0" for number in range(20)]
    for version in versions:
        (tmp_path / f"{version}.tflite").write_bytes(published.packed(version))
    with kind(tmp_path / "store") as running:
        for name, value in running.environ.items():
            monkeypatch.setenv(name, value)
        command = [sys.executable, "-c", PATIENT, "publish"]
        environ = {"PATH": os.environ["PATH"]} | running.environ
        processes = [
            subprocess.Popen(
                [*command, str(tmp_path / f"{version}.tflite"), running.destination, "--json"],
                cwd=ROOT,
                env=environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for version in versions
        ]
        for process in processes:
            _, told = process.communicate(timeout=1200)
            assert process.returncode == 0, told
        listed = catalogue.load(stores.open_store(running.destination), "digits")
    assert listed
    assert sorted(listed.versions) == sorted(versions)
    assert sorted(item.serial for item in listed.versions.values()) == list(range(1, 21))
    assert listed.channels["latest"].version == "1.19.0"


@pytest.mark.slow
def test_a_large_artifact_goes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than fits into one request, to a store that checks signatures; it comes back the same."""
    with store_servers.rclone(tmp_path / "store") as running:
        for name, value in running.environ.items():
            monkeypatch.setenv(name, value)
        big = tmp_path / "big.tflite"
        big.write_bytes(b"\x1c\0\0\0TFL3" + os.urandom(40 << 20))
        told: list[int] = []
        opened = stores.open_store(running.destination)
        opened.upload("big/1.0.0/big.tflite", big, told.append)
        read = opened.read("big/1.0.0/big.tflite")
    assert read
    assert read[0] == big.read_bytes()
    assert sum(told) == big.stat().st_size


@pytest.mark.slow
def test_wrong_keys_are_told_and_not_shown(tmp_path: Path, files: dict[str, Path]) -> None:
    """By publishing and by a server that fetches; the store checks every signature."""
    with store_servers.rclone(tmp_path / "store") as running:
        run("publish", str(files["1.0.0"]), running.destination, environ=running.environ)
        wrong = running.environ | {"AWS_SECRET_ACCESS_KEY": "hunter2-hunter2-hunter2"}
        done = run("publish", str(files["1.1.0"]), running.destination, environ=wrong, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "refuses access" in done.stderr
        url = f"{running.destination}/digits/index.json"
        done = run("verify", url, environ=wrong, check=False)
        assert "answered 403: access is refused" in done.stderr
        assert "hunter2" not in done.stderr
        done = run("verify", url, environ=running.environ)
        assert "1 golden samples reproduced" in done.stdout


@pytest.mark.slow
def test_an_azure_signature_opens_index_and_artifact(tmp_path: Path, files: dict[str, Path]) -> None:
    """A SAS behind the index's URL is all that a server needs, and is in nothing that it says."""
    with store_servers.azurite(tmp_path / "store") as running:
        run("publish", str(files["1.0.0"]), running.destination, environ=running.environ)
        endpoint = running.environ["AZURE_STORAGE_ENDPOINT"]
        sas = store_servers.azure_signature(running.environ)
        done = run("verify", f"{endpoint}/models/prod/digits/index.json?{sas}", check=False)
        assert done.returncode == 0, done.stderr
        signature = sas.partition("sig=")[2]
        assert signature not in done.stdout + done.stderr
        done = run("verify", f"{endpoint}/models/prod/digits/index.json?{sas}x", check=False)
        assert "answered 403" in done.stderr
        assert signature not in done.stderr


def test_a_published_folder_holds_nothing_but_what_is_served(files: dict[str, Path], tmp_path: Path) -> None:
    """The lock file is gone; one that a killed publisher left does not stop the next, which takes it away."""
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/.index.json.lock").write_bytes(b"")
    publish(Running(str(tmp_path)), files["1.0.0"])
    names = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert names == [f"digits-{hashlib.sha256(files['1.0.0'].read_bytes()).hexdigest()[:12]}.tflite", "index.json"]


def test_the_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    """Of threads that all count in one file, each conflicting with whoever was quicker, no step is lost."""
    folder = stores.Folder(tmp_path)
    folder.replace("count", b"0", "")

    def add(_: int) -> None:
        done = False
        while not done:
            read = folder.read("count")
            assert read
            with contextlib.suppress(ConflictError):
                folder.replace("count", b"%d" % (int(read[0]) + 1), read[1])
                done = True

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(100)))
    assert (tmp_path / "count").read_bytes() == b"100"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_an_unwritable_folder_is_told(files: dict[str, Path], tmp_path: Path) -> None:
    """Here a file stands where the folder should be."""
    (tmp_path / "prod").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        publish(Running(str(tmp_path / "prod")), files["1.0.0"])
