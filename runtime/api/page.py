"""`GET /`: a page to try the models by hand, made of the static files in `runtime/page/`.

    /                      index.html, the same for every model; open, because it says nothing of any. To who does not
                           ask for HTML, {"status": "alive"}: KServe's clients look for it there
    /page/<file>           its scripts and styles
    /page/model.json       what the page shows of each model: the signature, its meaning, how it was made
    /page/example.json     a body that `/predict` answers: ?model=NAME&index=0, a golden sample where there is one

PAGE=off takes all of it away but that. The files ask nothing of any other host, and run nothing that is not in them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from runtime import __version__
from runtime.core import Reply, Request, Route, Service, json_reply
from runtime.errors import ArtifactError, NotFoundError, RequestError
from runtime.interpreter import package
from runtime.manifest import Tensor, to_json
from runtime.model import Model
from runtime.models import State
from runtime.samples import Samples
from runtime.signature import Array, Batch, Signature, TensorSpec

FOLDER = Path(__file__).resolve().parent.parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# The least of these that holds all golden samples is taken for the range of a picture's pixels.
_USUAL_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 16.0), (0.0, 255.0))
# Of an example made of zeros, where a dimension may have any length: many models refuse a very short one.
_LENGTH = 8
_POLICY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def index(service: Service, request: Request) -> Reply:
    """The page itself for browsers, which all ask for HTML; a sign of life for others."""
    if "text/html" in request.headers.get("accept", ""):
        reply = asset(service, request, "index.html")
    else:
        reply = json_reply({"status": "alive"})
    reply.headers["Vary"] = "Accept"
    return reply


def asset(service: Service, request: Request, name: str) -> Reply:
    """One of the page's files; 304 where the browser has it already."""
    _check_on(service)
    found = _files().get(name)
    if found is None:
        raise NotFoundError(f"there is nothing at {request.path[:200]}")
    body, media_type, tag = found
    headers = _POLICY | {"ETag": tag, "Cache-Control": "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Reply(304, b"", media_type, headers)
    return Reply(200, body, media_type, headers)


def describe(service: Service, request: Request) -> Reply:
    """Everything that the page shows, but for the examples."""
    del request
    _check_on(service)
    states = list(service.models.states.values())
    told = {
        "server": f"dynolite {__version__}",
        "interpreter": _interpreter(),
        "uptime_seconds": round(time.time() - service.models.started, 1),
        "max_body_bytes": service.settings.max_body_bytes,
        "models": [_model(state) | _traffic(service, state) for state in states],
    }
    return _fresh(json_reply(told))


def example(service: Service, request: Request) -> Reply:
    """A body for `/predict` that this model answers: its golden sample of that index, else zeros of the right shape."""
    _check_on(service)
    model = service.models.get(request.query.get("model"))
    samples = _samples(model)
    given = request.query.get("index", "0")
    if not (given.isascii() and given.isdigit() and len(given) < 9):
        raise RequestError("index: expected a whole number")
    arrays = _zeros(model.signature) if samples is None else _golden(samples, int(given))
    return _fresh(Reply(200, orjson.dumps(body_of(model.signature, arrays), option=orjson.OPT_SERIALIZE_NUMPY)))


def body_of(signature: Signature, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """A `/predict` body that holds these arrays (one run's inputs by name): row form where the model has rows."""
    values = {name: _jsonable(array) for name, array in arrays.items()}
    form = _form(signature)
    if len(values) == 1:
        return {form: next(iter(values.values()))}
    if form == "inputs":
        return {form: values}
    count = len(next(iter(arrays.values())))
    return {"instances": [{name: value[row] for name, value in values.items()} for row in range(count)]}


def _form(signature: Signature) -> str:
    """Row form where every input and output has rows, else whole tensors."""
    rows = signature.batch is not Batch.NONE and all(spec.shape[:1] in ((-1,), (1,)) for spec in signature.outputs)
    return "instances" if rows else "inputs"


def _jsonable(array: Array) -> Any:
    """An array as orjson takes it; byte strings as text, or as TensorFlow Serving writes what is no text."""
    if array.dtype.kind not in "OS":
        return np.ascontiguousarray(array)
    if array.ndim:
        return [_jsonable(item) if isinstance(item, np.ndarray) else _text(item) for item in array]
    return _text(array[()])


def _text(value: Any) -> str | dict[str, str]:
    try:
        text: str = value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
    return text


def _model(state: State) -> dict[str, Any]:
    told: dict[str, Any] = {"name": state.name, "ready": state.model is not None, "note": state.note}
    if state.model is None:
        return told | {"reason": state.reason or "loading"}
    source, signature = state.model.artifact, state.model.signature
    manifest = source.manifest
    told |= {
        "version": source.version if manifest else "",
        "sha256": source.digest,
        "bytes": source.size,
        "batch": signature.batch.value,
        "inputs": [_tensor(spec, manifest.inputs if manifest else ()) for spec in signature.inputs],
        "outputs": [_tensor(spec, manifest.outputs if manifest else ()) for spec in signature.outputs],
        "labels": source.labels,
        "examples": len(_samples(state.model) or ()),
        "range": _range(state.model),
        "form": _form(signature),
    }
    if manifest:
        told |= {
            "quantization": manifest.quantization,
            "fidelity": to_json(manifest.fidelity),
            "proven_on": to_json(manifest.proven_on),
        }
    return told


def _traffic(service: Service, state: State) -> dict[str, Any]:
    """Predictions since the server started: how many, how many failed, and the seconds that each stage took of all."""
    if service.metrics is None or state.model is None:
        return {}
    told = service.metrics.stages(state.model.name, state.model.artifact.version)
    failed, _ = told.pop("failed")
    answered = next(iter(told.values()))[0]
    return {
        "traffic": {"answered": answered, "failed": failed, "seconds": {name: took for name, (_, took) in told.items()}}
    }


def _tensor(spec: TensorSpec, meanings: tuple[Tensor, ...]) -> dict[str, Any]:
    told: dict[str, Any] = {"name": spec.name, "dtype": spec.client_dtype, "shape": spec.shape}
    if spec.quantization:
        told["stored_as"] = spec.dtype
    for meaning in meanings:
        if meaning.name == spec.name:
            told |= {key: value for key, value in to_json(meaning).items() if key not in told}
    return told


def _range(model: Model) -> dict[str, Any] | None:
    """The numbers that pixels are to a model of one picture, and whether its subject is light on dark.

    From the golden samples, else from a quantized input's own range; None where neither tells. A drawing has to be
    written in these numbers (0..1, 0..16, 0..255, -1..1), and some models read black on white.
    """
    if len(model.signature.inputs) != 1:
        return None
    spec, samples = model.signature.inputs[0], _samples(model)
    pixels = samples.inputs[spec.name] if samples else np.zeros(0)
    if pixels.dtype.kind in "fiu" and pixels.size:
        low, high, middle = float(pixels.min()), float(pixels.max()), float(np.median(pixels))
        fitting = [ends for ends in _USUAL_RANGES if ends[0] <= low and high <= ends[1]]
        light = middle - low <= (high - low) / 2
        low, high = fitting[0] if fitting else (low, high)
        return {"low": low, "high": high, "light": light}
    if spec.quantization and spec.dtype in ("uint8", "int8"):
        scale, zero = spec.quantization
        bounds = np.iinfo(spec.dtype)
        return {"low": scale * (int(bounds.min) - zero), "high": scale * (int(bounds.max) - zero), "light": True}
    return None


def _samples(model: Model) -> Samples | None:
    """The golden samples, if they are what clients send: hooks may have made other inputs of the model's."""
    samples = model.artifact.samples
    same = samples is not None and set(samples.inputs) == {spec.name for spec in model.signature.inputs}
    return samples if same else None


def _golden(samples: Samples, number: int) -> dict[str, Array]:
    index = number % len(samples)
    return {name: array[index] for name, array in samples.inputs.items()}


def _zeros(signature: Signature) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for spec in signature.inputs:
        rows = 1 if signature.batch is not Batch.NONE else _LENGTH
        shape = tuple(size if size > 0 else _LENGTH if axis else rows for axis, size in enumerate(spec.shape))
        empty: Any = b"" if spec.dtype == "string" else 0
        arrays[spec.name] = np.full(shape, empty, object if spec.dtype == "string" else spec.client_dtype)
    return arrays


def _interpreter() -> dict[str, str]:
    try:
        found = package()
    except ArtifactError:
        return {"name": "none", "version": ""}
    return {"name": found.name, "version": found.version}


def _check_on(service: Service) -> None:
    if not service.settings.page:
        raise NotFoundError("the page is switched off (PAGE)")


def _fresh(reply: Reply) -> Reply:
    reply.headers["Cache-Control"] = "no-store"
    return reply


@functools.cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """Every file of the page by name: its bytes, media type and ETag. They are small and never change."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            found[path.name] = (body, _TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:20]}"')
    return found


ROUTES = (
    Route("GET", "/", index, "open"),
    Route("GET", "/page/model.json", describe),
    Route("GET", "/page/example.json", example),
    Route("GET", "/page/<name>", asset, "open"),
)
