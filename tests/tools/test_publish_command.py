"""The publisher's command line: what it prints, refuses and leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from runtime import index
from tests import published
from tests.tools.publish_command import ROOT, run
from tests.tools.store_servers import SECRET
from tools import catalogue, publishing, stores


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Artifacts of several versions."""
    return published.write(tmp_path_factory.mktemp("files"), "1.0.0", "1.1.0", "1.2.0", "2.0.0")


def test_a_dry_run_leaves_the_very_tree_in_a_folder(tmp_path: Path, files: dict[str, Path]) -> None:
    """Index and artifact as they would be, and nothing at the destination."""
    destination = tmp_path / "prod"
    run("publish", str(files["1.0.0"]), str(destination))
    before = sorted(destination.rglob("*"))
    run("publish", str(files["1.1.0"]), str(destination), "--dry-run", str(tmp_path / "look"))
    assert sorted(destination.rglob("*")) == before
    listed = json.loads((tmp_path / "look/digits/index.json").read_bytes())
    assert sorted(listed["versions"]) == ["1.0.0", "1.1.0"]
    assert (tmp_path / "look/digits" / listed["versions"]["1.1.0"]["url"]).read_bytes() == files["1.1.0"].read_bytes()


def test_a_dry_run_of_what_is_published_writes_nothing(tmp_path: Path, files: dict[str, Path]) -> None:
    """It says so; a channel that would move is an index that would be written, and the artifact is there already."""
    destination, look = str(tmp_path / "prod"), tmp_path / "look"
    run("publish", str(files["1.0.0"]), destination)
    done = run("publish", str(files["1.0.0"]), destination, "--dry-run", str(look))
    assert "is published already" in done.stdout
    assert "nothing would change" in done.stdout
    assert not look.exists()
    done = run("publish", str(files["1.0.0"]), destination, "--dry-run", str(look), "--channel", "canary")
    assert "canary would be 1.0.0" in done.stdout
    assert [path.name for path in look.rglob("*") if path.is_file()] == ["index.json"]


def test_a_dry_run_does_not_believe_the_last_one(tmp_path: Path, files: dict[str, Path]) -> None:
    """What it left in the folder is not published."""
    for _ in range(2):
        done = run("publish", str(files["1.0.0"]), str(tmp_path / "prod"), "--dry-run", str(tmp_path / "look"))
        assert "1.0.0 would be published" in done.stdout


def test_a_yanked_version_stays_yanked(tmp_path: Path, files: dict[str, Path]) -> None:
    """Publishing it again is refused and changes nothing, whatever channel it is for; servers still have a latest."""
    listed = tmp_path / "digits/index.json"
    for version in ("1.0.0", "1.1.0"):
        publishing.publish(files[version], str(tmp_path), Console(quiet=True))
    catalogue.yank(stores.open_store(str(tmp_path)), "digits", "1.1.0")
    before = listed.read_bytes()
    for more in ([], ["--channel", "canary"]):
        done = run("publish", str(files["1.1.0"]), str(tmp_path), *more, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "digits 1.1.0 is yanked" in done.stderr
    assert listed.read_bytes() == before
    assert index.choose(index.loads(before), "latest").version == "1.0.0"


def test_a_forgotten_or_misspelt_name_is_answered_with_those_that_are_there(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    """A destination without a model, and a model that is not there."""
    run("publish", str(files["1.0.0"]), str(tmp_path / "site"))
    for wrong in (tmp_path / "site", tmp_path / "site/digit"):
        done = run("rollback", str(wrong), check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert f"there is no model {wrong.name!r}" in done.stderr
        assert f"published: {tmp_path}/site/digits\n" in done.stderr


def test_the_end_says_how_to_serve_it(tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """MODEL_URL, and the lines that set it."""
    done = run("publish", str(files["1.0.0"]), str(tmp_path / "my prod"))
    assert f"MODEL_URL={tmp_path}/my prod/digits/index.json" in done.stdout
    assert f"export MODEL_URL='{tmp_path}/my prod/digits/index.json'" in done.stdout
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://store.example")
    monkeypatch.setenv("AWS_REGION", "auto")
    lines = publishing.how_to_set(publishing.model_url("s3://bucket/prod/", "digits"), "canary")
    assert lines[0] == (
        "heroku config:set MODEL_URL=s3://bucket/prod/digits/index.json MODEL_VERSION=canary "
        "AWS_REGION=auto AWS_ENDPOINT_URL=https://store.example"
    )
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    url = publishing.model_url("az://container/prod", "digits")
    assert url == "https://account.blob.core.windows.net/container/prod/digits/index.json"
    assert publishing.model_url("https://u:p@host/x?sig=secret", "digits") == "https://host/x/digits/index.json"


def test_fields_of_a_newer_writer_survive(tmp_path: Path, files: dict[str, Path]) -> None:
    """An older tool does not throw away what it does not know."""
    run("publish", str(files["1.0.0"]), str(tmp_path))
    path = tmp_path / "digits/index.json"
    listed = json.loads(path.read_bytes())
    listed["signed"] = listed["versions"]["1.0.0"]["licence"] = listed["channels"]["latest"]["who"] = "me"
    path.write_text(json.dumps(listed))
    run("publish", str(files["1.1.0"]), str(tmp_path))
    listed = json.loads(path.read_bytes())
    assert (listed["signed"], listed["versions"]["1.0.0"]["licence"], listed["channels"]["latest"]["who"]) == (
        "me",
    ) * 3


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["promote", "DEST/digits", "9.9.9"], "has no version '9.9.9'"),
        (["promote", "DEST/digits", "1.0.0", "--channel", "Big One"], "no name of a channel"),
        (["rollback", "DEST/digits"], "nothing to go back to"),
        (["rollback", "DEST/digits", "--channel", "canary"], "has no channel 'canary'"),
        (["yank", "DEST/digits", "1.0.0"], "no other version for 'latest'"),
        (["promote", "DEST/other", "1.0.0"], "there is no model 'other'"),
        (["list", "DEST/none"], "nothing is published at"),
        (["promote", "s3://bucket", "1.0.0"], "s3://bucket names no model"),
        (["list", "s3://"], "s3:// names no bucket: expected s3://BUCKET/PREFIX"),
        (["rollback", "s3://"], "s3:// names no bucket"),
        (["publish", "FILE", "az:///prod"], "az:// names no container"),
        (["publish", "FILE", "https://"], "https:// names no host"),
        (["publish", "FILE", "ftp://host/x"], "ftp:// is no destination"),
        (["publish", "FILE", "DEST", "--version", "1.0.1"], "says it is 1.0.0"),
        (["publish", "FILE", "DEST", "--version", "1.7.0-rc1"], "'1.7.0-rc1' is no version: expected MAJOR"),
        (["publish", "PLAIN", "DEST"], "has no manifest: say which version it is"),
        (["publish", "PLAIN", "DEST", "--version", "v2"], "'v2' is no version"),
        (["publish", "FILE", "DEST", "--name", "../up"], "is no model's name"),
        (["publish", "PAGE", "DEST"], "looks like a web page"),
        (["publish", "FILE", "https://user:hunter2@127.0.0.1:9/x?sig=hunter2"], "https://127.0.0.1:9/x"),
    ],
)
def test_what_cannot_be_done_is_told(tmp_path: Path, files: dict[str, Path], command: list[str], why: str) -> None:
    """Exit code 1 and one line that says what is wrong."""
    run("publish", str(files["1.0.0"]), str(tmp_path / "prod"))
    (tmp_path / "page.tflite").write_text("<html></html>")
    names = {
        "FILE": str(files["1.0.0"]),
        "PLAIN": str(ROOT / "tests/models/mlp.tflite"),
        "PAGE": str(tmp_path / "page.tflite"),
    }
    words = [names.get(word, word.replace("DEST", str(tmp_path / "prod"))) for word in command]
    done = run(*words, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "")
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr


def test_an_index_of_a_newer_format_is_left_alone(tmp_path: Path, files: dict[str, Path]) -> None:
    """Not even a publisher touches what it cannot read."""
    run("publish", str(files["1.0.0"]), str(tmp_path))
    path = tmp_path / "digits/index.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"format": 2}))
    done = run("publish", str(files["1.1.0"]), str(tmp_path), check=False)
    assert "format 2" in done.stderr
    assert json.loads(path.read_bytes())["format"] == 2


def test_foreign_messages_lose_their_secrets() -> None:
    """Queries, passwords in addresses, and the values of secret variables."""
    text = "GET https://u:p4ss@host/x?sv=1&sig=abc failed for test-secret-access-key-0123456789"
    told = stores.without_secrets(text, {"AWS_SECRET_ACCESS_KEY": SECRET})
    assert told == "GET https://...@host/x?... failed for ..."
