"""Publish one artifact and say how to serve it; or verify what is published, as a server would."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from runtime import artifact, index, settings, source, trial
from runtime.errors import SourceError
from runtime.settings import shown_url
from runtime.transfer import TransientError
from tools import catalogue, stores
from tools.catalogue import CatalogueError, Published

_RETRY_SECONDS = 10.0  # somebody waits for the answer


def publish(path: Path, destination: str, console: Console, **options: Any) -> tuple[Published, str]:
    """Publish a file; what was done, and the MODEL_URL. `options`: name, version, channel, dry_run.

    Raises ArtifactError, CatalogueError, StoreError.
    """
    found = artifact.read(path)
    name = options.get("name") or found.name
    version = options.get("version") or found.version
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise CatalogueError(f"{name!r} is no model's name: letters, digits, '_', '.' and '-' (--name)")
    if found.manifest is None and not options.get("version"):
        raise CatalogueError(f"{path.name} has no manifest: say which version it is (--version 1.0.0)")
    catalogue.check_version(version)
    if found.manifest and found.manifest.version != version:
        raise CatalogueError(
            f"{path.name} says it is {found.manifest.version}: export it as {version}, or leave --version"
        )
    store = stores.open_store(destination)
    if options.get("dry_run"):
        store = stores.Rehearsal(store, options["dry_run"])
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"{name} {version}", total=found.size)
        done = catalogue.publish(
            store, found, name, version, options.get("channel"), lambda size: progress.advance(task, size)
        )
    return done, model_url(destination, name)


def model_url(destination: str, name: str) -> str:
    """What MODEL_URL is to be for a model published there; never with a password or signature in it."""
    parts = urlsplit(destination)
    scheme = parts.scheme.lower()
    if scheme in ("", "file"):
        folder = Path(unquote(parts.path)) if scheme else Path(destination)
        return str(folder.absolute() / name / "index.json")
    base = shown_url(destination).rstrip("/")
    if scheme == "az":
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "ACCOUNT")
        endpoint = os.environ.get("AZURE_STORAGE_ENDPOINT", f"https://{account}.blob.core.windows.net")
        base = f"{endpoint}/{parts.netloc}{parts.path.rstrip('/')}"
    return f"{base}/{name}/index.json"


def how_to_set(url: str, channel: str | None) -> list[str]:
    """The lines that set MODEL_URL: on Heroku, and anywhere."""
    settings_ = {"MODEL_URL": url} | ({"MODEL_VERSION": channel} if channel not in (None, "", index.LATEST) else {})
    if urlsplit(url).scheme == "s3":
        place = {name: os.environ[name] for name in ("AWS_REGION", "AWS_ENDPOINT_URL") if os.environ.get(name)}
        settings_ |= {name: shown_url(value) for name, value in place.items()}
    words = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings_.items())
    scheme = urlsplit(url).scheme
    if not scheme:
        return [f"export {words}", f"make serve MODEL={shlex.quote(url)}"]
    lines = [f"heroku config:set {words}", f"export {words}"]
    if scheme in ("s3", "gs"):
        lines.append("# beside it AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of a key that may only read")
    elif ".blob.core.windows.net/" in url:
        lines.append("# with a read-only SAS behind it, index.json?sv=..., unless the container is public")
    return lines


def show_published(done: Published, url: str, console: Console, *, rehearsed: Path | None = None) -> None:
    """Print what was done and how to set it."""
    word = "is published already" if not done.new else "would be published" if rehearsed else "published"
    console.print(
        f"{done.name} {done.version} {word}: {done.bytes:,} bytes, sha256 {done.sha256[:12]}", highlight=False
    )
    for channel in done.channels:
        console.print(f"{channel} {'would be' if rehearsed else 'is now'} {done.version}", highlight=False)
    if rehearsed:
        tree = f"what would be written is in {rehearsed / done.name}; nothing else was written"
        console.print(tree if done.changed else "nothing would change, and nothing was written", highlight=False)
        return
    console.print(f"\nMODEL_URL={url}\n", highlight=False, soft_wrap=True, markup=False)
    for line in how_to_set(url, next(iter(done.channels), index.LATEST)):
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)


def verify(url: str, version: str) -> dict[str, Any]:
    """Fetch a model as a server with this environment would, and try it; what was found.

    Raises SourceError, ArtifactError, SettingError.
    """
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            key: value for key, value in os.environ.items() if not key.startswith("MODEL_") or key == "MODEL_AUTH"
        }
        environ |= {"MODEL_URL": url, "CACHE_DIR": folder} | ({"MODEL_VERSION": version} if version else {})
        read = settings.from_env(environ)
        started = time.monotonic()
        ask = source.Ask(started + read.fetch_seconds, retry_until=started + _RETRY_SECONDS)
        try:
            found = source.fetch(read.models[0], read, ask)
        except TransientError as error:
            raise SourceError(f"{error}; given up after {time.monotonic() - started:.0f} s") from None
        fetched = time.monotonic()
        passed = trial.spawned(Path(found.path), read.trial_seconds)
        size = Path(found.path).stat().st_size
        samples = artifact.read(Path(found.path)).samples
        return {
            "url": shown_url(url),
            "version": found.version or passed.version,
            "sha256": found.sha256,
            "bytes": size,
            "samples": len(samples) if samples else 0,
            "fetch_seconds": round(fetched - started, 3),
            "trial_seconds": round(time.monotonic() - fetched, 3),
        }
