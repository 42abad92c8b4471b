"""A file that is being fetched: what has come so far, its running digest, and whether a broken transfer may go on."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from runtime.errors import SourceError

_CHUNK = 1 << 20


class Part:
    """A partial file at `path`, a context manager.

    With `sha256` known, what an earlier process left there is gone on with. Without it a transfer goes on only under a
    strong ETag: two halves of different files would pass for one.
    """

    def __init__(self, path: Path, sha256: str = "") -> None:
        self.path, self.sha256 = path, sha256
        self.etag = ""
        self.done = 0
        self.resumed = False
        self._hash = hashlib.sha256()

    def __enter__(self) -> Part:
        try:
            self._file = self.path.open("a+b" if self.sha256 else "w+b")
            self._file.seek(0)
            while chunk := self._file.read(_CHUNK):
                self._hash.update(chunk)
                self.done += len(chunk)
        except OSError as error:
            raise unwritable(self.path, error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def range_headers(self) -> dict[str, str]:
        """The request headers that ask for the rest; empty when all is to be sent."""
        strong = self.etag if self.etag.startswith('"') else ""
        if not self.done or not (strong or self.sha256):
            return {}
        return {"Range": f"bytes={self.done}-"} | ({"If-Range": strong} if strong else {})

    def goes_on(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether a reply's body continues this file (or begins it)."""
        if status == 200:
            return self.done == 0
        start = headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        same = not self.etag or headers.get("ETag", self.etag) == self.etag
        self.resumed = start == str(self.done) and same
        return self.resumed

    def write(self, chunk: bytes) -> None:
        """Add what came."""
        try:
            self._file.write(chunk)
        except OSError as error:
            raise unwritable(self.path, error) from None
        self._hash.update(chunk)
        self.done += len(chunk)

    def restart(self) -> None:
        """Forget all that came."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.done, self.etag, self.resumed = 0, "", False

    def digest(self) -> str:
        """SHA-256 in hex of all that came, which is on the disk from now on."""
        try:
            self._file.flush()
        except OSError as error:
            raise unwritable(self.path, error) from None
        return self._hash.hexdigest()


def unwritable(path: Path, error: OSError) -> SourceError:
    """What a failed write means to the operator."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SourceError(f"the disk is full: {path.parent} cannot take the model (CACHE_DIR, CACHE_MAX_BYTES)")
    return SourceError(f"{path.parent} cannot be written: {error.strerror} (CACHE_DIR)")
