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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import entry_points
from tools.errors import SourceFileError
from tools.keras_models import refusals
from tools.keras_models.precision import float32
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
        raise untrusted(file.path.name, carried)
    objects = _custom_objects(custom_objects)
    keras = importlib.import_module("tf_keras" if file.generation == 2 else "keras")
    model = _load_model(keras, file, objects, trust)
    own = importlib.import_module("tf_keras") if type(model).__module__.startswith("tf_keras") else keras
    return KerasSubject(model, own, json.dumps(file.config))


def rebuild(path: Path, custom_objects: str, trust: bool) -> Subject | None:
    """A SavedModel of tf-keras as its Keras model, whose batch can be fixed; None if it has none."""
    metadata = path / "keras_metadata.pb"
    if not metadata.exists():
        return None
    if b'"class_name": "Lambda"' in metadata.read_bytes() and not trust:
        raise untrusted(path.name, ["a Lambda"])
    keras = importlib.import_module("tf_keras")
    with keras.utils.custom_object_scope(_custom_objects(custom_objects)):
        return KerasSubject(keras.models.load_model(path, compile=False), keras)


def untrusted(name: str, carried: list[str]) -> SourceFileError:
    """The refusal of a file that would run code of its own."""
    return SourceFileError(
        f"{name} carries Python code (in {', '.join(carried[:5])}) that runs when it is loaded: if you know where the "
        "file comes from, add --trust; better, replace the Lambda by a layer of its own or by keras.ops"
    )


def _load_model(keras: Any, file: ModelFile, objects: dict[str, Any], trust: bool) -> Any:
    try:
        with keras.utils.custom_object_scope(objects):
            if file.kind == PARTS:
                return _assemble(keras, file)
            with _named(float32(file), ".keras" if file.kind == KERAS else ".h5") as path:
                return keras.models.load_model(path, compile=False, safe_mode=not trust)
    except (SourceFileError, MemoryError):
        raise
    except Exception as error:
        raise refusals.explain(str(error), file) from error


def _assemble(keras: Any, file: ModelFile) -> Any:
    if file.factory:
        model = entry_points.resolve(file.factory)()
    else:
        model = keras.models.model_from_json(json.dumps(file.config))
    if file.weights is not None:
        suffix = ".weights.h5" if is_keras3_weights(file.weights) else ".h5"
        with _named(file.weights, suffix) as path:
            model.load_weights(path)
    return model


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
