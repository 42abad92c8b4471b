"""NumPy's .npy and .npz, read strictly: never pickled, and nothing allocated that the bytes do not back.

`numpy.load` allocates what a header claims before it looks whether the data is there; here the sizes must agree first.
Source: numpy.lib.format, versions 1.0 to 3.0.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAX_ENTRIES = 256
_MAX_HEADER = 10_000  # bytes, as NumPy has it
_ENTRY = re.compile(
    rb"\s*['\"](?P<key>\w+)['\"]\s*:\s*(?P<value>['\"][<>|=]?[A-Za-z]\d{0,9}['\"]|True|False|\([\d\s,]*\))\s*,?\s*"
)
_FORMAT: Any = np.lib.format  # its functions carry no types


class UnpackedError(ValueError):
    """An archive holds more bytes than are allowed."""


def loads(data: bytes) -> NDArray[Any]:
    """The array in a .npy file's bytes (a read-only view of them); ValueError if they are not exactly one array."""
    dtype, fortran_order, shape, offset = _read_header(data)
    if dtype.hasobject or dtype.itemsize == 0:
        raise ValueError(f"dtype {str(dtype)[:60]} is not read: only numbers, booleans and fixed-width strings are")
    count = math.prod(shape)
    if len(data) - offset != count * dtype.itemsize:
        raise ValueError(f"the header promises {count * dtype.itemsize} bytes, {len(data) - offset} follow")
    array = np.frombuffer(data, dtype, count, offset) if count else np.empty(0, dtype)
    array = array.reshape(shape, order="F" if fortran_order else "C")
    if dtype.kind == "b":  # another byte than 0 and 1 would be neither true nor false
        return np.not_equal(array.view(np.uint8), 0)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _read_header(data: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    """dtype, whether the columns come first, the shape, and where the data begins.

    NumPy reads the header as Python's source, and what that raises has no end; its writers know three entries.
    """
    if data[:6] != b"\x93NUMPY" or len(data) < 12 or data[6] not in (1, 2, 3):
        raise ValueError("not a .npy file of version 1, 2 or 3")
    start = 10 if data[6] == 1 else 12
    offset = start + int.from_bytes(data[8:start], "little")
    if len(data) < offset or offset - start > _MAX_HEADER:
        raise ValueError("the .npy header is cut off or too long")
    found = _entries(data[start:offset].strip())
    try:
        dtype = np.dtype(found["descr"].strip("'\""))
        shape = tuple(int(size) for size in found["shape"].strip("()").split(",") if size.strip())
        return dtype, {"True": True, "False": False}[found["fortran_order"]], shape, offset
    except (TypeError, ValueError, KeyError):
        raise ValueError("the .npy header has an unknown dtype, order or shape") from None


def _entries(header: bytes) -> dict[str, str]:
    """The header's entries as they are written."""
    found: dict[str, str] = {}
    at = 1
    while match := _ENTRY.match(header, at):
        found[match["key"].decode()] = match["value"].decode()
        at = match.end()
    if header[:1] + header[at:] != b"{}":
        raise ValueError("the .npy header is damaged, or tells more than one array of numbers or strings")
    return found


def dumps(array: NDArray[Any]) -> bytes:
    """The array as .npy bytes, the same for the same array."""
    stream = io.BytesIO()
    _FORMAT.write_array(stream, np.asarray(array), version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def loads_npz(data: bytes, limit: int) -> dict[str, NDArray[Any]]:
    """The arrays in a .npz file's bytes, at most `limit` bytes unpacked (UnpackedError); ValueError otherwise."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = read_members(archive, limit)
            arrays = {name.removesuffix(".npy"): loads(content) for name, content in members.items()}
            if len(arrays) != len(members):
                raise ValueError("an array's name stands twice")
            return arrays
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise ValueError(f"not a .npz file: {str(error)[:120]}") from None


def dumps_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as .npz bytes: sorted names, a fixed date, so the same arrays give the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(arrays):
            write_member(archive, f"{name}.npy", dumps(arrays[name]))
    return stream.getvalue()


def read_members(archive: zipfile.ZipFile, limit: int) -> dict[str, bytes]:
    """Every member's bytes, at most `limit` of them unpacked, whatever the directory claims (UnpackedError)."""
    if len(archive.infolist()) > _MAX_ENTRIES:
        raise ValueError(f"holds more than {_MAX_ENTRIES} files")
    members: dict[str, bytes] = {}
    try:
        for info in archive.infolist():
            # Of bzip2 and LZMA zipfile unpacks all that it has read, whatever the limit.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("is compressed in another way than deflate")
            with archive.open(info) as stream:
                content = stream.read(limit + 1)
            limit -= len(content)
            if limit < 0:
                raise UnpackedError("unpacks to more bytes than allowed")
            if info.filename in members:
                raise ValueError("a file name stands twice")
            members[info.filename] = content
    except Exception as error:
        if isinstance(error, ValueError):
            raise
        # zlib, lzma, encrypted and truncated members each have an exception of their own
        raise ValueError(f"a damaged ZIP: {str(error)[:120]}") from None
    return members


def write_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add one deflated file with a fixed date and fixed attributes."""
    info = zipfile.ZipInfo(name, ZIP_EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # the same bytes on every platform
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)
