"""The artifact: a .tflite flatbuffer with a ZIP appended that holds its manifest, labels and golden samples.

    digits.tflite = [ flatbuffer for any interpreter ][ ZIP: manifest.json labels.txt samples.npz, read by `unzip` ]

A file without that tail is a plain model and is served by what the interpreter says of it. A tail is believed only when
its manifest names the length and SHA-256 of the very bytes in front of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from runtime import manifest as manifest_format
from runtime import onnx
from runtime import samples as samples_format
from runtime.errors import ArtifactError
from runtime.manifest import Flatbuffer, Manifest
from runtime.samples import Samples
from runtime.wire import npy

MANIFEST, LABELS, SAMPLES = "manifest.json", "labels.txt", "samples.npz"
_TAIL_LIMIT = 64 << 20  # bytes unpacked: room for a few image samples, none for a ZIP bomb
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Artifact:
    """A model file on the disk and what is known of it; without a tail `manifest` and `samples` are None.

    `listed` is the version under which an index lists it.
    """

    path: Path
    digest: str  # SHA-256 in hex of the whole file
    size: int
    manifest: Manifest | None = None
    labels: tuple[str, ...] = ()
    samples: Samples | None = None
    listed: str = ""
    kind: str = "tflite"  # or "onnx", which has no tail

    @property
    def name(self) -> str:
        """The manifest's name, or the file's."""
        return self.manifest.name if self.manifest else self.path.name.split(".")[0]

    @property
    def version(self) -> str:
        """The manifest's version, or the one under which it is listed, or 0.0.0."""
        return self.manifest.version if self.manifest else self.listed or "0.0.0"


def read(path: Path) -> Artifact:
    """Read and check a model file; ArtifactError if it is none or is damaged."""
    try:
        with path.open("rb") as stream:
            front = stream.read(8)
        size = path.stat().st_size
        if onnx.is_onnx(front):
            return Artifact(path, _digests(path, size)[0], size, kind="onnx")
        _check_front(front, path)
        members = _read_tail(path)
        if members is None:
            return Artifact(path, _digests(path, size)[0], size)
        manifest = manifest_format.loads(members[MANIFEST])
        digest, model_digest = _digests(path, manifest.flatbuffer.bytes)
    except OSError as error:
        raise ArtifactError(f"{path.name} cannot be read: {error.strerror}") from None
    if model_digest != manifest.flatbuffer.sha256:
        raise ArtifactError(f"{path.name} is damaged: the model part does not have the digest in its manifest")
    labels = tuple(members[LABELS].decode("utf-8", "replace").splitlines()) if LABELS in members else ()
    samples = samples_format.loads(members[SAMPLES], _TAIL_LIMIT) if SAMPLES in members else None
    return Artifact(path, digest, size, manifest, labels, samples)


def write(
    path: Path,
    flatbuffer: bytes,
    manifest: Manifest,
    labels: tuple[str, ...] = (),
    samples: Samples | None = None,
) -> Artifact:
    """Pack a model and write it atomically. The manifest's `flatbuffer` field is filled in here, a tail replaced.

    The same content gives the same bytes. Raises ArtifactError if `flatbuffer` is none or a label holds a newline.
    """
    _check_front(flatbuffer[:8], path)
    if any("\n" in label or "\r" in label for label in labels):
        raise ArtifactError("a label holds a line break: labels.txt has one label a line")
    flatbuffer = strip(flatbuffer)
    manifest = replace(manifest, flatbuffer=Flatbuffer(len(flatbuffer), hashlib.sha256(flatbuffer).hexdigest()))
    members = {MANIFEST: manifest_format.dumps(manifest)}
    if labels:
        members[LABELS] = "".join(f"{label}\n" for label in labels).encode()
    if samples is not None:
        members[SAMPLES] = samples_format.dumps(samples)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w+b") as stream:
            stream.write(flatbuffer)
            with zipfile.ZipFile(stream, "w") as archive:
                for name in sorted(members):
                    npy.write_member(archive, name, members[name])
            os.fchmod(stream.fileno(), 0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return read(path)


def strip(content: bytes) -> bytes:
    """The flatbuffer of a model file's bytes, without its tail (only one of dynolite's own making is taken off)."""
    with tempfile.NamedTemporaryFile(suffix=".tflite") as stream:
        stream.write(content)
        stream.flush()
        members = _read_tail(Path(stream.name))
    if members is None:
        return content
    return content[: manifest_format.loads(members[MANIFEST]).flatbuffer.bytes]


def _check_front(front: bytes, path: Path) -> None:
    if front[4:8] != b"TFL3":
        hint = {b"\x89HDF": "a Keras HDF5 file", b"PK\x03\x04": "a ZIP, perhaps a .keras file"}.get(front[:4])
        if front.lstrip()[:1] == b"<":
            hint = "a web page"
        told = f"; it looks like {hint}" if hint else ""
        raise ArtifactError(f"{path.name} is neither a TensorFlow Lite nor an ONNX model{told}")


def _read_tail(path: Path) -> dict[str, bytes] | None:
    """The tail's files, or None where the end of the file is no tail of ours."""
    if not zipfile.is_zipfile(path):
        return None
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        if MANIFEST not in archive.namelist():
            return None
        try:
            members = npy.read_members(archive, _TAIL_LIMIT)
        except ValueError as error:
            raise ArtifactError(f"{path.name} is damaged: its tail {error}") from None
        start = min(info.header_offset for info in archive.infolist())
        if manifest_format.loads(members[MANIFEST]).flatbuffer.bytes != start:
            raise ArtifactError(f"{path.name} is damaged: its manifest does not fit the model part's length")
        return members
    return None


def _digests(path: Path, front: int) -> tuple[str, str]:
    """SHA-256 of the whole file and of its first `front` bytes, in one pass."""
    whole, first, left = hashlib.sha256(), "", front
    with path.open("rb") as stream:
        while chunk := stream.read(min(_CHUNK, left) if left > 0 else _CHUNK):
            whole.update(chunk)
            left -= len(chunk)
            if left == 0:
                first = whole.hexdigest()
    return whole.hexdigest(), first
