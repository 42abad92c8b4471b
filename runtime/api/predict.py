"""`POST /predict` and `POST /predict/<model>`: whatever body the model's input can be read from, the answer in kind.

Content-Type       what the body is: JSON, .npy, .npz, raw bytes, CSV, a picture, a form (see `wire.bodies`)
Content-Encoding   gzip or deflate
Accept             what the reply is: JSON (as the body's form asks), .npy, .npz
?outputs=a,b       only these outputs
?top_k=3           the best classes with their labels instead of all scores
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.core import Reply, Request, Route, Service
from runtime.errors import NotAcceptableError, RequestError
from runtime.model import Model
from runtime.settings import Settings
from runtime.signature import Array, Batch
from runtime.wire import accept, bodies, encoding, json_reply, ranking
from runtime.wire.expected import Decoded
from runtime.wire.json_body import either


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client wants of the reply: media type, outputs, how many of the best classes (0: all scores)."""

    media_type: str
    outputs: tuple[str, ...]
    top_k: int


def predict(service: Service, request: Request, model: str | None = None) -> Reply:
    """Answer with the named model, or with the default one."""
    asked, settings = service.choose(model, request), service.settings
    wish = None
    if request.query or request.headers.get("accept", "") not in accept.ANYTHING:
        wish = _wish(request, asked)
    body = plain_body(settings, request)
    decoded = bodies.read(body, request.headers.get("content-type", ""), service.expected(asked))
    outputs = service.predict(asked, decoded.arrays, request)
    if wish is None:
        return json_predictions(asked, decoded, outputs, settings)
    return _write(asked, wish, decoded, {name: outputs[name] for name in wish.outputs}, settings)


def plain_body(settings: Settings, request: Request) -> bytes:
    """The request's body without its Content-Encoding."""
    if "content-encoding" not in request.headers:
        return request.body
    return encoding.inflate(request.body, request.headers.get("content-encoding", ""), settings.max_inflated_bytes)


def rows_of(model: Model, arrays: Mapping[str, Array]) -> int | None:
    """How many rows the inputs have; None where the model has no batch."""
    return None if model.signature.batch is Batch.NONE else len(next(iter(arrays.values())))


def labels_of(model: Model, output: str) -> tuple[str, ...]:
    """The names of this output's classes, if the artifact has any: for the output marked so, or for the only one."""
    told = model.artifact.manifest.outputs if model.artifact.manifest else ()
    marked = any(tensor.labels for tensor in told)
    fits = any(tensor.name == output and tensor.labels for tensor in told) if marked else len(told) == 1
    return model.artifact.labels if fits else ()


def _wish(request: Request, model: Model) -> Wish:
    names = tuple([spec.name for spec in model.signature.outputs])
    given = request.query.get("outputs", "")
    wanted = tuple(dict.fromkeys(_names(given, names))) if given else names
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise RequestError(f"outputs: there is no {unknown[0][:80]!r}, this model gives {either(names, 'and')}")
    media_type = accept.choose(request.headers.get("accept", ""))
    top_k = request.query.get("top_k", "0")
    if "top_k" in request.query and not re.fullmatch(r"[1-9][0-9]{0,7}", top_k):
        raise RequestError(f"top_k: expected a whole number from 1 on, got {top_k[:40]!r}")
    if int(top_k) and media_type != accept.JSON:
        raise NotAcceptableError("top_k: labels and scores are told in JSON only")
    if media_type == accept.NPY and len(wanted) > 1:
        raise NotAcceptableError(
            f"a .npy file holds one array, this model gives {either(wanted, 'and')}: "
            f"pick one with ?outputs=, or accept {accept.NPZ}"
        )
    return Wish(media_type, wanted, int(top_k))


def _names(given: str, known: tuple[str, ...]) -> list[str]:
    """Names between commas; a name that is known may hold commas itself."""
    found, parts = [], given.split(",")
    most = 1 + max(name.count(",") for name in known)
    while parts:
        sizes = range(min(most, len(parts)), 0, -1)
        size = next((size for size in sizes if ",".join(parts[:size]).strip() in known), 1)
        found.append(",".join(parts[:size]).strip())
        del parts[:size]
    return found


def _write(model: Model, wish: Wish, decoded: Decoded, outputs: Mapping[str, Array], settings: Settings) -> Reply:
    if wish.media_type != accept.JSON:
        if decoded.single:
            outputs = {name: array[0, ...] for name, array in outputs.items()}
        return Reply(200, accept.write(wish.media_type, outputs, settings.max_tensor_bytes), wish.media_type)
    return json_predictions(model, decoded, outputs, settings, wish.top_k)


def json_predictions(
    model: Model, decoded: Decoded, outputs: Mapping[str, Array], settings: Settings, top_k: int = 0
) -> Reply:
    """The outputs as JSON in the form of the request, with a header where NaN or infinities could not be written."""
    rows = rows_of(model, decoded.arrays)
    if not top_k and settings.non_finite == "null" and json_reply.is_plain(outputs):
        body = json_reply.encode(decoded, outputs, rows)
        if b"null" not in body:  # as it is written for NaN and infinities
            return Reply(200, body)
    told, odd = json_reply.settle(outputs, settings.non_finite)
    if top_k:
        best = {name: ranking.order(array, top_k, f"output {name!r}") for name, array in outputs.items()}
        told = {name: ranking.top(told[name], best[name], labels_of(model, name)) for name in outputs}
    reply = Reply(200, json_reply.encode(decoded, told, rows))
    if odd:
        reply.headers["X-Non-Finite"] = settings.non_finite
    return reply


ROUTES = (Route("POST", "/predict", predict), Route("POST", "/predict/<model>", predict))
