"""Which reader a body is for: media type + bytes -> Decoded.

application/json and +json              json_body       (also whatever is said to be a form, plain text or nothing)
application/x-npy, application/x-npz    npy             (also application/zip; NumPy's own first bytes will do)
application/octet-stream                binary          one tensor as it is, unless it begins as .npy or .npz do
text/csv                                csv_rows
image/*                                 image
multipart/form-data                     multipart       its parts: pictures, .npy, or JSON by input name
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

from runtime.errors import MediaTypeError, RequestError, TooLargeError
from runtime.signature import Array, Signature, TensorSpec, check_names, coerce, convert
from runtime.wire import binary, csv_rows, image, json_body, multipart, npy
from runtime.wire.expected import Decoded, Expected, form_of
from runtime.wire.multipart import Part

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_NPY_TYPES = ("application/x-npy", "application/npy", "application/vnd.numpy.npy")
_NPZ_TYPES = ("application/x-npz", "application/npz", "application/zip")
# Surely something else. What is left is tried as JSON: `curl -d` says that it sends a form, some clients say nothing.
_FOREIGN = ("audio/", "video/", "font/", "multipart/", "application/pdf", "application/xml", "text/xml", "text/html")
# No Content-Type, and the one that curl sends where none was given.
_UNSAID = ("", "application/x-www-form-urlencoded")
_PARAMETER = re.compile(r';\s*([\w-]+)\s*=\s*(?:"([^"]*)"|([^;\s"]*))')


def read(body: bytes, content_type: str, expected: Expected) -> Decoded:
    """The arrays in a body of that Content-Type. Raises RequestError, TooLargeError, MediaTypeError."""
    if content_type == "application/json":
        return json_body.decode(body, expected)
    media_type, _, _ = content_type.partition(";")
    media_type = media_type.strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        return json_body.decode(body, expected)
    if media_type == "text/csv":
        return csv_rows.decode(body, parameters(content_type).get("header", "").lower(), expected)
    if media_type == "multipart/form-data":
        arrays = _form(multipart.decode(body, parameters(content_type).get("boundary", "")), expected)
    elif media_type.startswith("image/"):
        arrays = _picture(body, expected)
    elif media_type in _NPY_TYPES:
        arrays = _npy(body, expected.signature)
    elif media_type in _NPZ_TYPES:
        arrays = _npz(body, expected)
    elif media_type.startswith(_FOREIGN):
        raise MediaTypeError(f"bodies of {media_type[:80]!r} are not read: send JSON, .npy, .npz, CSV or a picture")
    else:
        return _by_content(body, media_type, expected)
    return Decoded(form_of(expected.signature), arrays)


def parameters(content_type: str) -> dict[str, str]:
    """The parameters of a media type, their names in lower case."""
    return {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(content_type)}


def _by_content(body: bytes, media_type: str, expected: Expected) -> Decoded:
    """A body whose media type says little: no JSON begins as NumPy's files and pictures do."""
    raw = media_type == "application/octet-stream"
    if body.startswith(_NPY):
        arrays = _npy(body, expected.signature)
    elif body.startswith(_ZIP):
        arrays = _npz(body, expected)
    elif raw:
        arrays = binary.whole(body, expected.signature)
    elif image.looks_like_one(body):
        arrays = _picture(body, expected)
    else:
        return _json(body, media_type, expected)
    return Decoded(form_of(expected.signature), arrays)


def _json(body: bytes, media_type: str, expected: Expected) -> Decoded:
    """JSON that nobody has called so; what does not even begin so may be CSV, or a picture of a kind not known here."""
    try:
        return json_body.decode(body, expected)
    except RequestError as error:
        if media_type in _UNSAID and body.strip()[:1] not in (b"", b"{", b"["):
            raise RequestError(f"{error}; if it is something else, name its kind with Content-Type") from None
        raise


def _npy(body: bytes, signature: Signature) -> dict[str, Array]:
    if len(signature.inputs) > 1:
        raise RequestError("this model has several inputs: a .npy file holds one; send .npz or JSON")
    return {signature.inputs[0].name: _one_npy(body, signature.inputs[0])}


def _one_npy(body: bytes, spec: TensorSpec) -> Array:
    try:
        array = npy.loads(body)
    except ValueError as error:
        raise RequestError(f"the .npy data cannot be read: {error}") from None
    return convert(spec, array, f"input {spec.name!r}")


def _npz(body: bytes, expected: Expected) -> dict[str, Array]:
    specs = expected.signature.inputs
    limit = expected.bounds.tensor_bytes
    try:
        arrays: Mapping[str, Array] = npy.loads_npz(body, limit)
    except npy.UnpackedError:
        raise TooLargeError(f"the .npz data unpacks to more than {limit} bytes (MAX_TENSOR_BYTES)") from None
    except ValueError as error:
        raise RequestError(f"the .npz data cannot be read: {error}") from None
    if len(specs) == 1 and arrays.keys() == {"arr_0"}:  # np.savez without a name
        arrays = {specs[0].name: arrays["arr_0"]}
    check_names(expected.signature, arrays)
    return {spec.name: convert(spec, arrays[spec.name], f"input {spec.name!r}") for spec in specs}


def _picture(body: bytes, expected: Expected) -> dict[str, Array]:
    specs = expected.signature.inputs
    if len(specs) > 1:
        raise RequestError("this model has several inputs: send multipart/form-data with a part for each")
    return {specs[0].name: image.decode([body], expected, specs[0])}


def _form(parts: list[Part], expected: Expected) -> dict[str, Array]:
    """Each input from the parts of its name; with one input any one name will do, and several pictures are rows."""
    specs = expected.signature.inputs
    groups: dict[str, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.name, []).append(part)
    if len(specs) == 1 and len(groups) == 1:
        groups = {specs[0].name: parts}
    check_names(expected.signature, groups)
    return {spec.name: _part(groups[spec.name], spec, expected) for spec in specs}


def _part(parts: list[Part], spec: TensorSpec, expected: Expected) -> Array:
    what = f"input {spec.name!r}"
    if all(part.media_type.startswith("image/") or image.looks_like_one(part.content) for part in parts):
        return image.decode([part.content for part in parts], expected, spec)
    if len(parts) > 1:
        raise RequestError(f"{what}: the form has {len(parts)} parts for it, only pictures can be several")
    content = parts[0].content
    if content.startswith(_NPY):
        return _one_npy(content, spec)
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise RequestError(
            f"{what}: expected a picture ({image.KINDS}), .npy data or JSON in this part of the form"
        ) from None
    json_body.check_depth(value, expected.bounds.depth)
    return coerce(spec, value, what)
