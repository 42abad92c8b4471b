"""The Open Inference Protocol, version 2, as KServe, Triton and MLServer speak it.

    GET  /v2, /v2/health/live, /v2/health/ready
    GET  /v2/models/<model>[/versions/<version>], and there /ready, /config, /stats; /v2/models/stats
    POST /v2/models/<model>[/versions/<version>]/infer
    POST /v2/repository/index

A version is the artifact's own (1.2.0), its serial in the index, or a channel.
Source: kserve/open-inference-protocol; Triton's extensions for binary data, classification, configuration, statistics
and the repository's index.
"""

from __future__ import annotations

from typing import Any

import orjson

from runtime import __version__
from runtime.api.predict import labels_of, plain_body
from runtime.core import Reply, Request, Route, Service, json_reply
from runtime.errors import NotFoundError, RequestError, UnsupportedError
from runtime.model import Model
from runtime.models import State
from runtime.signature import Batch, Signature, TensorSpec
from runtime.wire import encoding, infer
from runtime.wire import json_reply as numbers

EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics")
_PLATFORMS = {"tflite": "tflite", "onnx": "onnxruntime_onnx"}
_LENGTH = "Inference-Header-Content-Length"


def server(service: Service, request: Request) -> Reply:
    """The server's own metadata."""
    del service, request
    return json_reply({"name": "dynolite", "version": __version__, "extensions": EXTENSIONS})


def live(service: Service, request: Request) -> Reply:
    """200 while the process answers."""
    del service, request
    return json_reply({"live": True})


def ready(service: Service, request: Request) -> Reply:
    """200 when every model is ready, else 503."""
    del request
    return json_reply({"ready": service.models.ready}, 200 if service.models.ready else 503)


def model_ready(service: Service, request: Request, model: str, version: str = "") -> Reply:
    """200 when this model is ready, else 503."""
    del request
    state = _state(service, model, version)
    found = state.model is not None
    return json_reply({"name": state.name, "ready": found}, 200 if found else 503)


def metadata(service: Service, request: Request, model: str, version: str = "") -> Reply:
    """The model's inputs and outputs; -1 is a size that varies, the number of rows among them."""
    del request
    asked, state = _model(service, model, version)
    signature = asked.signature
    return json_reply(
        {
            "name": state.name,
            "versions": [_version(state)],
            "platform": _PLATFORMS[asked.artifact.kind],
            "inputs": [_tensor(spec, signature) for spec in signature.inputs],
            "outputs": [_tensor(spec, signature) for spec in signature.outputs],
        }
    )


def predict(service: Service, request: Request, model: str, version: str = "") -> Reply:
    """`infer`."""
    asked, state = _model(service, model, version, request)
    body = plain_body(service.settings, request)
    wish = infer.decode(body, request.headers.get(_LENGTH.lower()), service.expected(asked))
    outputs = service.predict(asked, wish.arrays, request)
    as_text = {item.name: outputs[item.name] for item in wish.wanted if item.classes or not item.binary}
    written, odd = numbers.settle(as_text, service.settings.non_finite)
    head = {"model_name": state.name, "model_version": _version(state)}
    content, length = infer.encode(wish, outputs, written, head, lambda name: labels_of(asked, name))
    headers = {_LENGTH: str(length)} if length else {}
    if odd:
        headers["X-Non-Finite"] = service.settings.non_finite
    content, coding = encoding.pack(content, request.headers.get("accept-encoding", ""))
    if coding:
        headers |= {"Content-Encoding": coding, "Vary": "Accept-Encoding"}
    return Reply(200, content, "application/octet-stream" if length else "application/json", headers)


def config(service: Service, request: Request, model: str, version: str = "") -> Reply:
    """What Triton's clients read of a model's configuration."""
    del request
    asked, state = _model(service, model, version)
    signature = asked.signature
    rows = signature.batch is not Batch.NONE
    return json_reply(
        {
            "name": state.name,
            "platform": _PLATFORMS[asked.artifact.kind],
            "backend": "dynolite",
            "version_policy": {"latest": {"num_versions": 1}},
            "max_batch_size": service.settings.max_instances if rows else 0,
            "input": [_configured(spec, rows=rows) for spec in signature.inputs],
            "output": [_configured(spec, rows=rows) for spec in signature.outputs],
            "instance_group": [{"name": state.name, "kind": "KIND_CPU", "count": asked.limits.interpreters}],
        }
    )


def stats(service: Service, request: Request, model: str = "", version: str = "") -> Reply:
    """Counts and times of this model, or of all, over all workers since the start. Requests are counted, not rows."""
    del request
    states = [_model(service, model, version)[1]] if model else list(service.models.states.values())
    return json_reply({"model_stats": [_statistics(service, state) for state in states if state.model]})


def index(service: Service, request: Request) -> Reply:
    """Every model with its state; `{"ready": true}` asks for those that are ready."""
    try:
        wish = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError:
        raise RequestError("the body is not JSON") from None
    only_ready = isinstance(wish, dict) and wish.get("ready") is True
    told = []
    for state in service.models.states.values():
        if state.model:
            told.append({"name": state.name, "version": _version(state), "state": "READY", "reason": ""})
        elif not only_ready:
            told.append({"name": state.name, "version": "", "state": "UNAVAILABLE", "reason": "not loaded"})
    return json_reply(told)


def _state(service: Service, name: str, version: str) -> State:
    found = service.models.states.get(name)
    for one in found.each if found else ():
        if not version or version in (_version(one), str(one.serial), *one.channels):
            return one
    # Triton's clients look for these words.
    which = f"{name[:100]!r} version {version[:100]!r}" if version else f"{name[:100]!r}"
    raise NotFoundError(f"Request for unknown model: {which} is not found")


def _model(service: Service, name: str, version: str, request: Request | None = None) -> tuple[Model, State]:
    """The model asked for; without a version the one for this `request`. Raises NotFoundError, NotReadyError."""
    state = _state(service, name, version)
    if request and not version:
        chosen = service.choose(name, request)
        state = next(one for one in state.each if one.model is chosen)
    return state.model or service.models.get(name), state


def _version(state: State) -> str:
    """The artifact's version, or its serial where it does not say."""
    return state.model.artifact.version if state.model and state.model.artifact.manifest else str(state.serial)


def _tensor(spec: TensorSpec, signature: Signature) -> dict[str, Any]:
    shape = spec.shape
    if signature.batch is not Batch.NONE and shape:
        shape = (-1, *spec.row_shape)
    return {"name": spec.name, "datatype": infer.DATATYPES.get(spec.client_dtype, "UNSUPPORTED"), "shape": shape}


def _configured(spec: TensorSpec, *, rows: bool) -> dict[str, Any]:
    datatype = infer.DATATYPES.get(spec.client_dtype, "INVALID")
    dims = spec.row_shape if rows else spec.shape
    return {
        "name": spec.name,
        "data_type": "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}",
        "format": "FORMAT_NHWC" if len(dims) == 3 and dims[-1] in (1, 3, 4) else "FORMAT_NONE",
        "dims": dims,
    }


def _statistics(service: Service, state: State) -> dict[str, Any]:
    if service.metrics is None:
        raise UnsupportedError("nothing is counted here: METRICS is off")
    version = state.model.artifact.version if state.model else ""
    stages = service.metrics.stages(state.name, version)
    failed, _ = stages.pop("failed")
    count = max(number for number, _ in stages.values())
    spent = {stage: {"count": number, "ns": round(seconds * 1e9)} for stage, (number, seconds) in stages.items()}
    return {
        "name": state.name,
        "version": _version(state),
        "last_inference": 0,
        "inference_count": count,
        "execution_count": count,
        "inference_stats": {
            "success": {"count": count, "ns": sum(item["ns"] for item in spent.values())},
            "fail": {"count": failed, "ns": 0},
            "queue": spent["queue"],
            "compute_input": spent["decode"],
            "compute_infer": spent["invoke"],
            "compute_output": spent["encode"],
        },
        "batch_stats": [],
    }


ROUTES = (
    Route("GET", "/v2", server),
    Route("GET", "/v2/health/live", live, "open"),
    Route("GET", "/v2/health/ready", ready, "open"),
    Route("GET", "/v2/models/stats", stats),
    Route("POST", "/v2/repository/index", index),
    *(
        Route(method, f"/v2/models/<model>{which}{end}", handler)
        for which in ("", "/versions/<version>")
        for method, end, handler in (
            ("GET", "", metadata),
            ("GET", "/ready", model_ready),
            ("GET", "/config", config),
            ("GET", "/stats", stats),
            ("POST", "/infer", predict),
        )
    ),
)
