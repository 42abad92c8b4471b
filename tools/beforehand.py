"""What an export is refused for before any work: options that do not go together, places that cannot be written."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tools import model_files, packing
from tools.candidates import NEED_DATA
from tools.errors import ConvertError, DataError, ExportError
from tools.options import AUTO


def check(arguments: argparse.Namespace) -> None:
    """Raise the ExportError that the export would end with otherwise, minutes later."""
    check_places(arguments)
    if arguments.labels:
        packing.label_lines(arguments.labels)
    if is_tflite(arguments):
        _check_tflite(arguments)
    elif arguments.quantize in NEED_DATA and not arguments.data:
        raise DataError(
            f"--quantize {arguments.quantize} needs real samples, to learn how large the activations become: give "
            "about 100 rows with --data, or choose dynamic or float16, which need none"
        )


def check_places(arguments: argparse.Namespace) -> None:
    """ExportError where --out or --report cannot be written."""
    if arguments.out:
        folder: Path = arguments.out
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            whose = "is a file" if there == folder else f"cannot be made, {there} is a file"
            raise ExportError(
                f"--out {folder} {whose}: give the folder for the artifact; its file is named by --name, NAME.tflite"
            )
        if not os.access(there, os.W_OK | os.X_OK):
            raise ExportError(f"--out {folder}: {there} may not be written to")
    report: Path | None = arguments.report
    if report and (report.is_dir() or not report.parent.is_dir()):
        why = "is a folder" if report.is_dir() else f"there is no folder {report.parent}"
        raise ExportError(f"--report {report}: {why}: give the name of a file in a folder that is there")


def is_tflite(arguments: argparse.Namespace) -> bool:
    """Whether the model is a .tflite file, which is packed as it is. Raises SourceFileError where it is no model."""
    return bool(arguments.model) and model_files.identify(Path(arguments.model)).kind == model_files.TFLITE


def _check_tflite(arguments: argparse.Namespace) -> None:
    """A .tflite file is neither converted nor changed: refuse what would be passed over."""
    name = Path(arguments.model).name
    if arguments.quantize != AUTO:
        raise ConvertError(
            f"--quantize {arguments.quantize}: {name} is a .tflite file, which is packed as it is and cannot be "
            "quantized again: export the Keras model that it was made from"
        )
    for option, value in (("--input-name", arguments.input_name), ("--output-name", arguments.output_name)):
        if value:
            raise DataError(
                f"{option} {value[0]}: {name} is a .tflite file, whose names stay as they are: "
                "export the Keras model that it was made from"
            )
