"""The OpenAPI 3.1 document of this server, made from the signatures of its loaded models.

It promises no more than holds: where JSON Schema cannot say what is allowed (that all inputs have as many rows, that a
tensor has as many values as its shape), it describes the case of one row. What it can say of no row at all (that rows
of an open size are equally long, which lengths and word ids a model refuses) is left open and told in words. Examples
are golden samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from runtime import __version__, json_schema
from runtime.model import Model
from runtime.models import State
from runtime.self_test import zeros
from runtime.settings import Settings
from runtime.signature import FLOAT_BOUND, Array, Batch, TensorSpec
from runtime.wire.infer import DATATYPES

Json = dict[str, Any]
# A longer example would be most of the document.
_LONGEST_EXAMPLE = 4096
# Of an example made of zeros, where a dimension may have any length: many models refuse a very short one.
_LENGTH = 8
_ERRORS = {
    "400": "The request is wrong; `error` says what was expected and what came.",
    "404": "There is no such model, version or path.",
    "406": "No media type that the client takes.",
    "408": "The body did not come in time.",
    "413": "The body, or the tensors it asks for, are over a limit.",
    "415": "Bodies of this media type or encoding are not read.",
    "422": "The model refuses these values, or tensors of these lengths.",
    "429": "Too many requests; Retry-After says when there is room.",
    "500": "The model failed; the server's log says why.",
    "503": "The model is not ready, or there is no room now; see Retry-After.",
    "504": "There was no time left to answer.",
}
_READING = ("404", "429", "500", "503", "504")


def document(settings: Settings, states: Mapping[str, State], *, closed: bool) -> Json:
    """The whole document. `closed`: keys are set, and every operation but those of health needs one."""
    paths: Json = {
        "/health": {"get": _open(_get("health", "Whether every model is ready.", _ANY, ("503",)))},
        "/health/live": {"get": _open(_get("live", "Whether the process lives.", _ANY, ()))},
        "/metrics": {"get": _metrics()},
        "/openapi.json": {"get": _get("openapi", "This document.", _ANY)},
        "/v1/models": {"get": _get("names", "The models' names.", _ANY)},
        "/v2": {"get": _get("server", "The server's metadata.", _ANY)},
        "/v2/health/live": {"get": _open(_get("v2_live", "Whether the process lives.", _ANY, ()))},
        "/v2/health/ready": {"get": _open(_get("v2_ready", "Whether every model is ready.", _ANY, ("503",)))},
    }
    for number, state in enumerate(states.values()):
        if state.model:
            paths |= _model_paths(settings, state.model, default=number == 0)
    schemes = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    if closed:
        _demand_keys(paths)
    return {
        "openapi": "3.1.0",
        "info": {"title": "dynolite", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}} | ({"securitySchemes": schemes} if closed else {}),
    }


_ABOUT = (
    "A TensorFlow Lite model server. `/predict` also takes .npy, .npz, text/csv, raw little-endian tensors and "
    "pictures, and `/v2/.../infer` binary tensors: see docs/http-api.md."
)
_OPEN = (
    "Where sizes are open, all rows are of one length (else 400). The model may refuse some lengths, and some integers "
    "(word ids out of range): these are answered with 422. No schema tells them beforehand."
)
_ANY: Json = {"type": "object"}
_ERROR: Json = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def _model_paths(settings: Settings, model: Model, *, default: bool) -> Json:
    name = model.name
    v1, v2 = f"/v1/models/{name}", f"/v2/models/{name}"
    paths: Json = {
        v1: {"get": _get(f"v1_status_{name}", "TensorFlow Serving's status.", _ANY)},
        f"{v1}/metadata": {"get": _get(f"v1_metadata_{name}", "TensorFlow Serving's metadata.", _ANY)},
        v2: {"get": _get(f"v2_metadata_{name}", "The Open Inference Protocol's metadata.", _ANY)},
        f"{v2}/ready": {"get": _get(f"v2_ready_{name}", "Whether the model is ready.", _ANY)},
        f"{v2}/config": {"get": _get(f"v2_config_{name}", "Triton's model configuration.", _ANY)},
        f"{v2}/stats": {"get": _get(f"v2_stats_{name}", "Triton's statistics.", _ANY, (*_READING, "501"))},
    }
    if any(spec.client_dtype not in DATATYPES for spec in (*model.signature.inputs, *model.signature.outputs)):
        return paths  # complex numbers, say: nothing here carries them in JSON
    schemas = _Schemas(settings, model)
    plain = schemas.predict(extra=False)
    asked: Json = {
        f"/predict/{name}": _post(f"predict_{name}", f"Ask {name}.", *plain),
        f"{v1}:predict": _post(f"v1_predict_{name}", "TensorFlow Serving's predict.", *schemas.predict(extra=True)),
        f"{v2}/infer": _post(f"v2_infer_{name}", "The Open Inference Protocol's infer.", *schemas.infer()),
    }
    if default:
        asked = {"/predict": _post("predict", f"Ask the default model, {name}.", *plain)} | asked
    for operation in asked.values() if schemas.leaves_open else ():
        operation["description"] = _OPEN
    return {path: {"post": operation} for path, operation in asked.items()} | paths


class _Schemas:
    """What goes in and out of one model, in each protocol: (request schema, example or None, reply schema)."""

    def __init__(self, settings: Settings, model: Model) -> None:
        self._settings, self._signature = settings, model.signature
        self._batch = model.signature.batch is not Batch.NONE
        row = _row(model)
        self._shapes = {name: array.shape for name, array in row.items()}
        self._example = row if sum(array.size for array in row.values()) <= _LONGEST_EXAMPLE else None

    @property
    def leaves_open(self) -> bool:
        """Whether the model may refuse what its signature allows: lengths, or indices into its tables."""
        return any(
            -1 in (spec.row_shape if self._batch else spec.shape) or spec.client_dtype in ("int32", "int64")
            for spec in self._signature.inputs
        )

    def predict(self, *, extra: bool) -> tuple[Json, Json | None, Json]:
        """`/predict`, and `/v1/models/NAME:predict`, which passes over `extra` keys."""
        forms, replies = self._forms(extra=extra)
        return {"oneOf": forms}, self._row_example(), {"anyOf": replies}

    def infer(self) -> tuple[Json, Json | None, Json]:
        """`/v2/models/NAME/infer`, one row."""
        tensors = [self._infer_input(spec) for spec in self._signature.inputs]
        schema = json_schema.record(
            {"id": {"type": "string"}, "inputs": json_schema.exactly(tensors)}, ["inputs"], extra=True
        )
        reply = json_schema.record(
            {"model_name": {"type": "string"}, "outputs": {"type": "array"}}, ["outputs"], extra=True
        )
        example = None
        if self._example:
            inputs = [self._infer_tensor(spec, self._example[spec.name]) for spec in self._signature.inputs]
            example = {"inputs": inputs}
        return schema, example, reply

    def _forms(self, *, extra: bool) -> tuple[list[Json], list[Json]]:
        inputs, several = self._signature.inputs, len(self._signature.inputs) > 1
        columns = {spec.name: self._tensor(spec, rows=1 if several else None) for spec in inputs}
        whole = json_schema.record(columns, list(columns), extra=extra) if several else columns[inputs[0].name]
        forms = [json_schema.record({"inputs": whole}, ["inputs"], extra=extra) | {"not": {"required": ["instances"]}}]
        replies = [json_schema.record({"outputs": {}}, ["outputs"], extra=True)]
        if self._batch:
            items = {spec.name: json_schema.nested(json_schema.element(spec), spec.row_shape) for spec in inputs}
            row = json_schema.record(items, list(items), extra=False) if several else items[inputs[0].name]
            many = {"type": "array", "items": row, "minItems": 1, "maxItems": self._settings.max_instances}
            told = json_schema.record({"instances": many}, ["instances"], extra=extra)
            forms.insert(0, told | {"not": {"required": ["inputs"]}})
            replies.insert(0, json_schema.record({"predictions": self._rows()}, ["predictions"], extra=True))
        return forms, replies

    def _rows(self) -> Json:
        outputs = self._signature.outputs
        told = {spec.name: self._row(spec) for spec in outputs}
        return {
            "type": "array",
            "items": json_schema.record(told, list(told), extra=True) if len(told) > 1 else told.popitem()[1],
        }

    def _row(self, spec: TensorSpec) -> Json:
        """One row of an output; anything where the file does not tell its rank."""
        shape = spec.row_shape if spec.shape[:1] in ((-1,), (1,)) else spec.shape
        return json_schema.nested(self._told(spec), shape) if spec.shape else {}

    def _tensor(self, spec: TensorSpec, rows: int | None) -> Json:
        """A whole tensor; `rows` fixes dimension 0 where it is the batch."""
        if not self._batch:
            return json_schema.nested(json_schema.element(spec), spec.shape)
        size = (
            {"minItems": rows, "maxItems": rows} if rows else {"minItems": 1, "maxItems": self._settings.max_instances}
        )
        return {"type": "array", "items": json_schema.nested(json_schema.element(spec), spec.row_shape)} | size

    def _told(self, spec: TensorSpec) -> Json:
        """An element of a reply: a float may be NaN, which JSON tells as null or a string."""
        if spec.client_dtype in FLOAT_BOUND:
            return {"type": ["number", "string" if self._settings.non_finite == "string" else "null"]}
        return {} if spec.dtype == "string" else json_schema.element(spec)

    def _infer_input(self, spec: TensorSpec) -> Json:
        shape = list(self._shapes[spec.name])
        flat = json_schema.nested(json_schema.element(spec), (int(np.prod(shape, dtype=np.int64)),))
        fields = {
            "name": {"const": spec.name},
            "shape": {"const": shape},
            "datatype": {"const": DATATYPES.get(spec.client_dtype, "")},
            "data": flat,
        }
        return json_schema.record(fields, list(fields), extra=True)

    def _infer_tensor(self, spec: TensorSpec, array: Array) -> Json:
        return {
            "name": spec.name,
            "shape": list(array.shape),
            "datatype": DATATYPES.get(spec.client_dtype, ""),
            "data": _plain(array.ravel()),
        }

    def _row_example(self) -> Json | None:
        if self._example is None:
            return None
        values = {name: _plain(array) for name, array in self._example.items()}
        several = len(values) > 1
        if not self._batch:
            return {"inputs": values if several else next(iter(values.values()))}
        first = {name: rows[0] for name, rows in values.items()}
        return {"instances": [first if several else next(iter(first.values()))]}


def _row(model: Model) -> Mapping[str, Array]:
    """One row of inputs that the model answers: a golden sample where there is one, else zeros."""
    signature, samples = model.signature, model.artifact.samples
    if samples is not None and set(samples.inputs) == {spec.name for spec in signature.inputs}:
        return next(iter(samples))[0]
    return zeros(signature, _LENGTH)


def _plain(array: Array) -> Any:
    """The array as JSON values."""
    if array.dtype.kind != "O":
        return array.tolist()
    return np.vectorize(lambda item: item.decode("utf-8", "replace"), otypes=[object])(array).tolist()


def _get(name: str, summary: str, schema: Json, errors: tuple[str, ...] = _READING) -> Json:
    return {"operationId": name, "summary": summary, "responses": _responses(schema, errors)}


def _post(name: str, summary: str, schema: Json, example: Json | None, reply: Json) -> Json:
    media: Json = {"schema": schema}
    if example is not None:
        media["examples"] = {"sample": {"summary": "a row that the model answers", "value": example}}
    body = {"required": True, "content": {"application/json": media}}
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": body,
        "responses": _responses(reply, tuple(_ERRORS)),
    }


def _responses(schema: Json, errors: tuple[str, ...]) -> Json:
    told: Json = {"200": {"description": "The answer.", "content": {"application/json": {"schema": schema}}}}
    for status in errors:
        what = _ERRORS.get(status, "Not done here.")
        error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        told[status] = {"description": what, "content": error}
    return told


def _metrics() -> Json:
    told = _get("metrics", "Counts and times for Prometheus.", {}, ("404", "429"))
    text = {"schema": {"type": "string"}}
    told["responses"]["200"]["content"] = {"text/plain": text, "application/openmetrics-text": text}
    return told


def _open(operation: Json) -> Json:
    """Needs no key, and tells a 503 in its own form."""
    if "503" in operation["responses"]:
        operation["responses"]["503"] = {"description": "Not ready.", "content": {"application/json": {"schema": _ANY}}}
    return operation | {"security": []}


def _demand_keys(paths: Json) -> None:
    for operations in paths.values():
        for operation in operations.values():
            if "security" in operation:
                continue
            operation["security"] = [{"bearer": []}, {"header": []}]
            error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
            operation["responses"]["401"] = {"description": "A key is needed.", "content": error}
