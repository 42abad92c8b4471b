"""The folder of fetched models. Every file lies under its own digest; nothing unverified ever gets such a name.

    <sha256>.tflite     a model file
    <key>.part          a transfer under way or broken off
    <key>.json          what is known of a URL: its ETag and the digest (or, for an index, the body) that came with it
    <key>.good          the last version of a model that was served
    <key>.lock          held by the one process that fetches

A key is a digest of the URL.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runtime.errors import SourceError
from runtime.part import unwritable

LOG = logging.getLogger("dynolite")
_STALE_SECONDS = 24 * 3600.0  # a broken transfer that nobody went on with


class Cache:
    """A folder that keeps at most `max_bytes` of models beside those that are served. `also` is only read."""

    def __init__(self, folder: Path, max_bytes: int, also: tuple[Path, ...] = ()) -> None:
        self.folder, self.max_bytes, self._also = folder, max_bytes, also

    def find(self, sha256: str) -> Path | None:
        """The file of that digest, checked; a damaged one is taken away."""
        for folder in (self.folder, *self._also):
            path = folder / f"{sha256}.tflite"
            with contextlib.suppress(OSError), path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() == sha256:
                    with contextlib.suppress(OSError):
                        os.utime(path)
                    return path
                path.unlink()
        return None

    def add(self, part: Path, sha256: str, keep: frozenset[str] = frozenset()) -> Path:
        """Give a whole and checked file its name, in one step; those under the digests `keep` make no room for it."""
        path = self.folder / f"{sha256}.tflite"
        try:
            part.replace(path)
        except OSError as error:
            raise unwritable(path, error) from None
        self._tidy(keep | {sha256})
        return path

    def note(self, key: str, kind: str = "json") -> dict[str, Any]:
        """The note under that key; empty when there is none."""
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self.folder / f"{key}.{kind}").read_text("utf-8"))
            if isinstance(found, dict):
                return found
        return {}

    def write_note(self, key: str, note: Mapping[str, Any], kind: str = "json") -> None:
        """Keep a note; it is a convenience, so a full disk is no error."""
        path = self.folder / f"{key}.{kind}"
        new = path.with_name(f".{path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            new.write_text(json.dumps(note), "utf-8")
            new.replace(path)
        new.unlink(missing_ok=True)

    @contextlib.contextmanager
    def one_at_a_time(self, key: str, deadline: float) -> Iterator[None]:
        """One fetch of a URL per machine, however many processes want it."""
        try:
            lock = (self.folder / f"{key}.lock").open("w")
        except OSError as error:
            raise unwritable(self.folder / key, error) from None
        with lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise SourceError("another process is still fetching the model") from None
                    time.sleep(0.05)
            yield

    def _tidy(self, keep: frozenset[str]) -> None:
        """Remove the models used longest ago until the rest fits, never one that was served last."""
        keep = keep | {self.note(path.stem, "good").get("sha256", "") for path in self.folder.glob("*.good")}
        with contextlib.suppress(OSError):
            for path in self.folder.glob("*.part"):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
            files = sorted(((path, path.stat()) for path in self.folder.glob("*.tflite")), key=lambda f: f[1].st_mtime)
            excess = sum(found.st_size for _, found in files) - self.max_bytes
            for path, found in files:
                if excess > 0 and path.stem not in keep:
                    path.unlink()
                    excess -= found.st_size


def key_of(url: str) -> str:
    """What a URL's files in the cache are called."""
    return hashlib.sha256(url.encode()).hexdigest()[:24]


def prepare(folder: Path, max_bytes: int) -> Cache:
    """The cache in `folder`, or, where that cannot be written, in the temporary folder. SourceError if neither can."""
    spare = Path(tempfile.gettempdir()) / f"dynolite-{os.getuid()}"
    problem = _problem(folder)
    if not problem:
        return Cache(folder, max_bytes)
    if folder != spare and not _problem(spare):
        LOG.warning("CACHE_DIR cannot be used (%s): models are kept in %s instead", problem, spare)
        return Cache(spare, max_bytes, (folder,))
    raise SourceError(f"{folder} cannot be used: {problem} (CACHE_DIR)")


def _problem(folder: Path) -> str:
    """Why a folder cannot hold the cache, or ""."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid not in (os.geteuid(), 0):
            return "it belongs to another user"
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__
