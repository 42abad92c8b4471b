"""TensorFlow Serving's REST API, and KServe's V1 protocol where it is the same.

    POST /v1/models/<model>[/versions/<n>|/labels/<label>]:predict     also :classify and :regress, which are 501
    GET  /v1/models/<model>[/versions/<n>|/labels/<label>]             status
    GET  /v1/models/<model>[/versions/<n>|/labels/<label>]/metadata
    GET  /v1/models                                                    KServe's list

Paths are matched whatever their case. A version is the model's serial in its index (1 without one), a label a channel.
Both protocols have `GET /v1/models/<model>`: the object that answers it has the keys of both.
Source: TensorFlow Serving, `http_rest_api_handler.cc`, `json_tensor.cc`, `get_model_status.proto`.
"""

from __future__ import annotations

import re
from typing import Any

from runtime.api.predict import json_predictions, plain_body
from runtime.core import Reply, Request, Route, Service, json_reply
from runtime.errors import MethodError, NotFoundError, RequestError, UnsupportedError
from runtime.model import Model
from runtime.models import State
from runtime.signature import Batch, Signature, TensorSpec
from runtime.wire import json_body

_WHICH = r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICTION = re.compile(_WHICH + ":(?P<verb>predict|classify|regress)", re.IGNORECASE)
_STATUS = re.compile(_WHICH + "(?P<metadata>/metadata)?", re.IGNORECASE)
_DTYPES = {
    "float16": "DT_HALF",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "string": "DT_STRING",
    "bool": "DT_BOOL",
    "complex64": "DT_COMPLEX64",
    "complex128": "DT_COMPLEX128",
}


def predict(
    service: Service, request: Request, model: str, version: str | None = None, label: str | None = None
) -> Reply:
    """`instances` or `inputs` in, `predictions` or `outputs` back. Names that are not known are passed over."""
    asked = _model(service, model, version, label, request)
    decoded = json_body.decode(plain_body(service.settings, request), service.expected(asked), json_body.SERVING)
    outputs = service.predict(asked, decoded.arrays, request)
    return json_predictions(asked, decoded, outputs, service.settings)


def post(service: Service, request: Request, rest: str) -> Reply:
    """Every other POST: a path of another case, the other verbs, or a malformed one."""
    del rest
    match = _PREDICTION.fullmatch(request.path)
    if match is None and (_STATUS.fullmatch(request.path) or request.path.lower() == "/v1/models"):
        raise MethodError(f"Malformed request: POST {request.path[:200]}", ("GET", "HEAD", "OPTIONS"))
    if match is None:
        raise RequestError(f"Malformed request: POST {request.path[:200]}")
    verb = match["verb"].lower()
    if verb != "predict":
        _model(service, match["model"], match["version"], match["label"])
        raise UnsupportedError(f":{verb} is not implemented here (it takes tf.Example features): ask :predict")
    return predict(service, request, match["model"], match["version"], match["label"])


def get(service: Service, request: Request, rest: str = "", model: str = "") -> Reply:
    """Status and metadata."""
    del rest, model
    match = _STATUS.fullmatch(request.path.rstrip("/"))
    if match is None and _PREDICTION.fullmatch(request.path):
        raise MethodError(f"Malformed request: GET {request.path[:200]}", ("OPTIONS", "POST"))
    if match is None:
        raise RequestError(f"Malformed request: GET {request.path[:200]}")
    if match["metadata"]:
        asked = _model(service, match["model"], match["version"], match["label"])
        return json_reply(_metadata(asked, service.models.state(match["model"])))
    return json_reply(_status(_state(service, match["model"], match["version"], match["label"])))


def models(service: Service, request: Request) -> Reply:
    """KServe's list of model names."""
    del request
    return json_reply({"models": list(service.models.states)})


def _model(
    service: Service, name: str, version: str | None, label: str | None, request: Request | None = None
) -> Model:
    """The model that is asked for; without version and label the one for this `request`.

    Raises NotFoundError in TensorFlow Serving's words, NotReadyError.
    """
    try:
        if request and version is None and label is None:
            return service.choose(name, request)
        return service.models.get(name, _number(version), label)
    except NotFoundError:
        which = f"Specific({name[:100]}, {version})" if version else f"Latest({name[:100]})"
        raise NotFoundError(f"Servable not found for request: {which}") from None


def _state(service: Service, name: str, version: str | None, label: str | None) -> State:
    try:
        state = service.models.state(name)
    except NotFoundError:
        raise NotFoundError(f"Could not find any versions of model {name[:100]}") from None
    numbered = [one for one in state.each if _number(version) in (None, one.serial)]
    if not numbered:
        raise NotFoundError(f"Could not find version {version} of model {name[:100]}")
    labelled = [one for one in numbered if label is None or label in one.channels]
    if not labelled:
        raise NotFoundError(f"Unrecognized servable version label: {label[:100] if label else ''}")
    return labelled[0]


def _number(version: str | None) -> int | None:
    if version is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", version):
        raise RequestError(f"Failed to convert version: {version[:40]} to numeric.")
    # OpenVINO's client asks for version 0 where it means any; serials begin at 1.
    return int(version) or None


def _status(state: State) -> dict[str, Any]:
    ready = state.model is not None
    told: dict[str, Any] = {"error_code": "OK", "error_message": ""}
    if not ready and state.reason:
        told = {"error_code": "UNAVAILABLE", "error_message": "the model is not loaded; GET /health says why"}
    version = {
        "version": str(state.serial),
        "state": "AVAILABLE" if ready else "LOADING",
        "status": told,
    }
    return {"model_version_status": [version], "name": state.name, "ready": ready}


def _metadata(model: Model, state: State) -> dict[str, Any]:
    signature = model.signature
    definition = {
        "inputs": {spec.name: _tensor(spec, signature) for spec in signature.inputs},
        "outputs": {spec.name: _tensor(spec, signature) for spec in signature.outputs},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    return {
        "model_spec": {"name": state.name, "signature_name": "", "version": str(state.serial)},
        # The doubled name is in the original: a map inside a message of the same name.
        "metadata": {"signature_def": {"signature_def": {"serving_default": definition}}},
    }


def _tensor(spec: TensorSpec, signature: Signature) -> dict[str, Any]:
    shape = spec.shape
    if signature.batch is not Batch.NONE and shape:
        shape = (-1, *spec.row_shape)
    return {
        "dtype": _DTYPES.get(spec.client_dtype, f"DT_{spec.client_dtype.upper()}"),
        "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in shape], "unknown_rank": False},
        "name": f"{spec.name}:0",
    }


ROUTES = (
    Route("POST", "/v1/models/<model>:predict", predict),
    Route("POST", "/v1/models/<model>/versions/<version>:predict", predict),
    Route("POST", "/v1/models/<model>/labels/<label>:predict", predict),
    Route("GET", "/v1/models", models),
    # The two below would do for these, but do not tell OPTIONS what they take.
    Route("GET", "/v1/models/<model>", get),
    Route("GET", "/v1/models/<model>/metadata", get),
    Route("POST", "/v1/<path:rest>", post),
    Route("POST", "/V1/<path:rest>", post),
    Route("GET", "/v1/<path:rest>", get),
    Route("GET", "/V1/<path:rest>", get),
)
