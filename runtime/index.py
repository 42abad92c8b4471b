"""The published index of one model: its versions, its channels, and which version a server is to serve.

    {"format": 1, "name": "digits",
     "versions": {"1.2.0": {"url": "1.2.0/digits-3b1f....tflite", "sha256": "3b1f...", "bytes": 81920, "serial": 3,
                            "created": "2026-11-21T10:00:00Z", "quantization": "int8", "yanked": false}},
     "channels": {"latest": {"version": "1.2.0", "previous": "1.1.0", "when": "2026-11-21T10:00:00Z"}}}

Unknown fields are ignored, a higher format number is an error. An artifact's url is relative to the index: it comes
from the same origin, and credentials go nowhere else. Only tools/publish.py writes an index; here it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from runtime.errors import SourceError

FORMAT = 1
MAX_BYTES = 1 << 20
LATEST = "latest"
EXACT = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")
CHANNEL = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable artifact. `bytes` is its size, `serial` its whole number (1 is the first that was published)."""

    version: str
    url: str
    sha256: str
    bytes: int
    serial: int
    quantization: str = ""
    created: str = ""
    yanked: bool = False


@dataclass(frozen=True, slots=True)
class Channel:
    """A name that moves from version to version; `previous` is where a rollback goes."""

    version: str
    previous: str = ""
    when: str = ""


@dataclass(frozen=True)
class Index:
    """All versions and channels of the model `name`."""

    name: str
    versions: Mapping[str, Version] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)

    def channels_of(self, version: str) -> tuple[str, ...]:
        """The channels that stand at this version."""
        return tuple(sorted(name for name, channel in self.channels.items() if channel.version == version))


def loads(data: bytes) -> Index:
    """The index in `data`; SourceError says what is wrong with it."""
    if len(data) > MAX_BYTES:
        raise SourceError(f"the index is larger than {MAX_BYTES} bytes: prune it (tools/publish.py prune)")
    if data.lstrip()[:1] == b"<":
        raise SourceError("the index's URL gives a web page: is it the right one, and may it be read without a login?")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise SourceError("the index is not JSON") from None
    found = _typed(value, dict, "the index")
    number = _typed(found.get("format"), int, "the index's format")
    if number > FORMAT:
        raise SourceError(f"the index has format {number}, this server reads format {FORMAT}: update dynolite")
    versions = {
        key: _version(key, _typed(item, dict, f"version {key!r}"))
        for key, item in _typed(found.get("versions", {}), dict, "the index's versions").items()
    }
    channels = {
        key: _channel(key, _typed(item, dict, f"channel {key!r}"))
        for key, item in _typed(found.get("channels", {}), dict, "the index's channels").items()
    }
    return Index(_typed(found.get("name"), str, "the index's name"), versions, channels)


def choose(index: Index, wanted: str) -> Version:
    """The version that `wanted` stands for: the first of its alternatives that there is. SourceError if none.

    A yanked version is had by its exact number only.
    """
    reasons = []
    for alternative in wanted.split("|"):
        found, reason = _look_up(index, alternative)
        if found:
            return found
        reasons.append(reason)
    raise SourceError(f"the index of {index.name!r} {', and '.join(reasons)}")


def order(version: str) -> tuple[int, ...]:
    """A key that sorts versions by age of their numbers: 1.10.0 after 1.9.0."""
    return tuple(int(part) for part in version.split("."))


def _look_up(index: Index, wanted: str) -> tuple[Version | None, str]:
    """The version, or None and why there is none."""
    if EXACT.fullmatch(wanted):
        return index.versions.get(wanted), f"has no version {wanted}"
    if wanted.startswith("~="):
        floor = order(wanted[2:])
        fits = [
            found
            for found in index.versions.values()
            if not found.yanked
            and order(found.version)[: len(floor) - 1] == floor[:-1]
            and order(found.version)[: len(floor)] >= floor
        ]
        return max(fits, key=lambda found: order(found.version), default=None), f"has no version that fits {wanted}"
    channel = index.channels.get(wanted)
    if channel is None:
        return None, f"has no channel {wanted!r}"
    found = index.versions.get(channel.version)
    if found is None:
        return None, f"lacks version {channel.version}, where channel {wanted!r} stands"
    if found.yanked:
        return None, f"has its channel {wanted!r} at {channel.version}, which is yanked"
    return found, ""


def _version(key: str, item: Mapping[str, Any]) -> Version:
    where = f"version {key!r}"
    if not EXACT.fullmatch(key):
        raise SourceError(f"the index has a version {key[:80]!r}: expected MAJOR.MINOR.PATCH")
    digest = _typed(item.get("sha256"), str, f"{where}: sha256")
    if not _DIGEST.fullmatch(digest):
        raise SourceError(f"{where}: sha256 is not 64 hexadecimal digits")
    return Version(
        key,
        _relative(_typed(item.get("url"), str, f"{where}: url"), where),
        digest,
        _typed(item.get("bytes"), int, f"{where}: bytes"),
        _typed(item.get("serial"), int, f"{where}: serial"),
        _typed(item.get("quantization", ""), str, f"{where}: quantization"),
        _typed(item.get("created", ""), str, f"{where}: created"),
        _typed(item.get("yanked", False), bool, f"{where}: yanked"),
    )


def _channel(key: str, item: Mapping[str, Any]) -> Channel:
    return Channel(
        _typed(item.get("version"), str, f"channel {key!r}: version"),
        _typed(item.get("previous", ""), str, f"channel {key!r}: previous"),
        _typed(item.get("when", ""), str, f"channel {key!r}: when"),
    )


def _relative(url: str, where: str) -> str:
    """The url if it stays below the index's own folder; else credentials could be led astray."""
    parts, plain = urlsplit(url), unquote(url)
    leaves = plain.startswith("/") or "\\" in plain or any(part in ("", ".", "..") for part in plain.split("/"))
    if parts.scheme or parts.netloc or parts.query or parts.fragment or leaves or not plain.isprintable():
        raise SourceError(f"{where}: its url is not a plain path below the index")
    return url


def _typed(value: Any, kind: type, what: str) -> Any:
    if type(value) is not kind:
        raise SourceError(f"{what}: expected {kind.__name__}, got {type(value).__name__}")
    return value
