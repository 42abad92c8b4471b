"""One model, loaded: its artifact, a pool of interpreters, and `predict(arrays) -> arrays`. No HTTP in it.

    from pathlib import Path
    from runtime import model
    digits = model.load(Path("digits.tflite"))
    digits.predict({"image": images})        # float32 of shape (rows, 8, 8, 1) -> {"probabilities": (rows, 10)}

Rows run in chunks of a bounded size where the batch is dynamic, one by one where it is fixed at 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime import artifact, interpreter, onnx, self_test
from runtime.artifact import Artifact
from runtime.errors import ArtifactError, DeadlineError, RequestError
from runtime.interpreter import Interpreter
from runtime.pool import Pool
from runtime.signature import Array, Batch, Signature, check_inputs, has_rows

_MOST_CHECKED = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may use; sizes in bytes, time in seconds."""

    interpreters: int = 1
    threads: int = 1
    max_waiting: int = 64
    chunk_bytes: int = 1 << 20
    max_tensor_bytes: int = 64 << 20
    seconds: float = 25.0


class Model:
    """A loaded model, safe to use from many threads. Made by `load`."""

    def __init__(self, source: Artifact, loaded: list[Interpreter], limits: Limits) -> None:
        self.artifact = source
        self.rename(source.name)
        self.signature: Signature = loaded[0].signature
        self.limits = limits
        self.chunk_rows = max(1, limits.chunk_bytes // loaded[0].row_bytes())
        self._pool = Pool(loaded, limits.max_waiting)
        # Shapes that were checked, with their number of rows: most clients send the same ones again and again.
        self._checked: dict[Any, int] = {}

    def rename(self, name: str) -> None:
        """Set the `name` it is served by, which MODEL_NAME may change, and with it `title`, for X-Model headers."""
        told = f"{name}; version={self.artifact.version}; digest={self.artifact.digest[:12]}"
        self.name = name
        self.title = told if told.isascii() and told.isprintable() else ascii(told).replace("\\", "%")[1:-1]

    def predict(
        self,
        inputs: Mapping[str, Array],
        deadline: float | None = None,
        mark: Callable[[str], None] = lambda _: None,
    ) -> dict[str, Array]:
        """Every input by name (rows in dimension 0 where the signature has a batch) -> every output by name.

        Arrays have the signature's client-side dtypes. `deadline` is a time of `time.monotonic`; `mark` is told when
        the stages "queue" and "invoke" end.
        Raises RequestError and its kin for bad inputs, OverloadError, DeadlineError, PredictError.
        """
        rows = self._check(inputs)
        if deadline is None:
            deadline = time.monotonic() + self.limits.seconds
        leased = self._pool.take(deadline)
        try:
            mark("queue")
            if self.signature.batch is Batch.ROW:
                outputs = self._one_by_one(leased, inputs, rows, deadline)
            elif rows <= self.chunk_rows:
                outputs = leased.run(inputs)
            else:
                outputs = self._in_chunks(leased, inputs, rows, deadline)
        finally:
            self._pool.give_back(leased)
        mark("invoke")
        return outputs

    def _check(self, inputs: Mapping[str, Array]) -> int:
        """`check_inputs`, which asks for names, shapes and sizes alone."""
        shapes = tuple([(name, array.shape, array.itemsize) for name, array in inputs.items()])
        rows = self._checked.get(shapes)
        if rows is None:
            rows = check_inputs(self.signature, inputs, self.limits.max_tensor_bytes)
            if len(self._checked) >= _MOST_CHECKED:
                self._checked.clear()
            self._checked[shapes] = rows
        return rows

    def _in_chunks(
        self, leased: Interpreter, inputs: Mapping[str, Array], rows: int, deadline: float
    ) -> dict[str, Array]:
        parts = []
        for start in range(0, rows, self.chunk_rows):
            _check_time(deadline)
            chunk = {name: array[start : start + self.chunk_rows] for name, array in inputs.items()}
            size = min(self.chunk_rows, rows - start)
            part = leased.run(chunk)
            for spec in self.signature.outputs:
                if not has_rows(spec, part[spec.name], size):
                    raise RequestError(
                        f"output {spec.name!r} has no rows of its own: send at most {self.chunk_rows} rows at a time"
                    )
            parts.append(part)
        return _join(parts)

    def _one_by_one(
        self, leased: Interpreter, inputs: Mapping[str, Array], rows: int, deadline: float
    ) -> dict[str, Array]:
        parts = []
        for row in range(rows):
            if row:
                _check_time(deadline)
            part = leased.run({name: array[row : row + 1] for name, array in inputs.items()})
            # An output without a dimension for the row gets one.
            parts.append(
                {
                    spec.name: part[spec.name] if has_rows(spec, part[spec.name], 1) else part[spec.name][None]
                    for spec in self.signature.outputs
                }
            )
        return parts[0] if rows == 1 else _join(parts)

    def self_test(self, *, every: bool = True) -> None:
        """Replay the golden samples (`every=False`: the first only), else run zeros; find out whether rows share a run.

        Raises SelfTestError when an output is not reproduced, ArtifactError when the interpreter cannot run the file.
        """
        samples = self.artifact.samples
        leased = self._pool.take(time.monotonic() + self.limits.seconds)
        try:
            if self.signature.batch is Batch.DYNAMIC and self.chunk_rows > 1:
                rows = self_test.two_rows(self.signature, samples)
                self.chunk_rows = self.chunk_rows if self_test.rows_share_a_run(leased, rows) else 1
            if samples is None:
                self_test.run_zeros(leased)
            else:
                self_test.replay(samples, leased, every=every)
        finally:
            self._pool.give_back(leased)


def load(path: Path, limits: Limits | None = None) -> Model:
    """Read, check and load a model file in this process. Raises ArtifactError.

    A file of unknown origin can crash the interpreter, and with it this process: `runtime.trial` tries it apart.
    """
    source, limits = artifact.read(path), limits or Limits()
    told = source.manifest.inputs if source.manifest else ()
    batch = all(tensor.batch for tensor in told) if told else None
    seam = onnx.load if source.kind == "onnx" else interpreter.load
    loaded: list[Interpreter] = [seam(path, limits.threads, batch) for _ in range(limits.interpreters)]
    _check_manifest(source, loaded[0].signature)
    return Model(source, loaded, limits)


def _check_manifest(source: Artifact, signature: Signature) -> None:
    if source.manifest is None:
        return
    for told, found in (
        (source.manifest.inputs, signature.inputs),
        (source.manifest.outputs, signature.outputs),
    ):
        if sorted(tensor.name for tensor in told) != [spec.name for spec in found]:
            names = ", ".join(spec.name for spec in found)
            raise ArtifactError(f"the manifest names other tensors than the model, which has {names}")


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise DeadlineError("the request has more rows than can be answered in its time: send fewer")


def _join(parts: list[dict[str, Array]]) -> dict[str, Array]:
    try:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    except ValueError:
        raise RequestError("the rows give outputs of different shapes: send one row at a time") from None
