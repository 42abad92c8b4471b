"""The HTTP client's session, for whoever fetches or publishes: what it trusts, and what it keeps to itself.

Proxies and an own certificate bundle come from their usual variables. .netrc is never read, no cookie is kept.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def new() -> requests.Session:
    """A session, to be closed; each request needs its `proxies`."""
    import http.cookiejar  # noqa: PLC0415 - see transfer._open

    import requests  # noqa: PLC0415 - see transfer._open

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            """None: `requests` looks where a redirect leads even if it is not to follow it, and may fall over that."""

    made = Session()
    made.trust_env = False  # it would lend .netrc's passwords to whatever host the model is on
    made.verify = next((os.environ[name] for name in _BUNDLES if os.environ.get(name)), True)
    # A cookie knows no port: it would go along with a redirect to another server of its host.
    made.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=()))
    return made


def proxies(url: str) -> dict[str, str]:
    """The proxies by which a URL is to be asked for."""
    import requests.utils  # noqa: PLC0415 - see transfer._open

    return requests.utils.get_environ_proxies(url, no_proxy=None)


def untrusted(error: BaseException | None) -> bool:
    """Whether it is about the host's certificate; a handshake may also break."""
    import ssl  # noqa: PLC0415 - see transfer._open

    while error and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__context__
    return error is not None


def reason(error: Any) -> str:
    """A network error in a few words: its own text holds the whole URL, and secrets with it."""
    words = {
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "it fell silent",
        "SSLError": "the TLS handshake failed",
        "ProxyError": "the proxy cannot reach it",
        "ConnectionError": "no connection",
        "ChunkedEncodingError": "the connection broke",
        "InvalidURL": "not a URL",
    }
    return words.get(type(error).__name__, type(error).__name__)
