"""https:// as a destination: a web server that takes PUT."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import requests

from runtime import casters, session
from runtime.settings import shown_url
from tools.stores import ConflictError, StoreError, Tick


class _Body:
    """A file as a request's body. It tells its length, so that it is not sent in chunks, which many hosts refuse."""

    def __init__(self, file: IO[bytes], tick: Tick) -> None:
        self._file, self._size, self._tick = file, os.fstat(file.fileno()).st_size, tick

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """The next bytes; `tick` is told how many."""
        piece = self._file.read(size)
        self._tick(len(piece))
        return piece


class Web:
    """A web server that takes PUT and answers GET, HEAD and DELETE; ETags guard the index where it knows them."""

    def __init__(self, url: str, auth: str) -> None:
        parts = urlsplit(url)
        self._base, self._query = parts._replace(query="", fragment="").geturl().rstrip("/"), parts.query
        self._session = session.new()
        self._session.headers["Accept-Encoding"] = "identity"
        if auth:
            try:
                self._session.headers.update(casters.auth(auth))
            except ValueError as error:
                raise StoreError(f"PUBLISH_AUTH: {error}") from None

    def read(self, path: str) -> tuple[bytes, str] | None:
        """See Store."""
        reply = self._ask("GET", path, fine=(200, 404))
        return None if reply.status_code == 404 else (reply.content, reply.headers.get("ETag", "*"))

    def replace(self, path: str, content: bytes, tag: str) -> None:
        """See Store."""
        condition = {"If-Match": tag} if tag not in ("", "*") else {} if tag else {"If-None-Match": "*"}
        reply = self._ask("PUT", path, data=content, headers=condition, fine=(200, 201, 204, 409, 412))
        if reply.status_code in (409, 412):
            raise ConflictError(f"{self._shown(path)} has been changed meanwhile")

    def upload(self, path: str, source: Path, tick: Tick) -> None:
        """See Store."""
        with source.open("rb") as file:
            self._ask("PUT", path, data=_Body(file, tick), fine=(200, 201, 204))

    def size(self, path: str) -> int | None:
        """See Store."""
        reply = self._ask("HEAD", path, fine=(200, 404))
        return None if reply.status_code == 404 else int(reply.headers.get("Content-Length", "-1"))

    def delete(self, path: str) -> None:
        """See Store."""
        self._ask("DELETE", path, fine=(200, 202, 204, 404))

    def folders(self) -> list[str]:
        """A web server does not tell them."""
        raise StoreError(f"{self._shown('')} cannot be listed: name the model, {self._shown('NAME')}")

    def _ask(
        self,
        method: str,
        path: str,
        fine: tuple[int, ...],
        data: bytes | _Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        url = f"{self._base}/{path}" + (f"?{self._query}" if self._query else "")
        options: Any = {"timeout": (10, 300), "allow_redirects": False, "proxies": session.proxies(url)}
        try:
            reply = self._session.request(method, url, data=data, headers=headers, **options)
        except requests.RequestException as error:
            told = "its TLS certificate is not trusted" if session.untrusted(error) else session.reason(error)
            raise StoreError(f"{self._shown(path)}: {told}") from None
        if reply.status_code not in fine:
            hint = " (PUBLISH_AUTH)" if reply.status_code in (401, 403) else ""
            raise StoreError(f"{self._shown(path)} answered {reply.status_code} to {method}{hint}")
        return reply

    def _shown(self, path: str) -> str:
        return shown_url(f"{self._base}/{path}")
