"""Where artifacts are published: a folder, an object store, or a web server that takes PUT. One small interface.

    store = open_store("s3://models/prod")
    body, tag = store.read("digits/index.json")
    store.replace("digits/index.json", changed, tag)        # ConflictError if somebody else was quicker

Messages name addresses without their secrets.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from tools.errors import ExportError

Tick = Callable[[int], None]
CHUNK = 1 << 20
_UNFINISHED, _STALE_SECONDS = ".publish-", 3600.0
_PLACES = {"s3": "BUCKET", "gs": "BUCKET", "az": "CONTAINER", "http": "HOST", "https": "HOST"}


class StoreError(ExportError):
    """The store refuses, cannot be reached, or is none that is known here."""


class ConflictError(StoreError):
    """Somebody else has changed the file since it was read."""


class Store(Protocol):
    """Files by relative path. Every method raises StoreError."""

    def read(self, path: str) -> tuple[bytes, str] | None:
        """A file and the tag of this state of it; None if there is none."""

    def replace(self, path: str, content: bytes, tag: str) -> None:
        """Write a small file if its state is still that of `tag` ("": it is not there); else ConflictError."""

    def upload(self, path: str, source: Path, tick: Tick) -> None:
        """Write a large file; `tick` is told the bytes of each piece."""

    def size(self, path: str) -> int | None:
        """A file's bytes; None if there is none."""

    def delete(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""

    def folders(self) -> list[str]:
        """The names of the folders at the top."""


def open_store(url: str) -> Store:
    """The store at a folder, file://, s3://, gs://, az:// or http(s):// address, with the environment's credentials."""
    scheme = urlsplit(url).scheme.lower()
    if scheme in ("", "file"):
        return Folder(Path(unquote(urlsplit(url).path)) if scheme else Path(url))
    if scheme in _PLACES and not urlsplit(url).netloc:
        place = _PLACES[scheme]
        raise StoreError(f"{scheme}:// names no {place.lower()}: expected {scheme}://{place}/PREFIX")
    if scheme in ("http", "https"):
        from tools.web_store import Web  # noqa: PLC0415 - it imports this module

        return Web(url, os.environ.get("PUBLISH_AUTH", ""))
    if scheme in ("s3", "gs", "az"):
        from tools.object_stores import ObjectStore  # noqa: PLC0415 - obstore is for those who publish there

        return ObjectStore(url)
    raise StoreError(f"{scheme}:// is no destination: a folder, s3://, gs://, az:// or https://")


class Folder:
    """A folder on a disk. Its index is replaced under a lock file, for a folder knows no conditional writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> tuple[bytes, str] | None:
        """See Store."""
        try:
            content = (self._folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{self._folder / path} cannot be read: {error.strerror}") from None
        return content, hashlib.sha256(content).hexdigest()

    def replace(self, path: str, content: bytes, tag: str) -> None:
        """See Store."""
        with self._writing(path) as target, _locked(target.parent / f".{target.name}.lock"):
            found = self.read(path)
            if (found[1] if found else "") != tag:
                raise ConflictError(f"{target} has been changed meanwhile")
            self._put(target, iter([content]))

    def upload(self, path: str, source: Path, tick: Tick) -> None:
        """See Store."""
        with self._writing(path) as target:
            self._clear(path.partition("/")[0])
            self._put(target, pieces(source, tick))

    def size(self, path: str) -> int | None:
        """See Store."""
        target = self._folder / path
        return target.stat().st_size if target.is_file() else None

    def delete(self, path: str) -> None:
        """See Store; a folder that is left empty goes too."""
        target = self._folder / path
        target.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            target.parent.rmdir()

    def folders(self) -> list[str]:
        """See Store."""
        return sorted(path.name for path in self._folder.glob("*/") if path.is_dir())

    @contextlib.contextmanager
    def _writing(self, path: str) -> Iterator[Path]:
        target = self._folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield target
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error.strerror}") from None

    def _clear(self, model: str) -> None:
        """Take away what publishers that were killed have left below a model; who still writes does so all the time."""
        for path in (self._folder / model).rglob(f"{_UNFINISHED}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()

    def _put(self, target: Path, content: Iterator[bytes]) -> None:
        """Write it whole or not at all; readable by all, for a web server may serve it."""
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=_UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in content:
                    file.write(piece)
                file.flush()
                os.fsync(descriptor)
                os.fchmod(descriptor, 0o644)
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)


class Rehearsal:
    """Reads from a store and writes into a folder: the very files that publishing would write, without touching it.

    What lies in the folder from elsewhere, say an earlier rehearsal, counts for nothing.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, Folder(folder)
        self._written: set[str] = set()

    def read(self, path: str) -> tuple[bytes, str] | None:
        """See Store."""
        return (self._folder if path in self._written else self._store).read(path)

    def replace(self, path: str, content: bytes, tag: str) -> None:
        """See Store; there is nobody to be in conflict with."""
        del tag
        found = self._folder.read(path)
        self._folder.replace(path, content, found[1] if found else "")
        self._written.add(path)

    def upload(self, path: str, source: Path, tick: Tick) -> None:
        """See Store."""
        self._folder.upload(path, source, tick)
        self._written.add(path)

    def size(self, path: str) -> int | None:
        """See Store."""
        return (self._folder if path in self._written else self._store).size(path)

    def delete(self, path: str) -> None:
        """See Store."""
        self._folder.delete(path)

    def folders(self) -> list[str]:
        """See Store."""
        return self._store.folders()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file, which is gone afterwards: only files to be served stay in the folder.

    It is removed while it is held. Who waited for it then holds a file that has no name any more, and begins again.
    """
    while True:
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                same = os.path.samestat(os.fstat(lock.fileno()), path.stat())
            except FileNotFoundError:
                same = False
            if same:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return


def pieces(source: Path, tick: Tick) -> Iterator[bytes]:
    """A file piece by piece; `tick` is told the bytes of each."""
    with source.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece
            tick(len(piece))


def without_secrets(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """A foreign library's message without what stands in queries, in user:password@, or in secret variables."""
    text = re.sub(r"\?[^\s\"'<>)]+", "?...", text)
    text = re.sub(r"//[^/\s@]+@", "//...@", text)
    for name, value in environ.items():
        if len(value) >= 8 and re.search(r"KEY|SECRET|TOKEN|SAS|PASSWORD|AUTH", name):
            text = text.replace(value, "...")
    return text
