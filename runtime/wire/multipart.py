"""`multipart/form-data`, as `curl -F` and forms send it: the parts in their order, read by Werkzeug's decoder."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.errors import RequestError

_MAX_PARTS = 256


@dataclass(frozen=True, slots=True)
class Part:
    """One part: the field's name, its media type (empty if none was sent) and its content."""

    name: str
    media_type: str
    content: bytes


def decode(body: bytes, boundary: str) -> list[Part]:
    """The parts of a body; RequestError if it is damaged or has none."""
    # It is imported with the first form: predictions in JSON have no use for it.
    from werkzeug.exceptions import RequestEntityTooLarge  # noqa: PLC0415

    if not 0 < len(boundary) <= 200:
        raise RequestError("multipart/form-data: the Content-Type has no boundary")
    try:
        parts = _parts(body, boundary.encode())
    except RequestEntityTooLarge:
        raise RequestError(f"the form has more than {_MAX_PARTS} parts") from None
    except (ValueError, KeyError, UnicodeError, TypeError):
        raise RequestError("the form is damaged: expected multipart/form-data as `curl -F` sends it") from None
    if not parts:
        raise RequestError("the form is empty: expected a file, as from `curl -F image=@cat.jpg`")
    return parts


def _parts(body: bytes, boundary: bytes) -> list[Part]:
    from werkzeug.sansio import multipart  # noqa: PLC0415

    decoder = multipart.MultipartDecoder(boundary, max_parts=_MAX_PARTS)
    decoder.receive_data(body)
    decoder.receive_data(None)
    parts: list[Part] = []
    begun: multipart.Field | multipart.File | None = None
    content: list[bytes] = []
    while not isinstance(event := decoder.next_event(), multipart.Epilogue):
        if isinstance(event, multipart.Field | multipart.File):
            begun, content = event, []
        elif isinstance(event, multipart.Data):
            content.append(event.data)
            if begun and begun.name and not event.more_data:
                parts.append(Part(begun.name, begun.headers.get("Content-Type", ""), b"".join(content)))
        elif isinstance(event, multipart.NeedData):
            raise ValueError("cut off")  # noqa: TRY004 - the data is wrong, not a type
    return parts
