"""Who may ask: API keys, the admin key, and which pages' scripts may read the replies (CORS).

    API_KEYS=web:dyn_3Jx...,phone:sha256:9f86d0...      name:key or name:sha256:hex, with commas between

A key comes as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Only digests are kept, and each is compared in constant
time. SHA-256 is quick to try out, so a digest stands only for a key that `tools/keys.py` has generated: 256 random bits
that no one guesses. A key of one's own making can be given in plain form, and needs 16 characters.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from runtime.errors import NotFoundError, SettingError, UnauthorizedError

# Who may call a route: anyone; who has a key, where keys are set; who has the admin key.
Access = Literal["open", "key", "admin"]
# What tools/keys.py makes: 32 random bytes in URL-safe base64.
GENERATED = re.compile(r"dyn_[A-Za-z0-9_-]{43}")
_SHORTEST = 16
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_METHODS = "GET, HEAD, POST, OPTIONS"
_ASKED_HEADERS = (
    "Accept, Authorization, Content-Encoding, Content-Type, Inference-Header-Content-Length, Traceparent, "
    "Server-Timing, X-API-Key, X-Request-Id"
)
_TOLD_HEADERS = "Inference-Header-Content-Length, Retry-After, Server-Timing, X-Model, X-Non-Finite, X-Request-Id"


@dataclass(frozen=True, slots=True)
class Key:
    """One key by its name and SHA-256; `generated` keys are those of which the setting holds the digest only."""

    name: str
    digest: bytes
    generated: bool


class Keys:
    """The keys of one setting."""

    def __init__(self, setting: str, text: str) -> None:
        """Read `text`; SettingError names the setting and the key's name, never the key."""
        self._keys = tuple(_parse(setting, part) for part in text.replace(",", " ").split())
        names = [key.name for key in self._keys]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise SettingError(f"{setting}: the name {min(twice)!r} is there twice; every key needs its own")

    def __bool__(self) -> bool:
        return bool(self._keys)

    @property
    def names(self) -> tuple[str, ...]:
        """The keys' names, as they stand in the setting."""
        return tuple(key.name for key in self._keys)

    def name_of(self, given: str) -> str:
        """The name of the key that was given, "" if it is none. Takes the same time whichever it is."""
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        generated = GENERATED.fullmatch(given) is not None
        found = ""
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest) and (generated or not key.generated):
                found = key.name
        return found


class Gate:
    """Lets a request through to a route, or raises."""

    def __init__(self, api_keys: str, admin_key: str) -> None:
        self._api = Keys("API_KEYS", api_keys)
        self._admin = Keys("ADMIN_KEY", admin_key)

    @property
    def closed(self) -> bool:
        """Whether keys are set."""
        return bool(self._api)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all keys."""
        return self._api.names + self._admin.names

    def check(self, access: Access, headers: Mapping[str, str]) -> str:
        """The name of the key that lets this request through, "" where none is needed.

        The admin key opens everything. Raises UnauthorizedError; NotFoundError for an admin route without admin key.
        """
        if access == "open" or (access == "key" and not self._api):
            return ""
        if access == "admin" and not self._admin:
            raise NotFoundError("there is nothing here: ADMIN_KEY is not set")
        given = given_key(headers)
        found = self._admin.name_of(given) or ("" if access == "admin" else self._api.name_of(given))
        if found:
            return found
        which = "the admin key" if access == "admin" else "a key"
        if given:
            raise UnauthorizedError(f"the key is not one that opens this: {which} is needed", given=True)
        raise UnauthorizedError(f"send {which} as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'", given=False)

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether details may be told: no keys are set, or one of them was given."""
        if not self._api:
            return True
        given = given_key(headers)
        return bool(given) and bool(self._api.name_of(given) or self._admin.name_of(given))


def given_key(headers: Mapping[str, str]) -> str:
    """The key that a request carries, "" if it carries none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and given:
        return given.strip()
    return headers.get("x-api-key", "").strip()


def cors_headers(allowed: tuple[str, ...], origin: str) -> dict[str, str]:
    """The headers that let a page of this origin read a reply; none for an origin that is not allowed."""
    if "*" in allowed:
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": _TOLD_HEADERS}
    headers = {"Vary": "Origin"}
    if origin in allowed:
        headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _TOLD_HEADERS}
    return headers


def preflight_headers() -> dict[str, str]:
    """What a browser wants to know before it sends: kept by it for ten minutes."""
    return {
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": _ASKED_HEADERS,
        "Access-Control-Max-Age": "600",
    }


def client_address(headers: Mapping[str, str], peer: str, proxies: int) -> str:
    """The address that asks: the peer's own, or the one that the outermost of `proxies` trusted proxies saw."""
    if proxies:
        seen = [part.strip() for part in headers.get("x-forwarded-for", "").split(",")]
        if len(seen) >= proxies and seen[-proxies]:
            return seen[-proxies][:64]
    return peer


def _parse(setting: str, part: str) -> Key:
    name, colon, secret = part.partition(":")
    if not colon or not _NAME.fullmatch(name):
        raise SettingError(f"{setting}: expected name:key or name:sha256:hex, with commas between; see tools/keys.py")
    method, colon, value = secret.partition(":")
    if method == "sha256":
        if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise SettingError(f"{setting}: after {name}:sha256: there must be 64 hexadecimal digits")
        return Key(name, bytes.fromhex(value), generated=True)
    if colon:
        raise SettingError(
            f"{setting}: the key {name!r} has an unknown form: only sha256 is known, and keys have no colon"
        )
    if len(secret) < _SHORTEST:
        raise SettingError(
            f"{setting}: the key {name!r} is shorter than {_SHORTEST} characters; tools/keys.py makes one"
        )
    return Key(name, hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest(), generated=False)
