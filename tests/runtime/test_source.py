"""Sources: from settings to a file in the cache, and that nothing wrong is ever believed."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from runtime import cache, remote, source
from runtime.errors import ArtifactError, SourceError
from runtime.settings import from_env
from tests import hosts, models, published
from tests.hosts import Host
from tests.runtime.fetching import DIGEST, MODEL, ROOT, fetch, kept


def test_a_fetched_file_lies_under_its_digest_and_is_fetched_once(host: Host, folder: Path) -> None:
    """The second time the cache has it, and the host is not asked."""
    url = f"{host.url}/m.tflite#sha256={DIGEST}"
    found = fetch(folder, url)
    assert Path(found.path).read_bytes() == MODEL
    assert (found.sha256, found.name, found.sure) == (DIGEST, "m", True)
    assert fetch(folder, url) == found
    assert host.count("/m.tflite") == 1
    assert kept(folder) == [f"{DIGEST}.tflite"]


def test_http_needs_a_digest(host: Host, folder: Path) -> None:
    """Without one, whoever is on the way could send another model."""
    with pytest.raises(SourceError, match="http:// needs a digest"):
        fetch(folder, f"{host.url}/m.tflite")


def test_another_digest_is_never_kept(host: Host, folder: Path) -> None:
    """A whole file that is not the one asked for gets no name, and is not tried on."""
    with pytest.raises(ArtifactError, match="expected is abab"):
        fetch(folder, f"{host.url}/m.tflite#sha256={'ab' * 32}")
    assert list(folder.glob("*.tflite")) == list(folder.glob("*.part")) == []
    assert host.count("/m.tflite") == 1


def test_a_damaged_file_in_the_cache_is_fetched_again(host: Host, folder: Path) -> None:
    """Each use checks the digest."""
    url = f"{host.url}/m.tflite#sha256={DIGEST}"
    Path(fetch(folder, url).path).write_bytes(MODEL[:-1] + b"x")
    assert Path(fetch(folder, url).path).read_bytes() == MODEL
    assert host.count("/m.tflite") == 2


@pytest.mark.parametrize(
    ("environ", "url", "address"),
    [
        ({}, "s3://b/k", "https://b.s3.us-east-1.amazonaws.com/k"),
        ({"AWS_REGION": "eu-west-1"}, "s3://b/k/m", "https://b.s3.eu-west-1.amazonaws.com/k/m"),
        ({"AWS_REGION": "eu-west-1"}, "s3://b.c/k", "https://s3.eu-west-1.amazonaws.com/b.c/k"),
        ({"AWS_ENDPOINT_URL": "https://r2.example/"}, "s3://b/k", "https://r2.example/b/k"),
        ({"AWS_ENDPOINT_URL": "https://x", "AWS_ENDPOINT_URL_S3": "https://y"}, "s3://b/k", "https://y/b/k"),
        ({}, "gs://b/k", "https://storage.googleapis.com/b/k"),
    ],
)
def test_object_stores_have_their_addresses(environ: dict[str, str], url: str, address: str) -> None:
    """By bucket, region and endpoint; unsigned without keys."""
    settings = from_env({"MODEL_URL": url} | environ)
    found = remote.resolve(settings.models[0], settings)
    assert (found.url, found.sign) == (address, None)


def test_one_download_however_many_want_it(host: Host, folder: Path) -> None:
    """Whoever waited for the lock finds the file in the cache."""
    all_ask = threading.Event()

    def fault(handler: hosts._Handler, body: bytes) -> None:
        all_ask.wait(60)
        hosts.drip(200_000, 0.05)(handler, body)

    host.faults["/m.tflite"] = [fault]
    url = f"{host.url}/m.tflite#sha256={DIGEST}"
    threads = [threading.Thread(target=fetch, args=(folder, url)) for _ in range(5)]
    for thread in threads:
        thread.start()
    all_ask.set()
    for thread in threads:
        thread.join()
    assert host.count("/m.tflite") == 1


def test_a_file_without_digest_is_asked_for_with_its_etag(
    host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """304 means the one in the cache; it still needs a manifest, for nothing else shows that it is whole."""
    monkeypatch.setattr(source, "_refuse_open_road", lambda wanted: None)
    first = fetch(folder, f"{host.url}/m.tflite")
    assert (first.sha256, first.sure) == (DIGEST, False)
    assert fetch(folder, f"{host.url}/m.tflite") == first
    assert host.seen[1].headers["if-none-match"] == f'"{DIGEST[:12]}"'
    Path(first.path).unlink()
    assert fetch(folder, f"{host.url}/m.tflite") == first
    assert "if-none-match" not in host.seen[2].headers


def test_the_cache_keeps_to_its_size_and_the_last_good_version(host: Host, folder: Path) -> None:
    """What was used longest ago goes first; what was served last stays."""
    files = {name: MODEL + name.encode() for name in "abcd"}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    good = cache.prepare(folder, 1)
    for number, (name, content) in enumerate(files.items()):
        host.files[f"/{name}"] = content
        found = fetch(folder, f"{host.url}/{name}#sha256={digests[name]}", CACHE_MAX_BYTES=str(len(MODEL) * 5 // 2))
        os.utime(found.path, (number, number))
        if name == "a":
            good.write_note("x", {"sha256": digests["a"]}, "good")
    assert kept(folder) == sorted(f"{digests[name]}.tflite" for name in "ad")


def test_a_cache_that_cannot_be_written_is_replaced(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a file stands in the folder's place; the temporary folder serves instead."""
    (tmp_path / "cache").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = fetch(tmp_path / "cache", f"{host.url}/m.tflite#sha256={DIGEST}")
    assert Path(found.path).parent == tmp_path / f"dynolite-{os.getuid()}"


def test_a_full_disk_is_told_and_leaves_nothing(host: Host, folder: Path) -> None:
    """A quota on the size of files stands for it: the message names the folder and its settings."""
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from runtime.errors import SourceError; from tests.runtime.fetching import fetch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "try: fetch(Path(sys.argv[1]), sys.argv[2])\n"
        "except SourceError as error: print(error)"
    )
    url = f"{host.url}/m.tflite#sha256={DIGEST}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), url], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "cannot be written: File too large (CACHE_DIR)" in done.stdout
    assert list(folder.glob("*.tflite")) == list(folder.glob("*.part")) == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_small_model_fits_into_a_setting(folder: Path, pack: type[bytes]) -> None:
    """MODEL_BASE64, with line breaks as `base64` makes them."""
    text = base64.encodebytes(pack(MODEL)).decode()
    settings = from_env({"MODEL_BASE64": text, "CACHE_DIR": str(folder)})
    found = source.fetch(settings.models[0], settings, source.Ask(0))
    assert (Path(found.path).read_bytes(), found.sha256, found.sure) == (MODEL, DIGEST, True)


@pytest.mark.parametrize("text", ["%%%", "YWJ", base64.b64encode(gzip.compress(MODEL)[:-9]).decode()])
def test_a_setting_that_holds_no_whole_model_is_told(folder: Path, text: str) -> None:
    """Cut off by the platform's limit, say; the value itself is not shown."""
    settings = from_env({"MODEL_BASE64": text, "CACHE_DIR": str(folder)})
    with pytest.raises(ArtifactError, match="MODEL_BASE64 is no base64 of a model") as caught:
        source.fetch(settings.models[0], settings, source.Ask(0))
    assert text not in str(caught.value)


def test_a_gzip_bomb_in_a_setting_is_not_unpacked(folder: Path) -> None:
    """The limit on a model's size holds here too."""
    text = base64.b64encode(gzip.compress(bytes(50 << 20))).decode()
    settings = from_env({"MODEL_BASE64": text, "CACHE_DIR": str(folder), "MODEL_MAX_BYTES": "1M"})
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError, match="MODEL_MAX_BYTES"):
            source.fetch(settings.models[0], settings, source.Ask(0))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_local_files_are_taken_as_they_are(tmp_path: Path) -> None:
    """A path with blanks, a file:// URL, and their digests."""
    path = tmp_path / "my iris.v1.tflite"
    path.write_bytes(MODEL)
    for url in (str(path), path.as_uri(), f"{path}#sha256={DIGEST}"):
        found = fetch(tmp_path, url)
        assert (found.path, found.name, found.cached) == (str(path), "my iris", False)
    with pytest.raises(ArtifactError, match="not the one that is asked for"):
        fetch(tmp_path, f"{path}#sha256={'0' * 64}")
    with pytest.raises(SourceError, match="there is no file"):
        fetch(tmp_path, str(tmp_path / "none.tflite"))


def test_unknown_schemes_are_named(folder: Path) -> None:
    """With those that are read."""
    with pytest.raises(SourceError, match=r"ftp:// is no scheme that is read here: https, http, s3, gs"):
        fetch(folder, "ftp://host/m.tflite")


def test_importing_sources_imports_no_network_library() -> None:
    """A server of a local file never pays for requests."""
    script = "import sys; import runtime.serving; print('requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_catalogue_holds_what_these_tests_serve() -> None:
    """A packed artifact is made of a real model."""
    assert published.packed("3.2.1")[4:8] == b"TFL3"
    assert models.path("mlp").is_file()
