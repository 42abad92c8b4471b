"""What a loaded model must show before it is served: that it runs, and gives its golden samples again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from runtime import interpreter
from runtime.errors import ArtifactError, RefusedError, SelfTestError
from runtime.interpreter import Interpreter
from runtime.samples import Samples
from runtime.signature import Array, Batch, Signature, has_rows

# Of the output's largest magnitude: other kernels run for other batch sizes, a quantized one may differ by a step.
_ROW_TOLERANCE = 0.02


def replay(samples: Samples, leased: Interpreter, *, every: bool = True) -> None:
    """Run the golden samples and compare; SelfTestError tells the output and how far it is off."""
    for index, (inputs, expected) in enumerate(samples):
        try:
            got = leased.run(inputs)
        except RefusedError as error:
            raise SelfTestError(f"golden sample {index}: {interpreter.explain(str(error.__cause__))}") from error
        for name, want in expected.items():
            if name not in got:
                raise SelfTestError(f"golden sample {index}: the model has no output {name!r}")
            problem = _difference(got[name], want, samples.tolerance)
            if problem:
                raise SelfTestError(f"golden sample {index}: output {name!r} {problem}")
        if not every:
            return


def _difference(got: Array, want: Array, tolerance: float) -> str:
    if got.shape != want.shape:
        return f"has shape {got.shape}, expected {want.shape}"
    if want.dtype.kind in "OSb":
        return "" if np.array_equal(got, want) else "differs"
    allowed = tolerance * max(float(np.max(np.abs(want[np.isfinite(want)]), initial=0)), 1e-6)
    if np.allclose(got, want, rtol=0, atol=allowed, equal_nan=True):
        return ""
    if not np.array_equal(np.isfinite(got), np.isfinite(want)):
        return "is infinite or no number where it should not be, or the other way round"
    with np.errstate(invalid="ignore"):  # of equal infinities
        differences = np.abs(got.astype(np.float64) - want.astype(np.float64))
    worst = float(np.max(differences[~np.isnan(differences)], initial=0))
    return f"is off by {worst:.3g}, allowed is {allowed:.3g}"


def zeros(signature: Signature, length: int = 1) -> dict[str, Array]:
    """Inputs of zeros (empty strings) for one row; every other variable dimension is `length`."""
    made: dict[str, Array] = {}
    rows = 1 if signature.batch is not Batch.NONE else length
    for spec in signature.inputs:
        shape = tuple(size if size >= 0 else length if axis else rows for axis, size in enumerate(spec.shape))
        made[spec.name] = np.full(shape, b"", object) if spec.dtype == "string" else np.zeros(shape, spec.dtype)
    return made


def run_zeros(leased: Interpreter) -> None:
    """Show that a plain file runs at all. Zeros may be refused for what they are; operators may not be missing."""
    try:
        leased.run(zeros(leased.signature))
    except RefusedError as error:
        if not any(-1 in spec.shape[1:] for spec in leased.signature.inputs):
            raise ArtifactError(
                f"the interpreter cannot run it: {interpreter.explain(str(error.__cause__))}"
            ) from error


def two_rows(signature: Signature, samples: Samples | None) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """Two rows that differ: golden samples where there are two of them, else made of zeros and of ones."""
    found = [inputs for inputs, _ in samples or ()][:2]
    if len(found) == 2:
        return found[0], found[1]
    made = zeros(signature)
    return made, {name: array if array.dtype.kind == "O" else np.ones_like(array) for name, array in made.items()}


def rows_share_a_run(leased: Interpreter, rows: tuple[Mapping[str, Array], Mapping[str, Array]]) -> bool:
    """Whether two rows in one run give what each gives alone.

    A batch of -1 in the signature does not promise it: some converted operators keep the batch they were made with.
    """
    first, second = rows
    try:
        alone = leased.run(first), leased.run(second)
        both = leased.run({name: np.concatenate([first[name], second[name]]) for name in first})
    except (RefusedError, ValueError):  # ValueError: samples of different lengths
        return False
    for spec in leased.signature.outputs:
        single, double = alone[0][spec.name], both[spec.name]
        if has_rows(spec, double, 2):
            if any(_difference(double[row], alone[row][spec.name][0], _ROW_TOLERANCE) for row in (0, 1)):
                return False
        elif has_rows(spec, single, 1):
            return False
    return True
