"""Files of models trained in mixed precision, read in float32: small interpreters have no float16 arithmetic."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from tools.model_files import HDF5, KERAS, ModelFile

_MIXED = re.compile(r"mixed_b?float16")


def is_mixed(file: ModelFile) -> bool:
    """Whether any layer computes in half precision."""
    return bool(_MIXED.search(json.dumps(file.config)))


def float32(file: ModelFile) -> Path:
    """The file itself, or a copy whose layers compute in float32; the weights are float32 in either."""
    if not is_mixed(file) or file.kind not in (KERAS, HDF5):
        return file.path
    copy = Path(tempfile.mkdtemp()) / file.path.name
    if file.kind == HDF5:
        import h5py  # noqa: PLC0415 - only for such files

        shutil.copyfile(file.path, copy)
        with h5py.File(copy, "r+") as target:
            target.attrs["model_config"] = _MIXED.sub("float32", json.dumps(file.config))
        return copy
    with zipfile.ZipFile(file.path) as source, zipfile.ZipFile(copy, "w") as target_zip:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                content = _MIXED.sub("float32", content.decode("utf-8")).encode()
            target_zip.writestr(name, content)
    return copy
