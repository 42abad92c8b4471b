"""Make API keys, and the digests that API_KEYS takes instead of keys.

.venv/bin/python tools/keys.py web phone             two new keys, as values for API_KEYS and for their users
.venv/bin/python tools/keys.py --hash < key.txt      the digest of a key that this command once made
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from runtime.access import GENERATED

_EPILOG = """\
examples:
  .venv/bin/python tools/keys.py web phone
      Prints a key for each name, and one line to set:
      API_KEYS=web:sha256:...,phone:sha256:...
      The server then holds digests only: keep the keys themselves where those who ask keep their secrets.
  .venv/bin/python tools/keys.py admin --json
      {"keys": [{"name": "admin", "key": "dyn_...", "sha256": "..."}], "setting": "admin:sha256:..."}
  .venv/bin/python tools/keys.py web --hash < key.txt
      Prints web:sha256:... for the key on standard input.
"""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="keys.py",
        description="Make API keys, and the digests that API_KEYS and ADMIN_KEY take instead of keys.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", default=["web"], metavar="NAME", help="who will use the key; default: web")
    parser.add_argument("--hash", action="store_true", help="read a key from standard input instead of making one")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    for name in args.names:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
            parser.error(f"a name has letters, digits, '_', '.' and '-', got {name!r}")
    if len(set(args.names)) < len(args.names):
        parser.error("every key needs a name of its own")
    if args.hash and len(args.names) > 1:
        parser.error("--hash takes one name")
    return args


def new_key() -> str:
    """A key that no one guesses: 32 random bytes."""
    return f"dyn_{secrets.token_urlsafe(32)}"


def digest_of(key: str) -> str:
    """The SHA-256 of a key, in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def main(argv: Sequence[str]) -> int:
    """Print the keys, or the digest of one."""
    args = parse_args(argv)
    if args.hash:
        key = sys.stdin.readline().strip()
        if not key:
            sys.stderr.write("keys.py: nothing was given: --hash reads a key from the first line of standard input.\n")
            return 2
        if not GENERATED.fullmatch(key):
            sys.stderr.write(
                "keys.py: this is no key that keys.py has made. SHA-256 is too quick for one of your own:\n"
                "keys.py: make one with `.venv/bin/python tools/keys.py NAME`, or put the key itself into API_KEYS.\n"
            )
            return 2
        made = {args.names[0]: key}
    else:
        made = {name: new_key() for name in args.names}
    setting = ",".join(f"{name}:sha256:{digest_of(key)}" for name, key in made.items())
    if args.json:
        keys = [{"name": name, "key": key, "sha256": digest_of(key)} for name, key in made.items()]
        print(json.dumps({"keys": keys, "setting": setting}, indent=2))
    elif args.hash:
        print(setting)
    else:
        for name, key in made.items():
            print(f"{name}: {key}")
        print(f"\nSet on the server:\nAPI_KEYS={setting}")
        print("\nThe keys are shown this once. Clients send them as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
