"""The command line of tools/export.py."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from tools.candidates import MODES
from tools.selection import PREFERENCES, Limits
from tools.targets import TARGETS

AUTO = "auto"
EXAMPLES = """examples:
  .venv/bin/python tools/export.py model.keras
  .venv/bin/python tools/export.py model.keras --data samples.npz --labels labels.txt
  .venv/bin/python tools/export.py model.h5 --data photos/ --normalize imagenet --report report.html
  .venv/bin/python tools/export.py --architecture model.json --weights model.weights.h5
  .venv/bin/python tools/export.py --architecture my_model:build --weights weights.h5 --trust
  .venv/bin/python tools/export.py model.keras --quantize int8 --data samples.npy --target litert
  .venv/bin/python tools/export.py other.tflite --name other --version 2.0.0
  .venv/bin/python tools/export.py --reprove build/model.tflite --target litert

exit codes: 0 written, and published where that was asked for;
            1 refused, nothing written; or written, but not published, as the message then says;
            2 wrong command line;
            3 the target interpreter cannot be had here, nothing written (--allow-unproven);
            130 interrupted by Ctrl-C or SIGTERM: nothing written, or not published where --publish had begun
"""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; a wrong one ends the process with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="tools/export.py",
        description="Make a proven .tflite artifact of a Keras model: convert it in every mode that can work, "
        "run each in the production interpreter, compare with Keras, pack the best.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_source(parser)
    _add_choice(parser)
    _add_data(parser)
    _add_meaning(parser)
    _add_run(parser)
    arguments = parser.parse_args(_joined(argv))
    given = [arguments.model, arguments.architecture, arguments.reprove]
    if sum(item is not None for item in given) != 1:
        parser.error("give one of: a model file, --architecture, --reprove")
    return arguments


def _joined(argv: Sequence[str]) -> list[str]:
    """The words, with `--normalize -1..1` as one: argparse takes what begins with a dash for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] == "--normalize" and re.match(r"-[\d.]", word):
            joined[-1] = f"--normalize={word}"
        else:
            joined.append(word)
    return joined


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the model")
    group.add_argument("model", nargs="?", help=".keras, .h5/.hdf5, a SavedModel folder, or a .tflite to pack")
    group.add_argument("--architecture", help="architecture JSON, or module:function that returns the model")
    group.add_argument("--weights", type=Path, help="the weights that belong to --architecture")
    group.add_argument("--custom-objects", metavar="MODULE", help="a Python module with the model's own classes")
    group.add_argument("--trust", action="store_true", help="run Python code that the file carries (Lambda)")
    group.add_argument("--reprove", type=Path, metavar="ARTIFACT", help="prove an artifact on another --target too")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    limits = Limits()
    group = parser.add_argument_group("the choice")
    group.add_argument(
        "--quantize",
        choices=[AUTO, *MODES],
        default=AUTO,
        help="how weights and activations are stored; auto measures and chooses; int8 and int16x8 need --data; "
        "not for a .tflite file (%(default)s)",
    )
    group.add_argument("--prefer", choices=PREFERENCES, default="speed", help="what auto looks for (%(default)s)")
    group.add_argument(
        "--max-accuracy-drop",
        type=float,
        default=limits.accuracy_drop,
        metavar="X",
        help="how much worse auto may become than Keras, where the data has targets (%(default)s)",
    )
    group.add_argument(
        "--min-sqnr",
        type=float,
        default=limits.sqnr_db,
        metavar="DB",
        help="how near to Keras auto must stay otherwise, in dB (%(default)s)",
    )
    group.add_argument("--target", choices=[*TARGETS, "both"], default="", help="where it must run (runtime.txt's)")
    group.add_argument("--allow-unproven", action="store_true", help="write it though a target cannot be had here")


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sample data")
    group.add_argument("--data", help=".npy, .npz, .csv, .parquet, a folder of images, or module:function")
    group.add_argument("--target-column", default="", metavar="NAME", help="the column with the right answers")
    group.add_argument(
        "--normalize",
        default="",
        metavar="HOW",
        help="pixels of pictures to inputs: none, 0..1, -1..1, imagenet, or SCALE/MEAN/STD",
    )
    group.add_argument("--limit", type=_positive, default=1000, metavar="N", help="rows used at most (%(default)s)")


def _add_meaning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what it means")
    group.add_argument("--labels", type=Path, help="a text file, one label a line")
    group.add_argument("--feature-names", type=_names, default=(), metavar="A,B,C", help="the input's columns")
    group.add_argument("--activation", choices=["softmax", "sigmoid", "none"], help="the last layer's, if not found")
    for way in ("input", "output"):
        group.add_argument(
            f"--{way}-name", action="append", default=[], metavar="[OLD=]NEW", help=f"another name for an {way}"
        )
    group.add_argument("--name", type=_name, help="the model's name (the file's, or a given artifact's own)")
    group.add_argument("--version", type=_version, help="MAJOR.MINOR.PATCH (1.0.0, or a given artifact's own)")


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the run")
    group.add_argument("--out", type=Path, help="the folder for NAME.tflite (build)")
    group.add_argument("--publish", metavar="DEST", help="then publish it, as tools/publish.py does")
    group.add_argument("--report", type=Path, metavar="FILE.html", help="write a page with tables and pictures")
    group.add_argument("--json", action="store_true", help="print the report as JSON")
    group.add_argument("--timeout", type=_positive, default=900, metavar="S", help="seconds for a step (%(default)s)")
    group.add_argument("--memory", type=float, default=0, metavar="GB", help="limit for a step (none)")


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", text):
        raise argparse.ArgumentTypeError("letters, digits, . _ and - only, at most 64")
    return text


def _version(text: str) -> str:
    if not re.fullmatch(r"\d+\.\d+\.\d+", text):
        raise argparse.ArgumentTypeError("expected MAJOR.MINOR.PATCH, such as 1.0.0")
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if "" in names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError("expected different names with commas between them")
    return names


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError("expected a positive whole number")
    return int(text)
