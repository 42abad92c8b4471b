"""Publish artifacts, and say which version servers are to serve: `tools/publish.py publish ARTIFACT DEST`."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from tools import missing

    missing.tell()

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from runtime import index  # noqa: E402
from runtime.errors import DynoliteError  # noqa: E402
from runtime.settings import shown_url  # noqa: E402
from tools import catalogue, publishing, stores  # noqa: E402
from tools.catalogue import CatalogueError, MissingModelError  # noqa: E402
from tools.stores import Store, StoreError  # noqa: E402

EXAMPLES = """examples:
  .venv/bin/python tools/publish.py publish build/digits.tflite s3://my-models
  .venv/bin/python tools/publish.py publish build/digits.tflite ./published --channel canary
  .venv/bin/python tools/publish.py publish build/digits.tflite gs://my-models --dry-run ./look
  .venv/bin/python tools/publish.py list s3://my-models
  .venv/bin/python tools/publish.py list s3://my-models/digits
  .venv/bin/python tools/publish.py promote s3://my-models/digits 1.2.0
  .venv/bin/python tools/publish.py rollback s3://my-models/digits
  .venv/bin/python tools/publish.py yank s3://my-models/digits 1.1.0
  .venv/bin/python tools/publish.py prune s3://my-models/digits --keep 5
  .venv/bin/python tools/publish.py verify s3://my-models/digits/index.json

destinations: a folder or file://; s3://bucket/prefix (AWS, R2, MinIO, B2); gs://bucket/prefix;
              az://container/prefix; https://host/path, by PUT
credentials:  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL; GOOGLE_APPLICATION_CREDENTIALS;
              AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY;
              PUBLISH_AUTH for https (a token, or `Name: value`)
"""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; a wrong one ends the process with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="tools/publish.py",
        description="Publish artifacts under an index of versions, and move the channels that servers follow.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object instead of words")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, told: str, *positional: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=told, description=told, parents=[common])
        for argument in positional:
            made.add_argument(argument.lower(), metavar=argument)
        return made

    made = command("publish", "upload an artifact, list it, and move a channel to it", "ARTIFACT", "DEST")
    made.add_argument("--name", help="the model's name (default: the artifact's)")
    made.add_argument("--version", help="MAJOR.MINOR.PATCH (default: the artifact's)")
    made.add_argument(
        "--channel", help="the channel to move to it (default: latest, unless that is at a newer version)"
    )
    made.add_argument("--no-channel", action="store_const", dest="channel", const="", help="move no channel")
    made.add_argument("--dry-run", metavar="FOLDER", type=Path, help="write what would be published into a folder")
    command("list", "show the models at a destination, or the versions of one", "DEST")
    for name, told in (
        ("promote", "move a channel to a version"),
        ("rollback", "move a channel back to where it stood"),
        ("yank", "have a version never chosen by range or channel again"),
    ):
        made = command(name, told, *(("DEST",) if name == "rollback" else ("DEST", "VERSION")))
        if name != "yank":
            made.add_argument("--channel", default=index.LATEST, help="default: latest")
    made = command("prune", "remove old versions; those that channels stand at or go back to stay", "DEST")
    made.add_argument("--keep", type=_positive, required=True, metavar="N", help="how many that are not yanked stay")
    made = command("verify", "fetch as a server would, check the digest, replay the samples", "URL")
    made.add_argument("--version", default="", help="the version, channel or range to verify (default: latest)")
    return parser.parse_args(argv)


def _positive(value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError("expected a whole number from 1")
    return int(value)


def _publish(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    options = {key: getattr(args, key) for key in ("name", "version", "channel", "dry_run")}
    done, url = publishing.publish(Path(args.artifact), args.dest, console, **options)
    if not args.json:
        publishing.show_published(done, url, console, rehearsed=args.dry_run)
    keys = ("name", "version", "sha256", "bytes", "new", "channels")
    return {key: getattr(done, key) for key in keys} | {"model_url": url}


def _list(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    base, name = _split(args.dest)
    found = catalogue.load(stores.open_store(base), name) if name else None
    if found is None:
        store = stores.open_store(args.dest)
        models = [listed for folder in store.folders() if (listed := catalogue.load(store, folder))]
        if not models:
            raise CatalogueError(f"nothing is published at {shown_url(args.dest)}")
    else:
        models = [found]
    if not args.json:
        for listed in models:
            console.print(_table(listed))
    return {"models": [_listed(listed) for listed in models]}


def _promote(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    store, name = _named(args.dest)
    before = catalogue.promote(store, name, args.version, args.channel)
    if not args.json:
        console.print(f"{name}: {args.channel} is now {args.version}, was {before or 'not there'}", highlight=False)
    return {"name": name, "channel": args.channel, "version": args.version, "before": before}


def _rollback(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    store, name = _named(args.dest)
    before, now = catalogue.rollback(store, name, args.channel)
    if not args.json:
        console.print(f"{name}: {args.channel} is back at {now}, was {before}", highlight=False)
    return {"name": name, "channel": args.channel, "version": now, "before": before}


def _yank(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    store, name = _named(args.dest)
    moved = catalogue.yank(store, name, args.version)
    if not args.json:
        console.print(f"{name} {args.version} is yanked", highlight=False)
        for channel, version in moved.items():
            console.print(f"{channel} is now {version}", highlight=False)
    return {"name": name, "version": args.version, "moved": moved}


def _prune(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    store, name = _named(args.dest)
    gone = catalogue.prune(store, name, args.keep)
    if not args.json:
        console.print(f"{name}: {', '.join(gone) or 'nothing'} removed", highlight=False)
    return {"name": name, "removed": gone}


def _verify(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    told = publishing.verify(args.url, args.version)
    if not args.json:
        samples = f"{told['samples']} golden samples reproduced" if told["samples"] else "no samples; it loads and runs"
        console.print(
            f"{told['url']}: {told['version']}, {told['bytes']:,} bytes, digest right, {samples}", highlight=False
        )
    return told


_COMMANDS = {
    "publish": _publish,
    "list": _list,
    "promote": _promote,
    "rollback": _rollback,
    "yank": _yank,
    "prune": _prune,
    "verify": _verify,
}


def _split(destination: str) -> tuple[str, str]:
    """DEST/NAME as the destination and the name ("" of a bucket alone); a query stays with the destination."""
    address, mark, query = destination.partition("?")
    base, _, name = address.rstrip("/").removesuffix("/index.json").rpartition("/")
    if base.endswith((":", ":/")) or address.endswith("://"):
        return destination, ""
    return (base or ("/" if address.startswith("/") else ".")) + mark + query, name


def _named(destination: str) -> tuple[Store, str]:
    """The store and the model that DEST/NAME means."""
    base, name = _split(destination)
    store = stores.open_store(base)
    if not name:
        raise CatalogueError(f"{shown_url(destination)} names no model: expected {shown_url(destination)}/NAME")
    return store, name


def _there_is(destination: str) -> str:
    """Which models a DEST/NAME without a model may have meant: those below it, else those beside it; "" for none."""
    for place in (destination, _split(destination)[0]):
        found = []
        with contextlib.suppress(StoreError):
            store = stores.open_store(place)
            for folder in store.folders():
                with contextlib.suppress(CatalogueError):
                    found += [folder] if catalogue.load(store, folder) else []
        if found:
            return "; published: " + ", ".join(f"{shown_url(place).rstrip('/')}/{name}" for name in found[:5])
    return ""


def _table(listed: index.Index) -> Table:
    table = Table(title=listed.name, title_justify="left")
    for column in ("version", "serial", "channels", "bytes", "quantization", "created", "sha256"):
        table.add_column(column, justify="right" if column in ("serial", "bytes") else "left")
    for version in sorted(listed.versions, key=index.order, reverse=True):
        item = listed.versions[version]
        where = "yanked" if item.yanked else ", ".join(listed.channels_of(version))
        table.add_row(
            version, str(item.serial), where, f"{item.bytes:,}", item.quantization, item.created, item.sha256[:12]
        )
    return table


def _listed(listed: index.Index) -> dict[str, Any]:
    versions = {
        version: {"serial": item.serial, "sha256": item.sha256, "bytes": item.bytes, "yanked": item.yanked}
        for version, item in listed.versions.items()
    }
    channels = {name: channel.version for name, channel in listed.channels.items()}
    return {"name": listed.name, "versions": versions, "channels": channels}


def main(argv: Sequence[str]) -> int:
    """Run one command; 0 done, 1 refused (nothing is half published), 2 wrong command line."""
    args = parse_args(argv)
    console = Console(stderr=args.json)
    if not console.is_terminal:
        console = Console(stderr=args.json, width=160)
    try:
        told = _COMMANDS[args.command](args, console)
    except DynoliteError as error:
        hint = _there_is(args.dest) if isinstance(error, MissingModelError) else ""
        print(f"publish: {error}{hint}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(told, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
