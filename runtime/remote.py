"""Where a model URL is to be asked for by HTTP, and with which credentials."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from runtime.errors import SourceError
from runtime.model_settings import ModelSettings
from runtime.settings import Settings
from runtime.transfer import Remote

_GOOGLE = "https://storage.googleapis.com"


def resolve(wanted: ModelSettings, settings: Settings) -> Remote:
    """The HTTP address of a model URL, with what its host is to be shown. SourceError for an unknown scheme."""
    parts = urlsplit(wanted.url)
    scheme = parts.scheme.lower()
    if scheme in ("http", "https"):
        return _web(wanted)
    if scheme not in ("s3", "gs"):
        raise SourceError(f"{scheme}:// is no scheme that is read here: https, http, s3, gs, file or a path")
    bucket, key = parts.netloc, parts.path.lstrip("/")
    if not bucket or not key:
        raise SourceError(f"MODEL_URL{wanted.label}: expected {scheme}://BUCKET/PATH")
    if scheme == "gs":
        return Remote(f"{_GOOGLE}/{bucket}/{quote(key)}", sign=_signer(settings, "auto"))
    region = settings.aws_region or settings.aws_default_region
    return Remote(_s3_address(settings, region, bucket, quote(key)), sign=_signer(settings, region))


def _web(wanted: ModelSettings) -> Remote:
    """A password in the URL becomes a header: in the URL it would go along with relative redirects and into logs."""
    parts = urlsplit(wanted.url)
    headers = dict(wanted.auth)
    user, at, host = parts.netloc.rpartition("@")
    if at and "Authorization" not in headers:
        headers["Authorization"] = "Basic " + base64.b64encode(unquote(user).encode()).decode()
    return Remote(parts._replace(netloc=host).geturl(), headers)


def _s3_address(settings: Settings, region: str, bucket: str, key: str) -> str:
    endpoint = settings.aws_endpoint_url_s3 or settings.aws_endpoint_url
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/{key}"
    if "." in bucket:  # no certificate covers such a host name
        return f"https://s3.{region}.amazonaws.com/{bucket}/{key}"
    return f"https://{bucket}.s3.{region}.amazonaws.com/{key}"


def _signer(settings: Settings, region: str) -> Any:
    """What signs a request (SigV4); None without keys: public buckets take unsigned requests."""
    if not settings.aws_access_key_id:
        return None

    def sign() -> Any:
        from requests_aws4auth import AWS4Auth  # noqa: PLC0415 - see transfer._open

        return AWS4Auth(
            settings.aws_access_key_id,
            settings.aws_secret_access_key,
            region,
            "s3",
            session_token=settings.aws_session_token or None,
        )

    return sign
