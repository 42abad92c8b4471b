"""Model files in a form that Keras reads and small interpreters run: copies with another configuration.

half precision              float32: small interpreters have no float16 arithmetic; the weights are float32 anyway
functions in Keras 2 HDF5   their names: tf-keras writes more than that, and does not read it again
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from tools.model_files import HDF5, KERAS, ModelFile

_MIXED = re.compile(r"mixed_b?float16")


def readable(file: ModelFile) -> Path:
    """The file itself, or a copy that differs in its configuration where that is needed."""
    if file.kind not in (KERAS, HDF5):
        return file.path
    by_name = file.kind == HDF5 and file.generation == 2
    config = _MIXED.sub("float32", json.dumps(_functions_by_name(file.config) if by_name else file.config))
    if config == json.dumps(file.config):
        return file.path
    copy = Path(tempfile.mkdtemp()) / file.path.name
    if file.kind == HDF5:
        import h5py  # noqa: PLC0415 - only for such files

        shutil.copyfile(file.path, copy)
        with h5py.File(copy, "r+") as target:
            target.attrs["model_config"] = config
        return copy
    with zipfile.ZipFile(file.path) as source, zipfile.ZipFile(copy, "w") as target_zip:
        for name in source.namelist():
            target_zip.writestr(name, config.encode() if name == "config.json" else source.read(name))
    return copy


def _functions_by_name(node: Any) -> Any:
    if isinstance(node, list):
        return [_functions_by_name(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("class_name") == "function" and isinstance(node.get("config"), str):
        return node["config"]
    return {key: _functions_by_name(item) for key, item in node.items()}
