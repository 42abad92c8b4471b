"""Settings: the table, its casters, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime.errors import SettingError
from runtime.settings import TABLE, Settings, from_env, shown_url

DIGEST = "ab" * 32


def test_nothing_set_gives_every_default() -> None:
    """An empty environment is a working set of settings, and each row has its attribute."""
    settings = from_env({})
    for row in TABLE:
        if row.name != "CACHE_DIR":
            assert getattr(settings, row.name.lower()) == row.default, row.name
    assert set(Settings.__annotations__) - {"models"} == {row.name.lower() for row in TABLE}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_an_empty_value_is_the_default(row: object) -> None:
    """Platforms keep emptied variables as empty strings."""
    name = row.name  # type: ignore[attr-defined]
    assert getattr(from_env({name: " "}), name.lower()) == getattr(from_env({}), name.lower())


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MODEL_SHA256", "SHA256:" + DIGEST.upper(), DIGEST),
        ("MAX_BODY_BYTES", "64K", 65536),
        ("MAX_BODY_BYTES", "2MB", 2 << 20),
        ("MAX_BODY_BYTES", "1 GiB", 1 << 30),
        ("ACCESS_LOG", "off", False),
        ("ACCESS_LOG", "True", True),
        ("REQUEST_SECONDS", "2.5", 2.5),
        ("CACHE_DIR", "/tmp/c", Path("/tmp/c")),
        ("LOG_LEVEL", "DEBUG", "debug"),
    ],
)
def test_values_are_cast(name: str, value: str, expected: object) -> None:
    """Each caster reads the forms people write."""
    assert getattr(from_env({name: value}), name.lower()) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODEL_SHA256", "abc"),
        ("MODEL_NAME", "a/b"),
        ("MODEL_PLAIN", "maybe"),
        ("PORT", "http"),
        ("PORT", "70000"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "-1"),
        ("WEB_CONCURRENCY", "x"),
        ("MAX_BODY_BYTES", "0"),
        ("MAX_BODY_BYTES", "much"),
        ("REQUEST_SECONDS", "0"),
        ("REQUEST_SECONDS", "nan"),
        ("ACCESS_LOG", "perhaps"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    """The message has the variable, what was expected and what it holds."""
    with pytest.raises(SettingError, match=f"^{name}: expected .* got {re.escape(repr(value))}$"):
        from_env({name: value})


@pytest.mark.parametrize("name", ["API_KEYS", "ADMIN_KEY"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("hunter2", "expected name:key"),
        ("web:hunter2", "shorter than 16"),
        ("web:sha256:hunter2", "64 hexadecimal digits"),
        ("web:md5:hunter2", "only sha256 is known"),
        ("web:hunter2-hunter2-hunter2,web:hunter2-hunter2-hunter2", "twice"),
    ],
)
def test_a_bad_key_is_a_bad_setting_and_is_not_shown(name: str, value: str, told: str) -> None:
    """Whoever reads the settings learns of it at once, before anything is built from them."""
    with pytest.raises(SettingError, match=f"^{name}: .*{told}") as caught:
        from_env({name: value})
    assert "hunter2" not in str(caught.value)


def test_the_digest_may_stand_in_the_url() -> None:
    """`#sha256=` is taken off the URL and believed."""
    settings = from_env({"MODEL_URL": f"https://host/a.tflite#sha256={DIGEST}"})
    (model,) = settings.models
    assert (model.url, model.sha256) == ("https://host/a.tflite", DIGEST)


@pytest.mark.parametrize(
    "environ",
    [
        {"MODEL_URL": "https://user:secret@host/a?token=secret#sha256=zz"},
        {"MODEL_URL": f"https://h/a?token=secret#sha256={DIGEST}", "MODEL_SHA256": "cd" * 32},
    ],
)
def test_a_bad_digest_in_the_url_does_not_show_the_url(environ: dict[str, str]) -> None:
    """URLs hold secrets: messages about them do not repeat them."""
    with pytest.raises(SettingError) as caught:
        from_env(environ)
    assert "secret" not in str(caught.value)


def test_a_misspelt_name_is_an_error_and_a_foreign_one_is_not() -> None:
    """`MODEL_SHA265` would silently switch a check off."""
    with pytest.raises(SettingError, match="MODEL_SHA265 is no setting: did you mean MODEL_SHA256"):
        from_env({"MODEL_SHA265": DIGEST})
    from_env({"MODEL_REGISTRY_TEAM": "x", "PORTAL": "y"})


def test_settings_do_not_change() -> None:
    """What was read at the start holds."""
    with pytest.raises(AttributeError):
        from_env({}).port = 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@host:8443/a/b.tflite?X-Amz-Signature=s#f", "https://host:8443/a/b.tflite"),
        ("s3://bucket/key?x=1", "s3://bucket/key"),
        ("/models/a.tflite", "/models/a.tflite"),
    ],
)
def test_urls_are_shown_without_their_secrets(url: str, shown: str) -> None:
    """User, password, query and fragment stay out."""
    assert shown_url(url) == shown
