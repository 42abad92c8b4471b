"""A URL that ends in .json: the version that is wanted comes, from below the index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.errors import ArtifactError, SourceError
from tests import published
from tests.hosts import Host
from tests.runtime.fetching import MODEL, fetch, kept


class TestIndex:
    """A URL that ends in .json: the version that is wanted comes, from below the index."""

    @pytest.fixture
    def versions(self) -> dict[str, bytes]:
        return {version: MODEL + version.encode() for version in ("1.0.0", "1.1.0", "2.0.0")}

    @pytest.mark.parametrize(
        ("wanted", "version"),
        [("", "1.1.0"), ("next", "2.0.0"), ("1.0.0", "1.0.0"), ("~=1.0", "1.1.0"), ("9.9.9|latest", "1.1.0")],
    )
    def test_the_wanted_version_comes(
        self, host: Host, folder: Path, versions: dict[str, bytes], wanted: str, version: str
    ) -> None:
        """By channel, number, range or alternatives; with its serial and channels."""
        host.files |= published.files(versions, {"latest": "1.1.0", "next": "2.0.0"})
        found = fetch(folder, f"{host.url}/digits/index.json", MODEL_VERSION=wanted)
        assert Path(found.path).read_bytes() == versions[version]
        assert (found.version, found.serial) == (version, sorted(versions).index(version) + 1)
        assert found.channels == {"1.1.0": ("latest",), "2.0.0": ("next",)}.get(version, ())

    def test_an_unchanged_index_is_not_sent_again(self, host: Host, folder: Path, versions: dict[str, bytes]) -> None:
        """If-None-Match, and the artifact from the cache."""
        host.files |= published.files(versions, {"latest": "1.1.0"})
        first = fetch(folder, f"{host.url}/digits/index.json")
        assert fetch(folder, f"{host.url}/digits/index.json") == first
        assert "if-none-match" in host.seen[-1].headers
        assert len(host.seen) == 3

    def test_an_artifact_that_is_not_what_the_index_says_is_refused(
        self, host: Host, folder: Path, versions: dict[str, bytes]
    ) -> None:
        """The index's digest is believed, not the file."""
        host.files |= published.files(versions, {"latest": "1.1.0"})
        path = f"/digits/{published.url('1.1.0', versions['1.1.0'])}"
        host.files[path] = versions["1.0.0"]
        with pytest.raises(ArtifactError, match="it is not served"):
            fetch(folder, f"{host.url}/digits/index.json")
        assert kept(folder) == []

    def test_a_version_that_disappeared_is_told(self, host: Host, folder: Path, versions: dict[str, bytes]) -> None:
        """Listed, but its file is gone."""
        host.files |= published.files(versions, {"latest": "1.1.0"})
        del host.files[f"/digits/{published.url('1.1.0', versions['1.1.0'])}"]
        with pytest.raises(SourceError, match=r"1\.1\.0.*no such file"):
            fetch(folder, f"{host.url}/digits/index.json")

    def test_a_shared_access_signature_holds_for_the_artifact_too(
        self, host: Host, folder: Path, versions: dict[str, bytes]
    ) -> None:
        """The index's query goes along, and its headers."""
        host.files |= published.files(versions, {"latest": "1.1.0"})
        fetch(folder, f"{host.url}/digits/index.json?sv=1&sig=x", MODEL_AUTH="X-Key: y")
        assert [request.path.partition("?")[2] for request in host.seen] == ["sv=1&sig=x"] * 2
        assert [request.headers["x-key"] for request in host.seen] == ["y"] * 2

    def test_a_pinned_digest_overrules_the_index(self, host: Host, folder: Path, versions: dict[str, bytes]) -> None:
        """MODEL_SHA256 beside an index: only that file."""
        host.files |= published.files(versions, {"latest": "1.1.0"})
        with pytest.raises(ArtifactError, match="another SHA-256 than MODEL_SHA256"):
            fetch(folder, f"{host.url}/digits/index.json", MODEL_SHA256="0" * 64)

    def test_an_index_on_the_disk_is_one_too(self, tmp_path: Path, versions: dict[str, bytes]) -> None:
        """A folder that was published to, or a dry run's."""
        for path, content in published.files(versions, {"latest": "2.0.0"}).items():
            target = tmp_path / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        found = fetch(tmp_path, str(tmp_path / "digits/index.json"))
        assert (Path(found.path).read_bytes(), found.version) == (versions["2.0.0"], "2.0.0")
        with pytest.raises(SourceError, match=r"is it .*digits/index.json\?"):
            fetch(tmp_path, str(tmp_path / "digits"))

    def test_a_web_page_instead_of_an_index_is_told(self, host: Host, folder: Path) -> None:
        """With status 200."""
        host.files["/digits/index.json"] = b"<html>maintenance</html>"
        with pytest.raises(SourceError, match="gives a web page"):
            fetch(folder, f"{host.url}/digits/index.json")

    def test_an_endless_index_is_not_read(self, host: Host, folder: Path) -> None:
        """Its size is bounded."""
        host.files["/digits/index.json"] = json.dumps({"x": "y" * (2 << 20)}).encode()
        with pytest.raises(SourceError, match="larger than 1048576 bytes"):
            fetch(folder, f"{host.url}/digits/index.json")
