"""The user's own code around a model: `before(inputs) -> inputs` and `after(outputs) -> outputs`, on arrays by name.

    client --INPUTS--> before --the model's inputs--> model --its outputs--> after --OUTPUTS--> client

MODEL_HOOKS names a module or a file; `hooks.py` in the working directory is MODEL_URL's by itself. Either function may
be missing. Where names, dtypes or shapes on the client's side are not the model's, the module says so:

    INPUTS = {"text": ("string", (-1,))}         name: (dtype, shape), -1 for a size that varies
    OUTPUTS = {"accepted": ("bool", (-1,))}
    EXAMPLE = {"text": np.array([b"hello"])}     inputs to try the hooks on; the golden samples where there is no INPUTS
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from runtime.errors import DynoliteError, HookError, RefusedError, RequestError
from runtime.model import Model
from runtime.signature import Array, Signature, TensorSpec, batch_of, check_inputs, check_names, convert, describe

Function = Callable[[dict[str, Array]], Mapping[str, Any]]


class Hooks:
    """The functions of one module, with what it says of itself."""

    def __init__(self, module: ModuleType) -> None:
        """Raises HookError if the module is not one of hooks."""
        self.file = Path(module.__file__ or module.__name__)
        self._before = _function(module, "before")
        self._after = _function(module, "after")
        if self._before is None and self._after is None:
            raise HookError(f"{self.file.name} has neither before() nor after()")
        self._inputs = _specs(module, "INPUTS")
        self._outputs = _specs(module, "OUTPUTS")
        self.example: Mapping[str, Array] | None = getattr(module, "EXAMPLE", None)

    @property
    def has_inputs(self) -> bool:
        """Whether clients send other inputs than the model's own."""
        return bool(self._inputs)

    def outside(self, inner: Signature) -> Signature:
        """The signature that clients see, from the model's own."""
        inputs = self._inputs or inner.inputs
        batch = batch_of(inputs) if self._inputs else inner.batch
        return Signature(inputs, self._outputs or inner.outputs, batch, inner.name)

    def before(self, inputs: Mapping[str, Array], inner: Signature) -> dict[str, Array]:
        """Make the model's inputs of the client's. Raises HookError, and RequestError where the user's code does."""
        given = self._call("before", self._before, inputs)
        arrays = self._checked("before", given, inner.inputs, inner)
        if self._before or self._inputs:
            with self._own("before"):
                check_inputs(inner, arrays, sys.maxsize)  # their size is looked at with the model's limits
        return arrays

    def after(self, outputs: Mapping[str, Array], outside: Signature) -> dict[str, Array]:
        """Make the client's outputs of the model's. Raises HookError, and RequestError where the user's code does."""
        given = self._call("after", self._after, outputs)
        arrays = self._checked("after", given, outside.outputs, Signature(outside.outputs, (), outside.batch))
        with self._own("after"):
            for spec in self._outputs:
                _check_output(spec, arrays[spec.name])
        return arrays

    def _call(self, name: str, function: Function | None, arrays: Mapping[str, Array]) -> Mapping[str, Any]:
        if function is None:
            return arrays
        try:
            given = function(dict(arrays))
        except RequestError:
            raise
        except Exception as error:
            raise HookError(f"{self._where(name, error)}: {type(error).__name__}: {error}") from error
        if not isinstance(given, Mapping):
            raise HookError(
                f"{self.file.name}: {name}() must return a dict of arrays by name, got {type(given).__name__}"
            )
        return given

    def _checked(
        self, name: str, given: Mapping[str, Any], specs: tuple[TensorSpec, ...], signature: Signature
    ) -> dict[str, Array]:
        """What a function gave, as arrays of the dtypes that are to come next."""
        with self._own(name):
            check_names(signature, given)
            return {spec.name: _array(spec, given[spec.name]) for spec in specs}

    @contextlib.contextmanager
    def _own(self, name: str) -> Iterator[None]:
        """What is found here is the fault of a function and no client's, whose request has been checked before."""
        try:
            yield
        except (DynoliteError, ValueError, TypeError) as error:
            raise HookError(f"{self.file.name}: {name}() gave something else than is to come of it: {error}") from error

    def _where(self, name: str, error: Exception) -> str:
        """The file and line in the user's own code where the error came from."""
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.file)
        ]
        return f"{self.file.name} line {lines[-1]}, in {name}()" if lines else f"{self.file.name}, in {name}()"


class HookedModel(Model):
    """A model with hooks around it: a model like any other to those who ask."""

    def __init__(self, inner: Model, hooks: Hooks) -> None:
        """Take the place of `inner`. The parent's own parts stay with it: nothing is loaded twice."""
        self.artifact = inner.artifact
        self.rename(inner.name)
        self.limits, self.chunk_rows = inner.limits, inner.chunk_rows
        self.signature = hooks.outside(inner.signature)
        self._inner, self._hooks = inner, hooks

    def predict(
        self,
        inputs: Mapping[str, Array],
        deadline: float | None = None,
        mark: Callable[[str], None] = lambda _: None,
    ) -> dict[str, Array]:
        """As `Model.predict`, with the client's inputs and outputs. Also raises HookError."""
        check_inputs(self.signature, inputs, self.limits.max_tensor_bytes)
        inner = self._hooks.before(inputs, self._inner.signature)
        mark("decode")
        return self._hooks.after(self._inner.predict(inner, deadline, mark), self.signature)

    def self_test(self, *, every: bool = True) -> None:
        """The model's own test, then the hooks around it where inputs for them are known. Also raises HookError."""
        self._inner.self_test(every=every)
        samples, inputs = self.artifact.samples, self._hooks.example
        if inputs is None and samples is not None and not self._hooks.has_inputs:
            inputs = next(iter(samples))[0]
        if inputs is not None:
            # Values that the model or the user's own check refuses are no fault of the hooks.
            with contextlib.suppress(RefusedError):
                self.predict(inputs)
        elif samples is not None:
            self._hooks.after(next(iter(samples))[1], self.signature)


def around(model: Model, hooks: Hooks | None) -> Model:
    """The model with these hooks around it; the model itself where there are none, which then cost nothing."""
    return HookedModel(model, hooks) if hooks else model


@cache
def load(name: str) -> Hooks | None:
    """The hooks of a module, or of a file if the name ends in .py; None for "".

    Loaded once in each process. Raises HookError that tells the user's own error with its line.
    """
    if not name:
        return None
    if not name.endswith(".py"):
        return Hooks(_imported(name, lambda: importlib.import_module(name)))
    path = Path(name).resolve()
    if not path.is_file():
        raise HookError(f"MODEL_HOOKS: there is no file {name}")
    return Hooks(_imported(path.name, lambda: _from_file(path)))


def _imported(name: str, load_module: Callable[[], ModuleType]) -> ModuleType:
    try:
        return load_module()
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
        at = f"{Path(frames[-1].filename).name} line {frames[-1].lineno}" if len(frames) > 2 else name
        if isinstance(error, SyntaxError):
            at = f"{Path(error.filename or name).name} line {error.lineno}"
        raise HookError(f"MODEL_HOOKS: {name} cannot be imported: {at}: {type(error).__name__}: {error}") from error


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"dynolite_hooks_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _function(module: ModuleType, name: str) -> Function | None:
    function: Function | None = getattr(module, name, None)
    if function is not None and not callable(function):
        raise HookError(f"{Path(module.__file__ or '').name}: {name} must be a function")
    return function


def _specs(module: ModuleType, name: str) -> tuple[TensorSpec, ...]:
    told = getattr(module, name, {})
    specs = []
    try:
        for tensor, (dtype, shape) in sorted(told.items()):
            if dtype != "string":
                dtype = np.dtype(dtype).name
            specs.append(TensorSpec(str(tensor), dtype, tuple(int(size) for size in shape)))
    except (AttributeError, TypeError, ValueError) as error:
        file = Path(module.__file__ or "").name
        raise HookError(f"{file}: {name} must be like {{'text': ('string', (-1,))}}: {error}") from error
    return tuple(specs)


def _check_output(spec: TensorSpec, array: Array) -> None:
    """OUTPUTS tells clients this shape. Dimension 0, as -1 or 1, counts the rows."""
    want = (-1, *spec.row_shape) if spec.shape[:1] == (1,) else spec.shape
    if len(want) != array.ndim or any(size not in (-1, came) for size, came in zip(want, array.shape, strict=True)):
        raise ValueError(f"output {spec.name!r}: expected shape {describe(want)}, got {describe(array.shape)}")


def _array(spec: TensorSpec, value: Any) -> Array:
    """A value that a function gave, as the spec's dtype; numbers that do not fit are refused, not cut."""
    array = np.asarray(value)
    if spec.dtype == "string":
        if array.dtype.kind not in "OSU":
            raise TypeError(f"{spec.name!r} must be strings, got {array.dtype}")
        told = np.empty(array.shape, dtype=object)
        told.flat[:] = [item.encode() if isinstance(item, str) else bytes(item) for item in array.ravel()]
        return told
    real = np.dtype(spec.client_dtype).kind == "f"
    if real and array.dtype.kind == "f" and not np.isfinite(array).all():
        return array.astype(spec.client_dtype)
    return convert(spec, array, repr(spec.name))
