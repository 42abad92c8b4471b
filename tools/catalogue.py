"""What can be done to a published model: publish a version, move a channel, yank, prune. Each rewrites its index.json.

The index is rewritten with compare-and-swap: read, change, write if nobody else has written meanwhile, else again.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runtime import artifact, index
from runtime.errors import SourceError
from runtime.index import Index
from tools.errors import ExportError
from tools.stores import ConflictError, Store, StoreError, Tick

Document = dict[str, Any]
_PATIENCE = 60.0  # seconds for one rewrite among many that publish at once


class CatalogueError(ExportError):
    """What was asked for does not go with what is published."""


class MissingModelError(CatalogueError):
    """There is no model of that name."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication did: `new` is False where the very file was there; `channels` are those that moved to it.

    `changed` is False where nothing had to be written.
    """

    name: str
    version: str
    path: str
    sha256: str
    bytes: int
    new: bool
    changed: bool
    channels: tuple[str, ...]


def publish(
    store: Store, found: artifact.Artifact, name: str, version: str, channel: str | None, tick: Tick
) -> Published:
    """Upload an artifact and list it. `channel`: which one moves to it ("": none; None: latest, but only forward).

    Raises CatalogueError if the version exists with another content or is yanked, StoreError.
    """
    check_version(version)
    url = f"{version}/{name}-{found.digest[:12]}.tflite"
    known = _read(store, name)[0]["versions"].get(version)
    if known:
        _check_same(name, version, found, known)
    path = f"{name}/{url}"
    missing = store.size(path) != found.size
    if missing:
        _upload(store, path, found, tick)
    entry = {"url": url, "sha256": found.digest, "bytes": found.size, "created": _now()}
    if found.manifest:
        entry["quantization"] = found.manifest.quantization
        entry["proven_on"] = [{"interpreter": p.interpreter, "version": p.version} for p in found.manifest.proven_on]
    moved: list[str] = []

    def change(document: Document) -> None:
        moved.clear()
        versions = document["versions"]
        there = versions.get(version)
        if there:
            _check_same(name, version, found, there)
        else:
            versions[version] = entry | {"serial": max((item["serial"] for item in versions.values()), default=0) + 1}
        target = index.LATEST if channel is None else channel
        if target and (channel or _is_forward(document, target, version)) and _move(document, target, version):
            moved.append(target)

    _rewrite(store, name, change, holds=lambda document: version in document["versions"])
    if store.size(path) is None:  # somebody has pruned it just before it was listed again
        _upload(store, path, found, tick)
    changed = missing or known is None or bool(moved)
    return Published(name, version, path, found.digest, found.size, known is None, changed, tuple(moved))


def check_version(version: str) -> None:
    """Raise CatalogueError for what is no version."""
    if not index.EXACT.fullmatch(version):
        raise CatalogueError(f"{version!r} is no version: expected MAJOR.MINOR.PATCH (--version)")


def promote(store: Store, name: str, version: str, channel: str) -> str:
    """Move a channel to a version; the one where it stood before ("": none). Raises CatalogueError, StoreError."""
    if not index.CHANNEL.fullmatch(channel):
        raise CatalogueError(f"{channel!r} is no name of a channel: lower-case letters, digits, '-' and '_'")
    before = [""]

    def change(document: Document) -> None:
        entry = _version(document, version)
        if entry.get("yanked"):
            raise _is_yanked(name, version)
        before[0] = document["channels"].get(channel, {}).get("version", "")
        _move(document, channel, version)

    _rewrite(store, name, change, must_exist=True)
    return before[0]


def rollback(store: Store, name: str, channel: str) -> tuple[str, str]:
    """Move a channel back to where it stood before; (from, to). Raises CatalogueError, StoreError."""
    moved = ["", ""]

    def change(document: Document) -> None:
        stands = document["channels"].get(channel)
        if stands is None:
            raise CatalogueError(f"{name} has no channel {channel!r}")
        target = stands.get("previous", "")
        if not target or _version(document, target).get("yanked"):
            raise CatalogueError(f"{name}: nothing to go back to on {channel!r}; promote a version by its number")
        moved[:] = [stands["version"], target]
        _move(document, channel, target)

    _rewrite(store, name, change, must_exist=True)
    return moved[0], moved[1]


def yank(store: Store, name: str, version: str) -> dict[str, str]:
    """Have a version never chosen by range or channel again; the channels that stood there, with where they go now.

    Each goes back to its previous version, or to the newest that is not yanked. Raises CatalogueError, StoreError.
    """
    moved: dict[str, str] = {}

    def change(document: Document) -> None:
        moved.clear()
        _version(document, version)["yanked"] = True
        good = [key for key, item in document["versions"].items() if not item.get("yanked")]
        for channel, stands in document["channels"].items():
            if stands["version"] != version:
                continue
            if not good:
                raise CatalogueError(f"{name} has no other version for {channel!r}: publish one first")
            back = stands.get("previous", "")
            moved[channel] = back if back in good else max(good, key=index.order)
            _move(document, channel, moved[channel])

    _rewrite(store, name, change, must_exist=True)
    return moved


def prune(store: Store, name: str, keep: int) -> list[str]:
    """Take away what is older than the `keep` newest versions that are not yanked; what went.

    Those that channels stand at or go back to stay. The index goes first: nobody is sent to a file that is gone.
    Raises CatalogueError, StoreError.
    """
    gone: dict[str, str] = {}

    def change(document: Document) -> None:
        gone.clear()
        kept = {
            stands[key] for stands in document["channels"].values() for key in ("version", "previous") if key in stands
        }
        versions = document["versions"]
        usable = sorted((key for key, item in versions.items() if not item.get("yanked")), key=index.order)[-keep:]
        kept |= {version for version in versions if not usable or index.order(version) >= index.order(usable[0])}
        for version in sorted(set(versions) - kept, key=index.order):
            gone[version] = versions.pop(version)["url"]

    _rewrite(store, name, change, must_exist=True)
    listed = {item["url"] for item in _read(store, name)[0]["versions"].values()}  # perhaps published again by now
    for url in set(gone.values()) - listed:
        store.delete(f"{name}/{url}")
    return list(gone)


def _upload(store: Store, path: str, found: artifact.Artifact, tick: Tick) -> None:
    store.upload(path, found.path, tick)
    if store.size(path) is None:
        raise StoreError(f"{path} was uploaded without an error, but it is not there: does this host keep files?")


def load(store: Store, name: str) -> Index | None:
    """The index of a model; None if there is none. Raises CatalogueError, StoreError."""
    found = store.read(_path(name))
    return _parse(name, found[0]) if found else None


def _rewrite(
    store: Store,
    name: str,
    change: Callable[[Document], None],
    *,
    must_exist: bool = False,
    holds: Callable[[Document], bool] = lambda _: True,
) -> None:
    """Apply `change` to the index until it is written. `holds` tells afterwards whether it is still there.

    A store that ignores conditions could lose it to somebody who wrote at the same moment.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        document, tag, before = _read(store, name, must_exist=must_exist)
        change(document)
        content = json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
        try:
            if content != before:
                _parse(name, content)  # never write what servers would refuse
                store.replace(_path(name), content, tag)
            if holds(_read(store, name)[0]):
                return
        except ConflictError:
            pass
        if time.monotonic() > deadline:
            raise StoreError(f"the index of {name} changes all the time: try again")
        time.sleep(random.uniform(0.02, 0.4))  # noqa: S311


def _read(store: Store, name: str, *, must_exist: bool = False) -> tuple[Document, str, bytes]:
    found = store.read(_path(name))
    if found is None:
        if must_exist:
            raise MissingModelError(f"there is no model {name!r} (no {_path(name)})")
        return {"format": index.FORMAT, "name": name, "versions": {}, "channels": {}}, "", b""
    _parse(name, found[0])
    document: Document = json.loads(found[0])
    return document, found[1], found[0]


def _parse(name: str, content: bytes) -> Index:
    try:
        found = index.loads(content)
    except SourceError as error:
        raise CatalogueError(f"{_path(name)}: {error}") from None
    if found.name != name:
        raise CatalogueError(f"{_path(name)} is the index of another model, {found.name!r}")
    return found


def _move(document: Document, channel: str, version: str) -> bool:
    """Set a channel; False if it stands there already."""
    stands = document["channels"].get(channel, {})
    if stands.get("version") == version:
        return False
    moved = {**stands, "version": version, "when": _now()}
    if "version" in stands:
        moved["previous"] = stands["version"]
    document["channels"][channel] = moved
    return True


def _is_forward(document: Document, channel: str, version: str) -> bool:
    stands = document["channels"].get(channel)
    return stands is None or index.order(version) > index.order(stands["version"])


def _version(document: Document, version: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = document["versions"][version]
    except KeyError:
        raise CatalogueError(f"{document['name']} has no version {version!r}") from None
    return found


def _check_same(name: str, version: str, found: artifact.Artifact, there: Mapping[str, Any]) -> None:
    """CatalogueError if what is listed under a version is another file, or one that was taken out of use."""
    if there["sha256"] != found.digest:
        raise CatalogueError(
            f"{name} {version} is published already, with other content (SHA-256 {there['sha256'][:12]}...):"
            " raise the version"
        )
    if there.get("yanked"):
        raise _is_yanked(name, version)


def _is_yanked(name: str, version: str) -> CatalogueError:
    return CatalogueError(f"{name} {version} is yanked: publish a version that replaces it")


def _path(name: str) -> str:
    return f"{name}/index.json"


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
