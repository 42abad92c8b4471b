"""Golden samples: inputs with the outputs that production and Keras gave, to prove a file wherever it goes.

Each array has a leading axis that counts the samples; one sample is what one run of the interpreter takes or gives
(so with dimension 0 of 1 where that is the batch). Kept as `samples.npz`, byte strings as bytes and lengths, because
NumPy's own strings lose trailing NULs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ArtifactError
from runtime.wire import npy

Arrays = Mapping[str, NDArray[Any]]
_GROUPS = ("inputs", "outputs", "keras")


@dataclass(frozen=True)
class Samples:
    """`inputs`, the interpreter's `outputs` and (when known) Keras's, each name -> array of shape (count, ...).

    A replay passes when |got - outputs| <= tolerance x the output's largest magnitude (at least 1e-6), per output.
    """

    inputs: Arrays
    outputs: Arrays
    keras: Arrays = field(default_factory=dict)
    tolerance: float = 1e-3

    def __len__(self) -> int:
        return min((len(array) for array in self.inputs.values()), default=0)

    def __iter__(self) -> Iterator[tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]:
        """Each sample: the inputs of one run and the outputs expected of it."""
        for index in range(len(self)):
            yield (
                {name: array[index] for name, array in self.inputs.items()},
                {name: array[index] for name, array in self.outputs.items()},
            )


def dumps(samples: Samples) -> bytes:
    """The samples as .npz bytes, the same for the same samples."""
    arrays: dict[str, NDArray[Any]] = {"tolerance": np.float64(samples.tolerance).reshape(())}
    for group in _GROUPS:
        for name, array in getattr(samples, group).items():
            if array.dtype.kind in "OS":
                flat = [bytes(item) for item in array.ravel()]
                arrays[f"{group}/{name}#bytes"] = np.frombuffer(b"".join(flat), np.uint8)
                lengths = np.array([len(item) for item in flat], np.int64)
                arrays[f"{group}/{name}#lengths"] = lengths.reshape(array.shape)
            else:
                arrays[f"{group}/{name}"] = array
    return npy.dumps_npz(arrays)


def loads(data: bytes, limit: int) -> Samples:
    """The samples in .npz bytes that unpack to at most `limit`; ArtifactError if they are damaged."""
    try:
        arrays = npy.loads_npz(data, limit)
        groups: dict[str, dict[str, NDArray[Any]]] = {group: {} for group in _GROUPS}
        for key, array in arrays.items():
            group, _, name = key.partition("/")
            if group not in groups or name.endswith("#bytes"):
                continue
            if name.endswith("#lengths"):
                name = name.removesuffix("#lengths")
                array = _strings(arrays[f"{group}/{name}#bytes"], array)
            groups[group][name] = array
        counts = {len(array) for group in groups.values() for array in group.values()}
        if len(counts) != 1 or 0 in counts or not groups["inputs"] or not groups["outputs"]:
            raise ValueError("the arrays do not count the same samples")
        return Samples(**groups, tolerance=float(arrays["tolerance"]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ArtifactError(f"samples.npz is damaged: {error}") from None


def _strings(content: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    if lengths.dtype.kind not in "iu" or (lengths < 0).any() or int(lengths.sum()) != content.size:
        raise ValueError("string lengths do not add up")
    ends = np.cumsum(lengths.ravel())
    data = content.tobytes()
    array = np.empty(lengths.size, dtype=object)
    array[:] = [data[end - size : end] for end, size in zip(ends, lengths.ravel(), strict=True)]
    return array.reshape(lengths.shape)
