"""What kind of model file is this? Told by its content, never by its name alone; no TensorFlow.

.keras (a ZIP) | HDF5 | SavedModel folder | .tflite | architecture JSON | module:function
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.errors import SourceFileError

KERAS, HDF5, SAVED_MODEL, TFLITE, PARTS = "keras", "hdf5", "saved_model", "tflite", "parts"
_CODE_LAYERS = {"Lambda"}


@dataclass(frozen=True)
class ModelFile:
    """A model as it lies on the disk: its kind, the Keras that wrote it, and its configuration.

    `config` is the architecture as Keras wrote it (empty for a SavedModel); for `parts` the
    architecture is `config` or `factory` (module:function), and `weights` the file beside it.
    """

    kind: str
    path: Path
    keras_version: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    factory: str = ""
    weights: Path | None = None

    @property
    def generation(self) -> int:
        """3 for Keras 3; 2 for everything older; 0 where the file does not tell."""
        if not self.keras_version:
            return 0
        return 3 if int(self.keras_version.split(".")[0]) >= 3 else 2

    def code_layers(self) -> list[str]:
        """The names of layers that carry code in the file."""
        return sorted(set(_code_layers(self.config)))


def identify(path: Path) -> ModelFile:
    """Look into a model file or folder; SourceFileError says what it is when it is no model."""
    if not path.exists():
        raise SourceFileError(f"{path} is not there")
    if path.is_dir():
        return _folder(path)
    with path.open("rb") as stream:
        front = stream.read(16)
    if front[4:8] == b"TFL3":
        return ModelFile(TFLITE, path)
    if front.startswith(b"\x89HDF\r\n\x1a\n"):
        return _hdf5(path)
    if zipfile.is_zipfile(path):
        return _archive(path)
    if front.lstrip().startswith(b"{"):
        raise SourceFileError(
            f"{path.name} is an architecture without weights: export.py --architecture {path.name} --weights FILE"
        )
    raise SourceFileError(f"{path.name} is no Keras model: {_guess(front, path)}")


def parts(architecture: str, weights: Path | None) -> ModelFile:
    """An architecture (a JSON file, or module:function) with the weights kept beside it."""
    if weights is not None and not weights.exists():
        raise SourceFileError(f"{weights} is not there")
    if re.fullmatch(r"[\w.]+:[\w.]+", architecture) and not Path(architecture).exists():
        return ModelFile(PARTS, weights or Path(), factory=architecture, weights=weights)
    path = Path(architecture)
    if weights is None:
        raise SourceFileError(f"{path.name} is an architecture: --weights FILE is missing")
    try:
        config = json.loads(path.read_text("utf-8"))
        if isinstance(config, str):  # json.dump(model.to_json()) encodes it twice
            config = json.loads(config)
    except OSError as error:
        raise SourceFileError(f"{architecture} cannot be read: {error.strerror}") from None
    except ValueError:
        raise SourceFileError(
            f"{path.name} is not JSON: --architecture takes what model.to_json() gives, or module:function"
        ) from None
    version = str(config.get("keras_version", ""))
    if not version:
        version = "3" if "module" in config else "2"
    return ModelFile(PARTS, path, version, config, weights=weights)


def is_keras3_weights(path: Path) -> bool:
    """Whether an HDF5 file holds weights the way Keras 3 lays them out."""
    import h5py  # noqa: PLC0415 - it comes with Keras, and only this branch needs it

    try:
        with h5py.File(path, "r") as file:
            return not _names_layers(file) and "model_weights" not in file
    except OSError:
        return False


def digest(path: Path) -> str:
    """SHA-256 in hex of a file, or of a folder's files and their names."""
    total = hashlib.sha256()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.is_file():
            if path.is_dir():
                total.update(f"{file.relative_to(path).as_posix()}\0".encode())
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    total.update(chunk)
    return total.hexdigest()


def size(path: Path) -> int:
    """Bytes of a file, or of a folder's files."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _folder(path: Path) -> ModelFile:
    if (path / "saved_model.pb").exists() or (path / "saved_model.pbtxt").exists():
        return ModelFile(SAVED_MODEL, path)
    inside = sorted(path.glob("*/saved_model.pb"))
    if len(inside) == 1:
        raise SourceFileError(f"{path} is no SavedModel, but {inside[0].parent} is one")
    if list(path.glob("*.index")) and list(path.glob("*.data-*")):
        raise SourceFileError(
            f"{path} holds a checkpoint, which is weights without the model: load it in the code "
            "that made it and save the model with model.save('model.keras')"
        )
    raise SourceFileError(f"{path} is no SavedModel: it has no saved_model.pb")


def _archive(path: Path) -> ModelFile:
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if "config.json" not in names:
            raise SourceFileError(
                f"{path.name} is a ZIP but no .keras file: it has no config.json; "
                "if it holds a SavedModel, unpack it first"
            )
        try:
            config = json.loads(archive.read("config.json"))
            metadata = json.loads(archive.read("metadata.json")) if "metadata.json" in names else {}
        except (ValueError, zipfile.BadZipFile):
            raise SourceFileError(f"{path.name} is damaged: copy it again") from None
    return ModelFile(KERAS, path, str(metadata.get("keras_version", "3")), config)


def _hdf5(path: Path) -> ModelFile:
    import h5py  # noqa: PLC0415 - it comes with Keras, and only this branch needs it

    try:
        with h5py.File(path, "r") as file:
            version = _text(file.attrs.get("keras_version", ""))
            config = _text(file.attrs.get("model_config", ""))
            # Lists that are too long for one attribute are split: layer_names0, layer_names1 ...
            weights = (
                any(name.startswith("layer_names") for name in file.attrs)
                or "layers" in file
                or "_layer_checkpoint" in file
            )
    except OSError as error:
        raise SourceFileError(f"{path.name} is damaged ({error}): copy it again") from None
    if not config:
        what = "holds weights only" if weights else "is HDF5 without a Keras model in it"
        raise SourceFileError(
            f"{path.name} {what}: give the architecture too, as "
            f"--architecture model.json --weights {path.name}, or "
            f"--architecture module:function --weights {path.name}"
        )
    return ModelFile(HDF5, path, version or "2", json.loads(config))


def _names_layers(file: Any) -> bool:
    """Whether Keras 2 laid it out; a list too long for one attribute is split: layer_names0, layer_names1 ..."""
    return any(name.startswith("layer_names") for name in file.attrs)


def _text(value: object) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _guess(front: bytes, path: Path) -> str:
    known = {
        b"\x80\x04": "it looks like a pickle, which is never opened",
        b"\x80\x02": "it looks like a pickle, which is never opened",
        b"version http": "it is a Git LFS pointer; run `git lfs pull`",
        b"<!DOCTYPE": "it is a web page; download the file itself",
        b"<html": "it is a web page; download the file itself",
    }
    for start, told in known.items():
        if front.lstrip().startswith(start):
            return told
    if path.stat().st_size == 0:
        return "it is empty"
    return "expected .keras, .h5/.hdf5, a SavedModel folder or .tflite; it may be damaged"


def _code_layers(node: object) -> list[str]:
    """Names of the layers under a configuration that were saved as Python code."""
    if isinstance(node, list):
        return [name for item in node for name in _code_layers(item)]
    if not isinstance(node, dict):
        return []
    found = [name for item in node.values() for name in _code_layers(item)]
    config = node.get("config")
    if node.get("class_name") in _CODE_LAYERS and isinstance(config, dict):
        found.append(str(config.get("name", "lambda")))
    if node.get("class_name") == "__lambda__":
        found.append("a lambda function")
    return found
