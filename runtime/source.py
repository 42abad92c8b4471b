"""A model's settings become a verified local file, whatever the scheme.

    path, file://        the file itself, or the version that an index file names
    http(s)://           fetched into the cache
    s3://, gs://         the same by HTTPS, signed with the AWS keys (for gs:// an HMAC key) where there are any
    MODEL_BASE64         the setting itself, decoded into the cache

A wrong digest, a truncated body or a web page in the model's place never gets a name in the cache.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import ipaddress
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from runtime import cache, index, remote, transfer
from runtime.cache import Cache
from runtime.errors import ArtifactError, SourceError
from runtime.index import Index
from runtime.model_settings import ModelSettings
from runtime.part import Part
from runtime.settings import Settings, shown_url
from runtime.transfer import Remote


@dataclass(frozen=True, slots=True)
class Found:
    """A model file that may be tried. `version` is the index's ("" without one), as are `serial` and `channels`.

    `name` is for a file that names itself nothing. `sure`: its digest was known beforehand, or it is the operator's own
    file, so that it needs no manifest to be whole. `cached`: it is in the cache, and not the operator's own.
    """

    path: str
    sha256: str
    name: str = "model"
    version: str = ""
    serial: int = 1
    channels: tuple[str, ...] = ()
    sure: bool = True
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """One attempt: until when (of `time.monotonic`), and the digest that is `serving`, which need not be looked at.

    After `retry_until` what fails is not tried again. `chose` is told the version that is wanted, as soon as the index
    says. `keep`: digests of files that the cache must not lose although none of them has been served.
    """

    deadline: float
    serving: str = ""
    retry_until: float = math.inf
    chose: Callable[[str], object] = lambda _: None
    keep: frozenset[str] = frozenset()


def fetch(wanted: ModelSettings, settings: Settings, ask: Ask) -> Found:
    """The file that is wanted, fetched if need be; without a path where it is the one that is served already.

    Raises SourceError (another try may help) or ArtifactError (the file is wrong).
    """
    if wanted.base64:
        return _inline(wanted, settings, ask)
    if is_local(wanted):
        return _local(wanted, settings, ask)
    _refuse_open_road(wanted)
    kept = cache.prepare(settings.cache_dir, settings.cache_max_bytes)
    there = replace(remote.resolve(wanted, settings), retry_until=ask.retry_until)
    with kept.one_at_a_time(cache.key_of(wanted.url), ask.deadline):
        road = _Road(settings, kept, there, ask)
        return _version_of(wanted, road) if wanted.is_index else _artifact(wanted, road)


def is_local(wanted: ModelSettings) -> bool:
    """A path or file:// URL: the operator's own disk, taken as it is."""
    return urlsplit(wanted.url).scheme.lower() in ("", "file")


@dataclass(frozen=True, slots=True)
class _Road:
    """What every step of one attempt needs."""

    settings: Settings
    kept: Cache
    there: Remote
    ask: Ask


def _local(wanted: ModelSettings, settings: Settings, ask: Ask) -> Found:
    parts = urlsplit(wanted.url)
    path = Path(unquote(parts.path)) if parts.scheme else Path(wanted.url)
    if not path.is_file():
        hint = f"; is it {path / 'index.json'}?" if path.is_dir() else ""
        raise SourceError(f"there is no file {path}{hint}")
    try:
        if not wanted.is_index:
            _check_size(path, settings)
            return Found(str(path), _checked(path, wanted.sha256, wanted), _stem(path.name))
        with path.open("rb") as stream:
            listed = index.loads(stream.read(index.MAX_BYTES + 1))
        chosen = index.choose(listed, wanted.version)
        ask.chose(chosen.version)
        target = path.parent / unquote(chosen.url)
        _check_size(target, settings)
        _checked(target, chosen.sha256, wanted)
        return _found(target, listed, chosen)
    except OSError as error:
        raise SourceError(f"{error.filename} cannot be read: {error.strerror}") from None


def _version_of(wanted: ModelSettings, road: _Road) -> Found:
    """The artifact of the index's version that is wanted."""
    listed = index.loads(_index_body(wanted.url, road))
    chosen = index.choose(listed, wanted.version)
    road.ask.chose(chosen.version)
    if wanted.sha256 not in ("", chosen.sha256):
        raise ArtifactError(f"version {chosen.version} has another SHA-256 than MODEL_SHA256{wanted.label} asks for")
    if chosen.sha256 == road.ask.serving:
        return _found("", listed, chosen)
    path = road.kept.find(chosen.sha256)
    if path is None:
        limit = road.settings.model_max_bytes
        if chosen.bytes > limit:
            raise ArtifactError(f"version {chosen.version} is larger than MODEL_MAX_BYTES, {limit} bytes")
        # A shared access signature in the index's query holds for the whole folder.
        query = urlsplit(road.there.url).query
        url = urljoin(road.there.url, chosen.url) + (f"?{query}" if query else "")
        path, _ = _download(replace(road, there=road.there.sibling(url)), chosen.sha256)
    return replace(_found(path, listed, chosen), cached=True)


def _index_body(url: str, road: _Road) -> bytes:
    key = cache.key_of(url)
    known = road.kept.note(key)
    etag = known.get("etag", "") if "body" in known else ""
    received = transfer.read(road.there, index.MAX_BYTES, road.ask.deadline, etag)
    if received.unchanged:
        return str(known["body"]).encode()
    if received.etag:
        road.kept.write_note(key, {"etag": received.etag, "body": received.body.decode("utf-8", "replace")})
    return received.body


def _artifact(wanted: ModelSettings, road: _Road) -> Found:
    name = _stem(unquote(urlsplit(wanted.url).path))
    if not wanted.sha256:
        path, digest = _download(road, "")
        return Found(str(path), digest, name, sure=road.settings.model_plain == "allow", cached=True)
    if wanted.sha256 == road.ask.serving:
        return Found("", wanted.sha256, name)
    found = road.kept.find(wanted.sha256) or _download(road, wanted.sha256)[0]
    return Found(str(found), wanted.sha256, name, cached=True)


def _download(road: _Road, sha256: str) -> tuple[Path, str]:
    """Fetch one artifact; its path in the cache, and digest."""
    key = cache.key_of(f"{road.there.url} {sha256}")
    known = {} if sha256 else road.kept.note(key)
    path = road.kept.find(known["sha256"]) if "sha256" in known else None
    part = Part(road.kept.folder / f"{key}.part", sha256)
    try:
        with part:
            etag = known.get("etag", "") if path else ""
            received = transfer.download(road.there, part, road.settings.model_max_bytes, road.ask.deadline, etag)
    except transfer.TransientError:
        raise  # what has come is gone on with at the next try
    except BaseException:
        part.path.unlink(missing_ok=True)
        raise
    if received.unchanged and path:
        part.path.unlink(missing_ok=True)
        return path, known["sha256"]
    path = road.kept.add(part.path, received.sha256, road.ask.keep)
    if received.etag and not sha256:
        road.kept.write_note(key, {"etag": received.etag, "sha256": received.sha256})
    return path, received.sha256


def _inline(wanted: ModelSettings, settings: Settings, ask: Ask) -> Found:
    """Decode MODEL_BASE64: a model, or a gzip of one."""
    label = f"MODEL_BASE64{wanted.label}"
    try:
        content = base64.b64decode("".join(wanted.base64.split()), validate=True)
        if content[:2] == b"\x1f\x8b":
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(settings.model_max_bytes + 1)
    except (binascii.Error, OSError, EOFError, zlib.error):
        raise ArtifactError(f"{label} is no base64 of a model: was it cut off? (64 KB for all settings)") from None
    if len(content) > settings.model_max_bytes:
        raise ArtifactError(f"{label} is larger than MODEL_MAX_BYTES, {settings.model_max_bytes} bytes")
    digest = hashlib.sha256(content).hexdigest()
    if wanted.sha256 not in ("", digest):
        raise ArtifactError(f"{label} has another SHA-256 than MODEL_SHA256{wanted.label} asks for")
    kept = cache.prepare(settings.cache_dir, settings.cache_max_bytes)
    path = kept.find(digest)
    if path is None:
        part = Part(kept.folder / f"{digest}.{os.getpid()}.part")
        with part:
            part.write(content)
            part.digest()
        path = kept.add(part.path, digest, ask.keep)
    return Found(str(path), digest)


def _found(path: Path | str, listed: Index, chosen: index.Version) -> Found:
    return Found(
        str(path), chosen.sha256, listed.name, chosen.version, chosen.serial, listed.channels_of(chosen.version)
    )


def _stem(path: str) -> str:
    """A model's name from its path: `/models/iris.v2.tflite` is `iris`."""
    return path.rpartition("/")[2].partition(".")[0] or "model"


def _checked(path: Path, sha256: str, wanted: ModelSettings) -> str:
    """The file's digest; ArtifactError if it is another than the one asked for, by the index or by MODEL_SHA256."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 not in ("", digest) or wanted.sha256 not in ("", digest):
        raise ArtifactError(f"{path.name} has SHA-256 {digest[:12]}..., which is not the one that is asked for")
    return digest


def _check_size(path: Path, settings: Settings) -> None:
    if path.stat().st_size > settings.model_max_bytes:
        raise ArtifactError(f"{path.name} is larger than MODEL_MAX_BYTES, {settings.model_max_bytes} bytes")


def _refuse_open_road(wanted: ModelSettings) -> None:
    """http:// can be read and changed on its way: a digest makes that harmless, as does not leaving this machine."""
    parts = urlsplit(wanted.url)
    if parts.scheme.lower() != "http" or wanted.sha256:
        return
    host = parts.hostname or ""
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host == "localhost"
    if not (wanted.is_index and near):
        raise SourceError(
            f"{shown_url(wanted.url)}: http:// needs a digest: set MODEL_SHA256{wanted.label}, or use https://"
        )
