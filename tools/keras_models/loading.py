"""A model file -> a Subject, through the Keras that wrote it.

Keras 3 file            Keras 3
Keras 2 or 1 file       tf-keras, which reads what Keras 3 refuses or reads wrongly
SavedModel              its serving signature
"""

from __future__ import annotations

import contextlib
import importlib
import json
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import entry_points
from tools.errors import SourceFileError
from tools.keras_models import refusals, saved_metadata
from tools.keras_models.repairs import readable
from tools.keras_models.subject import KerasSubject, SavedModelSubject, Subject
from tools.model_files import KERAS, PARTS, SAVED_MODEL, ModelFile, is_keras3_weights


def load(file: ModelFile, custom_objects: str = "", trust: bool = False) -> Subject:
    """Load a model. `custom_objects` names a module (or module:name of a dict) with its classes.

    Raises SourceFileError, in the words of the failure at hand.
    """
    if file.kind == SAVED_MODEL:
        return SavedModelSubject(file.path)
    carried = file.code_layers()
    if carried and not trust:
        raise refusals.untrusted(file.path.name, carried)
    objects = _custom_objects(custom_objects)
    keras = importlib.import_module("tf_keras" if file.generation == 2 else "keras")
    model = _load_model(keras, file, objects, trust)
    own = importlib.import_module("tf_keras") if type(model).__module__.startswith("tf_keras") else keras
    return KerasSubject(model, own, json.dumps(file.config))


def rebuild(path: Path, custom_objects: str, trust: bool) -> Subject | None:
    """A SavedModel of tf-keras as its Keras model, whose batch can be fixed; None where that cannot be had."""
    nodes = saved_metadata.read(path)
    if not nodes:
        return None
    carried = ModelFile(SAVED_MODEL, path, config={"nodes": nodes}).code_layers()
    if carried and not trust:
        raise refusals.untrusted(path.name, carried)
    keras, objects = importlib.import_module("tf_keras"), _custom_objects(custom_objects)
    try:
        with _scope(keras, objects, trust):
            return KerasSubject(keras.models.load_model(path, compile=False, safe_mode=not trust), keras)
    except Exception:  # noqa: BLE001 - its signature is there still, and may do
        traceback.print_exc()
        return None


def _load_model(keras: Any, file: ModelFile, objects: dict[str, Any], trust: bool) -> Any:
    try:
        if file.factory:  # code of one's own, which decides for itself what it trusts
            with keras.utils.custom_object_scope(objects):
                return _weighted(entry_points.resolve(file.factory)(), file)
        with _scope(keras, objects, trust):
            if file.kind == PARTS:
                return _weighted(keras.models.model_from_json(json.dumps(file.config)), file)
            with _named(readable(file), ".keras" if file.kind == KERAS else ".h5") as path:
                return keras.models.load_model(path, compile=False, safe_mode=not trust)
    except (SourceFileError, MemoryError):
        raise
    except Exception as error:
        raise refusals.explain(str(error), file) from error


def _weighted(model: Any, file: ModelFile) -> Any:
    """The model with the weights that lie beside it, if any do."""
    if file.weights is not None:
        suffix = ".weights.h5" if is_keras3_weights(file.weights) else ".h5"
        with _named(file.weights, suffix) as path:
            model.load_weights(path)
    return model


@contextlib.contextmanager
def _scope(keras: Any, objects: dict[str, Any], trust: bool) -> Iterator[None]:
    """Where `objects` are known, and code in a file is not run without trust: not every loader takes `safe_mode`."""
    serialization = importlib.import_module(f"{keras.__name__}.src.saving.serialization_lib")
    with keras.utils.custom_object_scope(objects), serialization.SafeModeScope(not trust):
        yield


@contextlib.contextmanager
def _named(path: Path, suffix: str) -> Iterator[str]:
    """The file under a name with that suffix: Keras goes by the name, we by the content."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"model{suffix}"
        link.symlink_to(path.resolve())
        yield str(link)


def _custom_objects(name: str) -> dict[str, Any]:
    if not name:
        return {}
    found = entry_points.resolve(name)
    return (
        dict(found)
        if isinstance(found, dict)
        else {key: value for key, value in vars(found).items() if not key.startswith("_")}
    )
