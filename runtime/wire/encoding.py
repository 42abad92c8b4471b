"""Content codings of bodies: gzip and deflate, read with a bound on what they unpack to, and written when asked for."""

from __future__ import annotations

import gzip
import zlib

from runtime.errors import MediaTypeError, RequestError, TooLargeError

CODINGS = ("gzip", "deflate")
_GZIP = 16 + zlib.MAX_WBITS
_MAX_MEMBERS = 100  # each costs a copy of all that follows


def inflate(body: bytes, coding: str, limit: int) -> bytes:
    """The body without its Content-Encoding; `limit` bounds its size then.

    Raises MediaTypeError for codings that are not read, TooLargeError, RequestError for damaged data.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding.removeprefix("x-") not in CODINGS:
        raise MediaTypeError(f"the body's encoding {coding[:40]!r} is not read: expected {' or '.join(CODINGS)}")
    try:
        if coding.endswith("gzip"):
            return _unpack(body, _GZIP, limit)
        # "deflate" means zlib's format, but some clients send it bare.
        bare = len(body) < 2 or body[0] & 0x0F != 8 or (body[0] * 256 + body[1]) % 31 != 0
        return _unpack(body, -zlib.MAX_WBITS if bare else zlib.MAX_WBITS, limit)
    except zlib.error:
        raise RequestError(f"the body is not the {coding} data that its Content-Encoding says") from None


def pack(body: bytes, accepted: str) -> tuple[bytes, str]:
    """The body in the coding that the client asks for, and its name: only where it asks for exactly one of them."""
    coding = accepted.strip().lower()
    if coding == "gzip":
        return gzip.compress(body, compresslevel=1, mtime=0), coding
    if coding == "deflate":
        return zlib.compress(body, level=1), coding
    return body, ""


def _unpack(body: bytes, form: int, limit: int) -> bytes:
    """Every member of the stream, one after the other; what is cut off or follows after it is an error."""
    parts: list[bytes] = []
    left = limit
    for _ in range(_MAX_MEMBERS):
        unpacker = zlib.decompressobj(form)
        part = unpacker.decompress(body, left + 1)
        left -= len(part)
        if left < 0:
            raise TooLargeError(f"the body unpacks to more than {limit} bytes (MAX_INFLATED_BYTES)")
        parts.append(part)
        if not unpacker.eof:
            raise zlib.error("cut off")
        body = unpacker.unused_data
        if not body:
            return b"".join(parts)
        if form != _GZIP:
            raise zlib.error("something follows")
    raise RequestError(f"the body is made of more than {_MAX_MEMBERS} gzip members")
