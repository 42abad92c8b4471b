"""One model, whatever made it: named inputs, named outputs, a call and a SavedModel.

A functional, sequential or subclassed model of either Keras, or the signature of a SavedModel,
each seen as `dict of tensors -> dict of tensors`.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from tools.arrays import Array
from tools.calibration import Input
from tools.errors import SourceFileError

Tensors = Mapping[str, Any]
_AUTOMATIC = re.compile(r"(input_layer|keras_tensor)(_\d+)?(CLONE)?")


@dataclass(frozen=True)
class Spec:
    """An input: its name, its dtype (a NumPy name or `string`) and its shape, -1 where variable."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def as_input(self) -> Input:
        """The same for those who know nothing of TensorFlow."""
        return Input(self.name, self.dtype, self.shape)

    def tensor(self, batch: int | None) -> Any:
        """As TensorFlow says it, with dimension 0 fixed to `batch` unless None."""
        dims = [None if size < 0 else size for size in self.shape]
        if dims and batch is not None and dims[0] is None:
            dims[0] = batch
        return tf.TensorSpec(dims, tf.as_dtype(self.dtype), name=self.name)


class Subject(Protocol):
    """A loaded model."""

    framework: str
    inputs: list[Spec]
    own_names: list[str]  # of the inputs, as the model has them
    renamed: Mapping[str, str]  # outputs: the model's own name -> the name it is to have

    def call(self, inputs: Tensors) -> dict[str, Any]:
        """Every input by name -> every output by name, as tensors."""

    def save(self, folder: Path, batch: int | None) -> None:
        """Write a SavedModel with one signature `serving_default` that keeps the names."""

    def layers(self) -> list[Any]:
        """Every Keras layer, nested ones too; none for a bare SavedModel."""


class KerasSubject:
    """A model of Keras 3 or of tf-keras."""

    def __init__(self, model: Any, keras: Any, names: str = "") -> None:
        """`keras` is the package that made the model; `names` the file's text, to know its names."""
        self.model, self._keras = model, keras
        package = "keras" if keras.__name__ == "keras" else "tf-keras"
        self.framework = f"{package} {keras.__version__}"
        self._struct = _struct(model)
        self._leaves = _leaves(self._struct)
        self.own_names = _input_names(model, self._leaves, names)
        told = _unique([re.sub(r"[^\w.\-]", "_", name) for name in self.own_names])
        self.inputs = [
            Spec(name, tf.as_dtype(leaf.dtype).name, _shape(leaf.shape))
            for name, leaf in zip(told, self._leaves, strict=True)
        ]
        self.renamed: Mapping[str, str] = {}
        self._training = "training" in inspect.signature(model.call).parameters

    def call(self, inputs: Tensors) -> dict[str, Any]:
        """See `Subject.call`."""
        if tf.executing_eagerly():
            self._reset_states()
        order = {id(leaf): spec.name for leaf, spec in zip(self._leaves, self.inputs, strict=True)}
        packed = _map(self._struct, lambda leaf: inputs[order[id(leaf)]])
        options = {"training": False} if self._training else {}
        if isinstance(self._struct, _Arguments):
            result = self.model(**packed, **options)
        else:
            result = self.model(packed, **options)
        named = _name_outputs(result, self._output_names())
        return {self.renamed.get(name, name): tensor for name, tensor in named.items()}

    def _reset_states(self) -> None:
        """Forget what stateful recurrent layers hold: each request starts anew when served."""
        for layer in self.layers():
            if getattr(layer, "stateful", False):
                reset = getattr(layer, "reset_state", None) or getattr(layer, "reset_states", None)
                if reset is not None:
                    reset()

    def save(self, folder: Path, batch: int | None) -> None:
        """See `Subject.save`."""
        self._reset_states()
        archive = self._keras.export.ExportArchive()
        archive.track(self.model)
        specs = {spec.name: spec.tensor(batch) for spec in self.inputs}
        archive.add_endpoint("serve", self.call, input_signature=[specs])
        archive.write_out(str(folder))

    def layers(self) -> list[Any]:
        """See `Subject.layers`."""
        flatten = getattr(self.model, "_flatten_layers", None)
        if flatten is None:
            return list(self.model.layers)
        return list(flatten())

    def _output_names(self) -> list[str]:
        names = list(getattr(self.model, "output_names", None) or [])
        if not names and type(self.model).__name__ == "Sequential":
            names = [self.model.layers[-1].name]
        return _unique(names)


class SavedModelSubject:
    """The serving signature of a SavedModel."""

    def __init__(self, path: Path) -> None:
        self.framework = f"tensorflow {tf.__version__}"
        self._loaded = tf.saved_model.load(str(path))
        signatures = self._loaded.signatures
        keys = [key for key in signatures if not key.startswith("__")]
        if not keys:
            raise SourceFileError(
                f"{path.name} has no serving signature: save it with "
                "tf.saved_model.save(model, folder, signatures=...) or model.export(folder)"
            )
        self._function = signatures["serving_default" if "serving_default" in keys else keys[0]]
        given = self._function.structured_input_signature[1]
        self.inputs = [Spec(name, spec.dtype.name, _saved_shape(spec)) for name, spec in given.items()]
        self.own_names = list(given)
        self.renamed: Mapping[str, str] = {}

    def call(self, inputs: Tensors) -> dict[str, Any]:
        """See `Subject.call`."""
        tensors = {
            own: tf.convert_to_tensor(inputs[spec.name]) for own, spec in zip(self.own_names, self.inputs, strict=True)
        }
        named = self._function(**tensors)
        return {self.renamed.get(name, name): tensor for name, tensor in named.items()}

    def save(self, folder: Path, batch: int | None) -> None:
        """See `Subject.save`."""
        module = tf.Module()
        module.loaded = self._loaded
        specs = [spec.tensor(batch) for spec in self.inputs]
        names = [spec.name for spec in self.inputs]
        wrapped = tf.function(
            lambda *tensors: self.call(dict(zip(names, tensors, strict=True))),
            input_signature=specs,
        )
        tf.saved_model.save(module, str(folder), signatures=wrapped.get_concrete_function())

    def layers(self) -> list[Any]:
        """See `Subject.layers`."""
        return []


class _Arguments(dict[str, Any]):
    """The inputs of a model whose `call` takes several arguments."""


@dataclass(frozen=True)
class _Leaf:
    """An input of a subclassed model, which has no symbolic tensor."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"


def _struct(model: Any) -> Any:
    """The nested structure that the model is called with, its leaves having shape and dtype."""
    inner = getattr(model, "_functional", None) or model
    for attribute in ("_inputs_struct", "_nested_inputs"):
        struct = getattr(inner, attribute, None)
        if struct is not None:
            single = isinstance(struct, list | tuple) and len(struct) == 1
            return struct[0] if single and inner is not model else struct
    shapes = getattr(model, "_build_shapes_dict", None)
    if shapes:
        named = {key.removesuffix("_shape"): _shapes(value) for key, value in shapes.items()}
        return next(iter(named.values())) if len(named) == 1 else _Arguments(named)
    spec = getattr(model, "save_spec", lambda: None)()
    if spec is not None:
        return spec[0][0]
    shape = getattr(model, "_build_input_shape", None)
    if shape:
        return _shapes(shape)
    raise SourceFileError(
        "the model does not know its input shape: call it once on real data before saving it, or give it an Input layer"
    )


def _shapes(value: Any, name: str = "input") -> Any:
    """The shapes in a build configuration as leaves."""
    if isinstance(value, dict):
        return {key: _shapes(item, str(key)) for key, item in value.items()}
    if all(size is None or isinstance(size, int) for size in value):
        return _Leaf(name, (None, *value[1:]))
    return [_shapes(item, f"{name}_{index}") for index, item in enumerate(value)]


def _map(struct: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(struct, dict):
        return {key: _map(item, change) for key, item in struct.items()}
    if isinstance(struct, list | tuple) and not hasattr(struct, "dtype"):
        return [_map(item, change) for item in struct]
    return change(struct)


def _leaves(struct: Any) -> list[Any]:
    found: list[Any] = []
    _map(struct, found.append)
    return found


def _input_names(model: Any, leaves: list[Any], text: str) -> list[str]:
    """The leaves' names; one that Keras made up at this very load becomes `input`."""
    known = {
        id(tensor): name
        for tensor, name in zip(
            getattr(model, "inputs", None) or [],
            getattr(model, "input_names", None) or [],
            strict=False,
        )
    }
    names = []
    for leaf in leaves:
        name = known.get(id(leaf)) or str(leaf.name or "input")
        made_up = _AUTOMATIC.fullmatch(name) and f'"{name}"' not in text
        names.append("input" if made_up else name.split(":")[0])
    return _unique(names)


def _name_outputs(result: Any, names: list[str]) -> dict[str, Any]:
    """Name what a model returned: by its own keys, its layers' names, or by position."""
    flat = _flatten(result)
    if len(names) == len(flat) and not isinstance(result, dict):
        return dict(zip(names, (tensor for _, tensor in flat), strict=True))
    paths = ["_".join(path) or "output" for path, _ in flat]
    if not isinstance(result, dict) and len(flat) > 1:
        paths = [f"output_{path}" for path in paths]
    return dict(zip(_unique(paths), (tensor for _, tensor in flat), strict=True))


def _flatten(result: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(result, dict):
        return [leaf for key in result for leaf in _flatten(result[key], (*path, str(key)))]
    if isinstance(result, list | tuple):
        pairs = enumerate(result)
        return [leaf for index, item in pairs for leaf in _flatten(item, (*path, str(index)))]
    return [(path, result)]


def _unique(names: list[str]) -> list[str]:
    """The names with _1, _2 ... after those that are there twice."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        unique.append(f"{name}_{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return unique


def _shape(shape: Any) -> tuple[int, ...]:
    return tuple(-1 if size is None else int(size) for size in shape)


def _saved_shape(spec: Any) -> tuple[int, ...]:
    if spec.shape.rank is None:
        raise SourceFileError(
            f"input {spec.name} of the SavedModel has no shape: export it again with an input "
            "signature, tf.TensorSpec([None, ...])"
        )
    return _shape(spec.shape)


def to_numpy(outputs: Mapping[str, Any]) -> dict[str, Array]:
    """Tensors as NumPy arrays."""
    return {name: tensor.numpy() for name, tensor in outputs.items()}
