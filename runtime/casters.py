"""Casters: the text of an environment variable -> its value. Each raises ValueError that says what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable

_HEADER = re.compile(r"([A-Za-z0-9-]{1,64}):[ \t]*([\x20-\x7e]*)")
_UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_VERSION = r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}|~=[0-9]{1,9}\.[0-9]{1,9}(\.[0-9]{1,9})?|[a-z][a-z0-9_-]{0,63}"


def text(value: str) -> str:
    """Any text, as it is."""
    return value


def name(value: str) -> str:
    """A model's name, as it stands in URLs."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", value):
        raise ValueError("expected letters, digits, '_', '.' and '-'")
    return value


def sha256(value: str) -> str:
    """A SHA-256 digest in lower-case hex; `sha256:` in front is taken off."""
    value = value.lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("expected 64 hexadecimal digits")
    return value


def switch(value: str) -> bool:
    """On or off, in the usual words."""
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if value.lower() not in words:
        raise ValueError("expected on or off")
    return words[value.lower()]


def whole(low: int, high: int) -> Callable[[str], int]:
    """A caster for a whole number within these bounds, both included."""

    def cast(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(value)

    return cast


def seconds(low: float, high: float) -> Callable[[str], float]:
    """A caster for seconds within these bounds, to the millisecond."""

    def cast(value: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", value) or not low <= float(value) <= high:
            raise ValueError(f"expected seconds from {low:g} to {high:g}")
        return float(value)

    return cast


def size(value: str) -> int:
    """A size in bytes: 500000, 64K, 16MB, 1GiB; the units are powers of 1024."""
    match = re.fullmatch(r"([0-9]{1,15})\s*([KMG]?)(?:i?B)?", value, re.IGNORECASE)
    if not match or int(match[1]) == 0:
        raise ValueError("expected a size such as 500000, 64K, 16M or 1G")
    return int(match[1]) * _UNITS[match[2].upper()]


def one_of(*words: str) -> Callable[[str], str]:
    """A caster for one of these words, in lower case."""

    def cast(value: str) -> str:
        if value.lower() not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return value.lower()

    return cast


def origins(value: str) -> tuple[str, ...]:
    """Origins for CORS, separated by commas or blanks; `*` is any."""
    origins = tuple(value.replace(",", " ").split())
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]{1,255}", origin):
            raise ValueError("expected origins such as https://example.com, or *")
    return origins


def rate(value: str) -> tuple[int, float] | None:
    """Requests and the seconds they are counted over; None for off."""
    if value.lower() == "off":
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,6})/(s|m|h)", value.lower())
    if not match:
        raise ValueError("expected off, or requests per time such as 10/s, 300/m or 5000/h")
    return int(match[1]), {"s": 1.0, "m": 60.0, "h": 3600.0}[match[2]]


def version(value: str) -> str:
    """Which version of an index to serve: 1.2.0, ~=1.1, a channel, or alternatives in order: 1.2.0|latest."""
    if not all(re.fullmatch(_VERSION, part) for part in value.split("|")):
        raise ValueError("expected a version such as 1.2.0, ~=1.1, a channel such as latest, or 1.2.0|latest")
    return value


def canary(value: str) -> tuple[str, float]:
    """A version and the share of requests that it gets, in percent: `canary:10`."""
    chosen, _, percent = value.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,2})?", percent) or float(percent) > 100:
        raise ValueError("expected a channel or version and its percentage, such as canary:10")
    return version(chosen), float(percent)


def auth(value: str) -> dict[str, str]:
    """Credentials as headers: `Name: value` lines, a whole Authorization value (`Basic ...`), or a bare token."""
    lines = [line.strip() for line in value.splitlines() if line.strip()]
    headers = [_HEADER.fullmatch(line) for line in lines]
    if all(headers):
        return {header[1]: header[2] for header in headers if header}
    if len(lines) > 1 or not re.fullmatch(r"[\x21-\x7e]+( [\x21-\x7e]+)?", lines[0]):
        raise ValueError("expected a token, `Bearer TOKEN`, or lines of `Header: value`")
    return {"Authorization": lines[0] if " " in lines[0] else f"Bearer {lines[0]}"}
