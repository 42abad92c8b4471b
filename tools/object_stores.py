"""s3://, gs:// and az:// through obstore: one library for all, with conditional writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore.store import from_url

from runtime.settings import shown_url
from tools.stores import ConflictError, StoreError, Tick, pieces, without_secrets

# Where who has no key asks for one, and is answered on the clouds' own machines only.
_METADATA = ("/latest/api/token", "/latest/meta-data/", "/metadata/identity/")
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "az": "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY",
}
_WHOLE = 32 << 20  # files up to this size go in one request


class _MissingError(StoreError):
    """There is no such object."""


class ObjectStore:
    """A bucket, container or a folder below it. See tools.stores.Store."""

    def __init__(self, url: str) -> None:
        self._url, environ = url.rstrip("/"), os.environ
        endpoint = ""
        settings: dict[str, Any] = {}
        if urlsplit(url).scheme == "s3":
            endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL", "")
            settings["region"] = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
            if endpoint:
                settings["endpoint"] = endpoint
        elif urlsplit(url).scheme == "az":
            endpoint = environ.get("AZURE_STORAGE_ENDPOINT", "")
        options: dict[str, Any] = {"retry_config": {"max_retries": 5}}
        if endpoint.startswith("http://"):
            options["client_options"] = {"allow_http": True}
        open_url: Any = from_url  # its overloads want the scheme to be known
        self._store: Any = self._try(lambda: open_url(self._url, config=settings or None, **options))

    def read(self, path: str) -> tuple[bytes, str] | None:
        """See Store."""
        try:
            found = self._try(lambda: obstore.get(self._store, path))
        except _MissingError:
            return None
        return bytes(self._try(found.bytes)), found.meta["e_tag"] or "*"

    def replace(self, path: str, content: bytes, tag: str) -> None:
        """See Store."""
        mode: Any = {"e_tag": tag} if tag else "create"
        self._try(lambda: obstore.put(self._store, path, content, mode="overwrite" if tag == "*" else mode))

    def upload(self, path: str, source: Path, tick: Tick) -> None:
        """See Store."""
        if source.stat().st_size <= _WHOLE:
            content = b"".join(pieces(source, tick))
            self._try(lambda: obstore.put(self._store, path, content))
        else:
            self._try(lambda: obstore.put(self._store, path, pieces(source, tick)))

    def size(self, path: str) -> int | None:
        """See Store."""
        try:
            return int(self._try(lambda: obstore.head(self._store, path))["size"])
        except _MissingError:
            return None

    def delete(self, path: str) -> None:
        """See Store."""
        try:
            self._try(lambda: obstore.delete(self._store, path))
        except _MissingError:
            return

    def folders(self) -> list[str]:
        """See Store."""
        found = self._try(lambda: obstore.list_with_delimiter(self._store))
        return sorted(str(prefix).rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"])

    def _try(self, work: Callable[[], Any]) -> Any:
        """Do it; obstore's errors become ours, without its long texts, in which there may be signatures."""
        shown = shown_url(self._url)
        try:
            return work()
        except FileNotFoundError:
            raise _MissingError(f"{shown}: there is no such bucket, container or file") from None
        except (exceptions.PreconditionError, exceptions.AlreadyExistsError):
            raise ConflictError(f"{shown} has been changed meanwhile") from None
        except (exceptions.UnauthenticatedError, exceptions.PermissionDeniedError):
            raise StoreError(f"{shown} refuses access: are the credentials set, and may they write?") from None
        except (exceptions.BaseError, ValueError, OSError) as error:
            keys = _KEYS.get(urlsplit(self._url).scheme)
            if keys and any(path in str(error) for path in _METADATA):
                raise StoreError(f"{shown}: there are no credentials: set {keys}") from None
            told = without_secrets(str(error), os.environ).strip().splitlines() or [type(error).__name__]
            raise StoreError(f"{shown}: {told[0][:300]}") from None
