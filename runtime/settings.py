"""Every setting: one table of name, caster, default and why. Read from a mapping, never at import.

A bad value, or a name that looks like a misspelt setting, is a SettingError that names it. Empty means the default.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runtime import access, casters, model_settings
from runtime.errors import SettingError
from runtime.model_settings import ModelSettings


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table; `why` is the line that docs and messages show."""

    name: str
    cast: Callable[[str], Any]
    default: Any
    why: str
    secret: bool = False


TABLE: tuple[Setting, ...] = (
    Setting(
        "MODEL_URL",
        casters.text,
        "",
        "where the model or its index.json is: https://, s3://, gs://, file:// or a path; `#sha256=...` pins it",
        secret=True,
    ),
    Setting("MODEL_SHA256", casters.sha256, "", "the digest that the file must have; another file is never served"),
    Setting(
        "MODEL_VERSION",
        casters.version,
        "latest",
        "which version of an index: 1.2.0, ~=1.1, a channel such as latest, or alternatives in order",
    ),
    Setting(
        "MODEL_CANARY",
        casters.canary,
        None,
        "another version of the index beside it, with its share of requests in percent: canary:10",
    ),
    Setting(
        "MODEL_AUTH",
        casters.auth,
        None,
        "what the model's host wants: a bearer token, or headers as `Name: value`, one a line",
        secret=True,
    ),
    Setting("MODEL_BASE64", casters.text, "", "a small model itself, in base64, plain or gzip", secret=True),
    Setting(
        "MODEL_REFRESH_SECONDS",
        casters.seconds(0, 604800),
        0.0,
        "how often to look for a new version; 0: never by itself",
    ),
    Setting("MODEL_NAME", casters.name, "", "the model's name in URLs; default: the artifact's own name"),
    Setting(
        "MODEL_PLAIN",
        casters.one_of("refuse", "allow"),
        "refuse",
        "allow: take a .tflite without manifest from a URL without a digest",
    ),
    Setting("MODEL_MAX_BYTES", casters.size, 512 << 20, "the largest model file that is fetched"),
    Setting(
        "CACHE_DIR",
        Path,
        Path(),
        "where fetched models are kept; default: a folder of this user's under the temporary folder",
    ),
    Setting("CACHE_MAX_BYTES", casters.size, 2 << 30, "the most that CACHE_DIR keeps; what is served stays"),
    Setting("AWS_ACCESS_KEY_ID", casters.text, "", "for s3:// and gs://: the key's name; empty: unsigned requests"),
    Setting("AWS_SECRET_ACCESS_KEY", casters.text, "", "for s3:// and gs://: the key", secret=True),
    Setting("AWS_SESSION_TOKEN", casters.text, "", "for s3://: the token of temporary keys", secret=True),
    Setting("AWS_REGION", casters.text, "", "for s3://: the bucket's region; else AWS_DEFAULT_REGION"),
    Setting("AWS_DEFAULT_REGION", casters.text, "us-east-1", "for s3://: the region where AWS_REGION is not set"),
    Setting("AWS_ENDPOINT_URL", casters.text, "", "for s3://: another store than Amazon's (R2, MinIO, B2)"),
    Setting("AWS_ENDPOINT_URL_S3", casters.text, "", "the same, and before it"),
    Setting("BOOT_SECONDS", casters.seconds(0, 300), 10.0, "time for the models before the workers start without them"),
    Setting("FETCH_SECONDS", casters.seconds(1, 3600), 300.0, "time for one whole fetch after the boot"),
    Setting("TRIAL_SECONDS", casters.seconds(1, 3600), 120.0, "time for a new file's trial in a process of its own"),
    Setting("REQUEST_SECONDS", casters.seconds(0.1, 3600), 25.0, "a request's deadline (504); below the router's 30"),
    Setting("MAX_BODY_BYTES", casters.size, 16 << 20, "the largest request body (413)"),
    Setting("MAX_TENSOR_BYTES", casters.size, 64 << 20, "the most bytes of inputs and outputs in one request (413)"),
    Setting(
        "CHUNK_BYTES",
        casters.size,
        1 << 20,
        "rows run together up to this size of their largest tensor; the rest follows in further runs",
    ),
    Setting(
        "MAX_WAITING",
        casters.whole(0, 100000),
        64,
        "requests that may wait in one worker, for a thread or an interpreter (503 beyond)",
    ),
    Setting(
        "INTERPRETERS",
        casters.whole(1, 64),
        1,
        "interpreters of a model in one worker: each runs one request at a time",
    ),
    Setting(
        "INTERPRETER_THREADS",
        casters.whole(1, 64),
        1,
        "threads inside one interpreter; 1 lets workers share what is prepared before the fork",
    ),
    Setting(
        "WEB_CONCURRENCY", casters.whole(1, 256), 0, "worker processes; default: from the cores and the memory limit"
    ),
    Setting(
        "WORKER_CLASS",
        casters.one_of("fast", "threads"),
        "fast",
        "fast: one event loop, short predictions in it, long ones in threads; threads: Flask in gunicorn's gthread",
    ),
    Setting("WEB_THREADS", casters.whole(1, 256), 4, "requests that one worker reads and answers at a time"),
    Setting("HOST", casters.text, "0.0.0.0", "the address to bind"),  # noqa: S104 - a dyno's router comes from outside
    Setting("PORT", casters.whole(0, 65535), 8000, "the port to bind; platforms set it; 0 takes a free one"),
    Setting(
        "KEEPALIVE_SECONDS",
        casters.whole(1, 3600),
        95,
        "how long an idle connection stays open: longer than the router's 90",
    ),
    Setting("GRACEFUL_SECONDS", casters.whole(1, 300), 12, "time for requests under way when the server stops"),
    Setting("LOG_LEVEL", casters.one_of("debug", "info", "warning", "error"), "info", "the least level that is logged"),
    Setting("MAX_INFLATED_BYTES", casters.size, 32 << 20, "the largest body after decompression (413)"),
    Setting("MAX_JSON_DEPTH", casters.whole(4, 500), 32, "how deep lists and objects in a body may nest (400)"),
    Setting("MAX_INSTANCES", casters.whole(1, 10_000_000), 100_000, "the most rows in one request (413)"),
    Setting(
        "MAX_PIXELS",
        casters.whole(1, 500_000_000),
        24_000_000,
        "the most pixels of a request's images before they are resized (413)",
    ),
    Setting(
        "NON_FINITE",
        casters.one_of("null", "string", "error"),
        "null",
        "NaN and infinities in a JSON reply: null, a string such as NaN, or an error (422)",
    ),
    Setting("BODY_SECONDS", casters.seconds(1, 3600), 15.0, "time for a client to send its whole body (408)"),
    Setting(
        "API_KEYS",
        casters.text,
        "",
        "who may ask: name:key or name:sha256:hex, several with commas; empty: anyone",
        secret=True,
    ),
    Setting(
        "ADMIN_KEY", casters.text, "", "the key for /admin/..., as in API_KEYS; empty: there is no /admin", secret=True
    ),
    Setting(
        "RATE_LIMIT", casters.rate, None, "requests that each key (or address) may make, such as 300/m (429); or off"
    ),
    Setting(
        "CORS_ORIGINS", casters.origins, (), "the web pages whose scripts may ask: https://example.com, several, or *"
    ),
    Setting(
        "TRUST_PROXY",
        casters.whole(0, 9),
        0,
        "how many proxies in front set X-Forwarded-For and X-Request-Start; on a dyno 1 by default",
    ),
    Setting("METRICS", casters.switch, True, "count requests and show them at /metrics"),
    Setting("LOG_FORMAT", casters.one_of("logfmt", "json"), "logfmt", "the form of a line in the log"),
    Setting(
        "MODEL_HOOKS", casters.text, "", "a module or file with before() and after(); default: hooks.py if there is one"
    ),
    Setting("ACCESS_LOG", casters.switch, True, "one line a request"),
    Setting("PAGE", casters.switch, True, "the page at / on which a person tries the model"),
)

_ROWS = {row.name: row for row in TABLE}
_PREFIXES = ("MODEL_",)  # where a misspelt name would go unnoticed and weaken a check


class Settings:
    """The values, by lower-case attribute: `settings.model_url`. Made by `from_env`; never changed."""

    model_url: str
    model_sha256: str
    model_version: str
    model_canary: tuple[str, float] | None
    model_auth: Mapping[str, str] | None
    model_base64: str
    model_refresh_seconds: float
    model_name: str
    model_plain: str
    model_max_bytes: int
    cache_dir: Path
    cache_max_bytes: int
    aws_access_key_id: str
    aws_secret_access_key: str
    aws_session_token: str
    aws_region: str
    aws_default_region: str
    aws_endpoint_url: str
    aws_endpoint_url_s3: str
    boot_seconds: float
    fetch_seconds: float
    trial_seconds: float
    request_seconds: float
    max_body_bytes: int
    max_tensor_bytes: int
    chunk_bytes: int
    max_waiting: int
    interpreters: int
    interpreter_threads: int
    web_concurrency: int
    worker_class: str
    web_threads: int
    host: str
    port: int
    keepalive_seconds: int
    graceful_seconds: int
    log_level: str
    max_inflated_bytes: int
    max_json_depth: int
    max_instances: int
    max_pixels: int
    non_finite: str
    body_seconds: float
    api_keys: str
    admin_key: str
    rate_limit: tuple[int, float] | None
    cors_origins: tuple[str, ...]
    trust_proxy: int
    metrics: bool
    log_format: str
    model_hooks: str
    access_log: bool
    page: bool

    models: tuple[ModelSettings, ...]

    def __init__(self, values: Mapping[str, Any], models: tuple[ModelSettings, ...] = ()) -> None:
        object.__setattr__(self, "models", models)
        for row in TABLE:
            object.__setattr__(self, row.name.lower(), values.get(row.name, row.default))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"settings do not change: {name}")


def from_env(environ: Mapping[str, str]) -> Settings:
    """Read the settings; SettingError names the variable, what it holds (secrets apart) and what was expected."""
    values: dict[str, Any] = {}
    for row in TABLE:
        given = environ.get(row.name, "").strip()
        if not given:
            continue
        try:
            values[row.name] = row.cast(given)
        except ValueError as error:
            shown = "its value" if row.secret else repr(given[:80])
            raise SettingError(f"{row.name}: {error}, got {shown}") from None
    # A dyno is reached through the platform's router alone.
    values.setdefault("TRUST_PROXY", 1 if environ.get("DYNO") else 0)
    values.setdefault("CACHE_DIR", _default_cache(environ))
    _refuse_misspelt(environ)
    access.Gate(values.get("API_KEYS", ""), values.get("ADMIN_KEY", ""))  # SettingError where a key is none
    return Settings(values, model_settings.read(environ, values))


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    for name in environ:
        if name in _ROWS or not name.startswith(_PREFIXES) or model_settings.is_named(name):
            continue
        near = difflib.get_close_matches(name, _ROWS, 1, 0.8)
        if near:
            raise SettingError(f"{name} is no setting: did you mean {near[0]}?")


def _default_cache(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CACHE_HOME") or tempfile.gettempdir()
    return Path(base) / f"dynolite-{os.getuid()}"


def shown_url(url: str) -> str:
    """A URL for logs and clients: without user, password, query or fragment, where secrets are."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        return url.partition("?")[0]
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
