"""The index: which version is chosen, and what is no index."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import index
from runtime.errors import SettingError, SourceError
from runtime.settings import from_env
from tests import published

VERSIONS = {version: version.encode() for version in ("1.0.0", "1.1.0", "1.1.3", "1.2.0", "1.10.0", "2.0.0")}


def listed(**changes: Any) -> dict[str, Any]:
    return published.index(VERSIONS, {"latest": "1.2.0", "canary": "2.0.0", "gone": "3.0.0"}) | changes


def choose(wanted: str, value: dict[str, Any] | None = None) -> str:
    return index.choose(index.loads(json.dumps(value or listed()).encode()), wanted).version


@pytest.mark.parametrize(
    ("wanted", "version"),
    [
        ("latest", "1.2.0"),
        ("canary", "2.0.0"),
        ("1.1.0", "1.1.0"),
        ("~=1.1", "1.10.0"),
        ("~=1.1.0", "1.1.3"),
        ("~=2.0", "2.0.0"),
        ("7.0.0|latest", "1.2.0"),
        ("7.0.0|~=5.0|1.0.0|latest", "1.0.0"),
        ("1.0.0|latest", "1.0.0"),
    ],
)
def test_what_is_wanted_is_found(wanted: str, version: str) -> None:
    """Channel, number, range as in PEP 440, alternatives in order; numbers are compared as numbers."""
    assert choose(wanted) == version


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("7.0.0", "has no version 7.0.0"),
        ("~=7.1", "has no version that fits ~=7.1"),
        ("~=1.2.1", "has no version that fits ~=1.2.1"),
        ("nightly", "has no channel 'nightly'"),
        ("gone", "lacks version 3.0.0, where channel 'gone' stands"),
        ("7.0.0|nightly", "has no version 7.0.0, and has no channel 'nightly'"),
    ],
)
def test_what_is_not_there_is_told(wanted: str, why: str) -> None:
    """An exact version is never answered by another unless an alternative follows."""
    with pytest.raises(SourceError, match=why):
        choose(wanted)


def test_a_yanked_version_is_had_by_its_number_only() -> None:
    """Ranges pass over it, and a channel that stands there is an error."""
    value = listed()
    for version in ("1.10.0", "1.2.0"):
        value["versions"][version]["yanked"] = True
    assert choose("~=1.1", value) == "1.1.3"
    assert choose("1.2.0", value) == "1.2.0"
    with pytest.raises(SourceError, match="yanked"):
        choose("latest", value)


def test_fields_of_a_newer_writer_are_ignored() -> None:
    """At every level."""
    value = listed(signature={"x": 1})
    value["versions"]["1.2.0"]["licence"] = value["channels"]["latest"]["who"] = "someone"
    assert choose("latest", value) == "1.2.0"


def test_a_newer_format_is_an_error_that_says_what_to_do() -> None:
    """It may mean something else by the same fields."""
    with pytest.raises(SourceError, match="format 2, this server reads format 1: update dynolite"):
        choose("latest", listed(format=2))


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere/x.tflite",
        "//elsewhere/x.tflite",
        "/etc/passwd",
        "../secret/x.tflite",
        "1.0.0/%2e%2e/%2e%2e/x",
        "1.0.0\\..\\x",
        "a?b",
        "a#b",
        "",
        "a//b",
        "a\nb",
        "%2fetc/passwd",
    ],
)
def test_an_artifact_comes_from_below_the_index_only(url: str) -> None:
    """Credentials go to the index's own place, and a folder's index reaches no other file."""
    value = listed()
    value["versions"]["1.0.0"]["url"] = url
    with pytest.raises(SourceError, match="not a plain path below the index"):
        choose("latest", value)


@pytest.mark.parametrize(
    "change",
    [
        {"versions": []},
        {"channels": {"latest": "1.2.0"}},
        {"name": None},
        {"format": "1"},
        {"format": True},
        {"versions": {"1.2": {}}},
        {"versions": {"01.2.0": {}}},
        {"versions": {"1.2.0": {"url": "x", "sha256": "abc", "bytes": 1, "serial": 1}}},
        {"versions": {"1.2.0": {"url": "x", "sha256": "a" * 64, "bytes": "1", "serial": 1}}},
        {"versions": {"1.2.0": {"url": "x", "sha256": "a" * 64, "bytes": 1}}},
    ],
)
def test_wrong_types_are_told(change: dict[str, Any]) -> None:
    """Each is an error in words, none a crash."""
    with pytest.raises(SourceError):
        choose("latest", listed(**change))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["format", "name", "versions", "channels", "1.0.0", "url", "sha256"]), x)
        ),
    )
)
def test_no_json_breaks_the_reader(value: Any) -> None:
    """Whatever comes, it is read or refused."""
    with contextlib.suppress(SourceError):
        index.loads(json.dumps(value).encode())


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"{" * 100_000, b"[1, 2", b"<html>", b"NaN"])
def test_what_is_no_json_is_told(data: bytes) -> None:
    """Empty, binary, nested without end, cut off, a web page."""
    with pytest.raises(SourceError):
        index.loads(data)


@pytest.mark.parametrize("wanted", ["1.2", "v1.2.0", "Latest", "~=1", ">=1.0", "1.2.0|", "", "a b", "1.2.0||latest"])
def test_a_version_that_can_never_be_is_a_setting_error(wanted: str) -> None:
    """Before anything is fetched."""
    if not wanted:
        assert from_env({"MODEL_URL": "https://h/index.json", "MODEL_VERSION": ""}).models[0].version == "latest"
        return
    with pytest.raises(SettingError, match="MODEL_VERSION: expected a version"):
        from_env({"MODEL_URL": "https://h/index.json", "MODEL_VERSION": wanted})
