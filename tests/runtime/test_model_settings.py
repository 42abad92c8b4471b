"""Several models by name, and what belongs to each."""

from __future__ import annotations

import pytest

from runtime.errors import SettingError
from runtime.settings import from_env

INDEX = "https://host/digits/index.json"


def test_models_are_served_by_name_the_default_first() -> None:
    """`MODEL_URL_V1` is the model `v1`, as any other name."""
    settings = from_env({"MODEL_URL_V2": "b.tflite", "MODEL_URL": "a.tflite", "MODEL_URL_IRIS_FLOWER": "c.tflite"})
    assert [(model.name, model.url) for model in settings.models] == [
        ("", "a.tflite"),
        ("iris_flower", "c.tflite"),
        ("v2", "b.tflite"),
    ]


def test_each_model_has_its_own_settings() -> None:
    """By the same suffix; the version without suffix is the default of those that have an index."""
    settings = from_env(
        {
            "MODEL_URL_A": INDEX,
            "MODEL_VERSION_A": "1.0.0",
            "MODEL_URL_B": INDEX,
            "MODEL_CANARY_B": "canary:10",
            "MODEL_URL_C": f"c.tflite#sha256={'ab' * 32}",
            "MODEL_VERSION": "stable",
        }
    )
    a, b, c = settings.models
    assert (a.version, b.version, b.canary, c.sha256) == ("1.0.0", "stable", ("canary", 10.0), "ab" * 32)


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"MODEL_URL": "a.tflite", "MODEL_BASE64": "eA=="}, "MODEL_URL and MODEL_BASE64 are both set"),
        ({"MODEL_SHA256_A": "ab" * 32}, "MODEL_SHA256_A is set, but not MODEL_URL_A"),
        ({"MODEL_URL_A": "a", "MODEL_SHA256_A": "xyz"}, "MODEL_SHA256_A: expected 64"),
        ({"MODEL_URL": "a.tflite", "MODEL_VERSION": "1.0.0"}, "MODEL_VERSION needs an index"),
        ({"MODEL_URL_A": "a.tflite", "MODEL_CANARY_A": "x:1"}, "MODEL_CANARY_A needs an index"),
        ({"MODEL_URL": INDEX, "MODEL_CANARY": "x:101"}, "MODEL_CANARY: expected a channel"),
        ({"MODEL_URL": INDEX, "MODEL_CANARY": "x"}, "MODEL_CANARY: expected a channel"),
        ({"MODEL_URL": "https://[::1/secret.tflite"}, "MODEL_URL is not a URL"),
        ({"MODEL_URL_A": "https://host:secret/a.tflite"}, "MODEL_URL_A is not a URL"),
        ({"MODEL_URL": "a", "MODEL_NAME": "v1", "MODEL_URL_V1": "b"}, "two models are called 'v1'"),
        ({"MODEL_AUTH": "secret"}, "MODEL_AUTH is set, but not MODEL_URL"),
        ({"MODEL_URL": INDEX, "MODEL_AUTH": "a b c"}, "MODEL_AUTH: expected a token"),
        (
            {"MODEL_URL_A": INDEX, "MODEL_URL_B": "https://other/b.tflite", "MODEL_AUTH": "secret"},
            "MODEL_AUTH would be sent to several hosts: set MODEL_AUTH_A, MODEL_AUTH_B",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_told(environ: dict[str, str], why: str) -> None:
    """At the start, by name, without secret values."""
    with pytest.raises(SettingError, match=why) as caught:
        from_env(environ)
    assert "secret" not in str(caught.value)


def test_a_token_is_shared_on_one_host_only() -> None:
    """Several models of one host share MODEL_AUTH; another host has its own."""
    settings = from_env(
        {
            "MODEL_URL_A": INDEX,
            "MODEL_URL_B": "https://host/b.tflite",
            "MODEL_URL_C": "https://other/c.tflite",
            "MODEL_AUTH": "shared",
            "MODEL_AUTH_C": "Basic own",
        }
    )
    assert [model.auth["Authorization"] for model in settings.models] == ["Bearer shared"] * 2 + ["Basic own"]
