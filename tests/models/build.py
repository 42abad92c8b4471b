"""Make the .tflite files of this folder anew, with TensorFlow's converter. Tests read the files only.

    python tests/models/build.py                 all of them (half a minute)
    python tests/models/build.py mlp crasher   some of them

Weights are seeded, so a file changes only when its case, TensorFlow or the artifact format does.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from tests.models import damaged_cases, graph_cases, keras_cases

FOLDER = Path(__file__).resolve().parent


def build(name: str) -> bytes:
    """The bytes of one model file; those made of another file's bytes read it from this folder."""
    keras.utils.set_random_seed(7)
    if name in damaged_cases.CASES:
        case, base = damaged_cases.CASES[name]
        return case((FOLDER / f"{base}.tflite").read_bytes())
    return (keras_cases.CASES | graph_cases.CASES)[name]()


def parse_args(argv: list[str]) -> argparse.Namespace:
    """The models to make."""
    names = [*keras_cases.CASES, *graph_cases.CASES, *damaged_cases.CASES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(names)}")
    args = parser.parse_args(argv)
    unknown = sorted(set(args.names) - set(names))
    if unknown:
        parser.error(f"no such model: {', '.join(unknown)}")
    args.names = [name for name in names if not args.names or name in args.names]
    return args


def main(argv: list[str]) -> int:
    """Make the files, telling each one's size as it is done; the artifacts always."""
    for name in parse_args(argv).names:
        content = build(name)
        (FOLDER / f"{name}.tflite").write_bytes(content)
        print(f"{name:18} {len(content):7,} bytes", flush=True)
    subprocess.run([sys.executable, str(FOLDER / "packed_cases.py")], check=True)
    total = sum(path.stat().st_size for path in FOLDER.glob("*.tflite"))
    print(f"{'in all':18} {total:7,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
