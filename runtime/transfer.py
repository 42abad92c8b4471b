"""HTTP(S) into a file or into memory: redirects, retries, resumption, limits of size and time. Knows nothing of models.

Credentials go to the origin they are meant for and to no other, whatever redirects say; .netrc is never read. TLS is
verified; proxies and an own certificate bundle are taken from their usual variables.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from runtime import session
from runtime.errors import ArtifactError, SourceError
from runtime.part import Part
from runtime.settings import shown_url

if TYPE_CHECKING:
    import requests

_CONNECT_SECONDS, _SILENCE_SECONDS = 5.0, 15.0
_RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
_REDIRECTS, _MOST_REDIRECTS = {301, 302, 303, 307, 308}, 5
_CHUNK = 1 << 18
_SKEW_SECONDS = 240.0  # stores refuse signatures that are off by 5 to 15 minutes
_HINTS = {
    400: ": is the region right? (AWS_REGION)",
    301: ": the bucket is in another region (AWS_REGION)",
    401: ": it wants credentials (MODEL_AUTH)",
    403: ": access is refused (wrong or expired key?)",
    404: ": there is no such file",
}


class TransientError(SourceError):
    """A failure that a moment may cure: what has come stays and is gone on with.

    `wait` is what the host asked for, in seconds.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass
class Remote:
    """A URL and what its own origin gets to see: headers, or a signature. `clock` is the host's time minus ours, in s.

    `sign` makes an authentication object of requests; it is called for each request. After `retry_until` (of
    `time.monotonic`) a failure is told and not tried again.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    sign: Callable[[], Any] | None = field(default=None, repr=False)
    clock: float = 0.0
    retry_until: float = math.inf

    def sibling(self, url: str) -> Remote:
        """Another URL of the same origin, with the same credentials."""
        return replace(self, url=url)


@dataclass(frozen=True, slots=True)
class Received:
    """A finished transfer: SHA-256 in hex and ETag ("" where there is none); `unchanged`: the host said 304."""

    sha256: str = ""
    etag: str = ""
    unchanged: bool = False
    body: bytes = b""


def download(remote: Remote, part: Part, max_bytes: int, deadline: float, etag: str = "") -> Received:
    """Fetch into `part`, going on where a broken transfer stopped. `etag`: what is there already (If-None-Match).

    Raises SourceError when it cannot be had before `deadline` (of `time.monotonic`), ArtifactError when it is too large
    or has another digest than `part.sha256`.
    """
    until = min(deadline, remote.retry_until)
    return _with_retries(lambda: _download_once(remote, part, max_bytes, deadline, etag), until)


def read(remote: Remote, max_bytes: int, deadline: float, etag: str = "") -> Received:
    """Fetch a small document whole. Raises SourceError."""

    def once() -> Received:
        headers = {"If-None-Match": etag} if etag else {}
        with _open(remote, headers, deadline) as reply:
            if reply.status_code == 304 and etag:
                return Received(etag=etag, unchanged=True)
            _check(reply, remote, (200,))
            body = bytearray()
            for chunk in _chunks(reply, remote, deadline):
                body += chunk
                if len(body) > max_bytes:
                    raise SourceError(f"{shown_url(remote.url)} is larger than {max_bytes} bytes")
            return Received(etag=reply.headers.get("ETag", ""), body=bytes(body))

    return _with_retries(once, min(deadline, remote.retry_until))


def _with_retries(once: Callable[[], Received], until: float) -> Received:
    pause = 0.5
    while True:
        try:
            return once()
        except TransientError as error:
            # Jitter, so that dynos which start together do not come back together.
            wait = max(pause * random.uniform(0.5, 1.5), error.wait)  # noqa: S311
            if time.monotonic() + wait >= until:
                raise
            time.sleep(wait)
            pause = min(pause * 2, 30.0)


def _download_once(remote: Remote, part: Part, max_bytes: int, deadline: float, etag: str) -> Received:
    headers = part.range_headers() or ({"If-None-Match": etag} if etag else {})
    with _open(remote, headers, deadline) as reply:
        if reply.status_code == 304 and etag:
            return Received(etag=etag, unchanged=True)
        _begin(reply, remote, part)
        if part.done + max(0, _length(reply)) > max_bytes:
            raise _too_large(remote, max_bytes)
        for chunk in _chunks(reply, remote, deadline):
            if part.done == 0 and chunk.lstrip()[:1] == b"<":
                raise SourceError(f"{shown_url(remote.url)} gives a web page in the model's place")
            if part.done + len(chunk) > max_bytes:
                raise _too_large(remote, max_bytes)
            part.write(chunk)
    digest = part.digest()
    if part.sha256 and digest != part.sha256:
        if part.resumed:
            raise _changed(remote, part)
        raise ArtifactError(
            f"{shown_url(remote.url)} has SHA-256 {digest[:12]}..., expected is {part.sha256[:12]}...: it is not served"
        )
    return Received(digest, part.etag)


def _begin(reply: requests.Response, remote: Remote, part: Part) -> None:
    """Make `part` ready for a reply's body; an error when there is none that fits."""
    if reply.status_code == 416:
        raise _changed(remote, part)
    _check(reply, remote, (200, 206))
    if not part.goes_on(reply.status_code, reply.headers):
        if reply.status_code == 206:
            raise _changed(remote, part)
        part.restart()
    part.etag = reply.headers.get("ETag", "")


def _changed(remote: Remote, part: Part) -> TransientError:
    part.restart()
    return TransientError(f"{shown_url(remote.url)} changed during the transfer")


def _chunks(reply: requests.Response, remote: Remote, deadline: float) -> Iterator[bytes]:
    """The body as it comes, however slowly; TransientError when it breaks, is short or is not done in time."""
    import urllib3  # noqa: PLC0415 - see _open

    shown, promised, done = shown_url(remote.url), _length(reply), 0
    if reply.headers.get("Content-Encoding", "identity") != "identity":
        raise SourceError(f"{shown} is sent compressed: store it as it is, without Content-Encoding")
    try:
        # Not read(): that would gather a whole chunk, and a host that drips a byte a second would outlive any deadline.
        while chunk := reply.raw.read1(_CHUNK, decode_content=False):
            done += len(chunk)
            yield chunk
            if time.monotonic() > deadline:
                raise TransientError(f"{shown} was not fetched in time ({done} bytes came)")
    except urllib3.exceptions.ReadTimeoutError:
        raise TransientError(f"{shown} fell silent after {done} bytes") from None
    except (urllib3.exceptions.HTTPError, ConnectionError):
        raise TransientError(f"{shown} broke off after {done} bytes") from None
    if promised >= 0 and done != promised:
        raise TransientError(f"{shown} broke off after {done} of {promised} bytes")


@contextlib.contextmanager
def _open(remote: Remote, headers: Mapping[str, str], deadline: float) -> Iterator[requests.Response]:
    """GET, following redirects; elsewhere than at its own origin without credentials."""
    import requests  # noqa: PLC0415 - a quarter of the start's time, and not needed where nothing is fetched

    try:
        with session.new() as opened, _follow(opened, remote, dict(headers), deadline) as reply:
            yield reply
    except requests.RequestException as error:
        if session.untrusted(error):
            # Trying again makes it no better.
            raise SourceError(f"{shown_url(remote.url)}: its TLS certificate is not trusted") from None
        raise TransientError(f"{shown_url(remote.url)}: {session.reason(error)}") from None


def _follow(opened: requests.Session, remote: Remote, headers: dict[str, str], deadline: float) -> requests.Response:
    url, corrected = remote.url, False
    for _ in range(_MOST_REDIRECTS + 2):
        reply = _get(opened, remote, url, headers, deadline)
        skew = _skew(reply)
        if reply.status_code == 403 and remote.sign and not corrected and abs(skew - remote.clock) > _SKEW_SECONDS:
            # This machine's clock is off: sign once more, by the host's.
            remote.clock, corrected = skew, True
        elif reply.status_code in _REDIRECTS and "Location" in reply.headers:
            url = _redirected(remote, url, reply.headers["Location"])
        else:
            return reply
        reply.close()
    raise SourceError(f"{shown_url(remote.url)} redirects in circles")


def _redirected(remote: Remote, url: str, location: str) -> str:
    """Where a reply of `url` leads; SourceError if nobody should go there."""
    try:
        target = urljoin(url, location)
        scheme, host, _ = _origin(target)
    except ValueError:
        raise SourceError(f"{shown_url(remote.url)} redirects to what is no URL") from None
    if scheme not in ("http", "https") or not host or (url[:6] == "https:" and scheme != "https"):
        raise SourceError(f"{shown_url(remote.url)} redirects away from https")
    return target


def _get(
    opened: requests.Session, remote: Remote, url: str, headers: Mapping[str, str], deadline: float
) -> requests.Response:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TransientError(f"{shown_url(remote.url)} was not fetched in time")
    sent = {"Accept-Encoding": "identity", "User-Agent": "dynolite", **headers}
    home = _origin(url) == _origin(remote.url)
    sign = remote.sign() if home and remote.sign else None
    if home:
        sent |= remote.headers
    if sign is not None:
        there = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=remote.clock)
        sent["x-amz-date"] = there.strftime("%Y%m%dT%H%M%SZ")
    timeout = (min(_CONNECT_SECONDS, left), min(_SILENCE_SECONDS, left))
    proxies = session.proxies(url)
    return opened.get(
        url, headers=sent, auth=sign, stream=True, allow_redirects=False, timeout=timeout, proxies=proxies
    )


def _check(reply: requests.Response, remote: Remote, fine: tuple[int, ...]) -> None:
    """Raise for any status but these."""
    status = reply.status_code
    if status in fine:
        return
    problem = f"{shown_url(remote.url)} answered {status}"
    if status in _RETRY_STATUS:
        asked = reply.headers.get("Retry-After", "")
        raise TransientError(problem, min(float(asked), 60.0) if asked.isdigit() else 0.0)
    if status == 403 and abs(_skew(reply)) > _SKEW_SECONDS:
        raise SourceError(f"{problem}: this machine's clock is {abs(_skew(reply)):.0f} s off")
    raise SourceError(problem + _HINTS.get(status, ""))


def _skew(reply: requests.Response) -> float:
    """The host's time minus ours in seconds; 0 where it does not tell."""
    try:
        there = email.utils.parsedate_to_datetime(reply.headers.get("Date", ""))
    except ValueError:
        return 0.0
    return there.timestamp() - time.time()


def _length(reply: requests.Response) -> int:
    """Content-Length, or -1."""
    value = reply.headers.get("Content-Length", "")
    return int(value) if value.isdigit() else -1


def _too_large(remote: Remote, max_bytes: int) -> ArtifactError:
    return ArtifactError(f"{shown_url(remote.url)} is larger than MODEL_MAX_BYTES, {max_bytes} bytes")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
