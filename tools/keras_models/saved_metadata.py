"""What a SavedModel of tf-keras tells of its layers: a node of JSON for each, beside the graph.

TF 2.5 and newer: keras_metadata.pb; older: in the objects of saved_model.pb itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from tools.errors import SourceFileError

_FILE = "keras_metadata.pb"
_KERAS = "_tf_keras_"  # what the identifiers of Keras's objects begin with


def read(path: Path) -> list[dict[str, Any]]:
    """The nodes that tf-keras would build layers from, none where no tf-keras saved it.

    Raises SourceFileError where even one cannot be read: what is not read cannot be searched for code.
    """
    try:
        nodes = [json.loads(text) for text in _texts(path)]
    except Exception as error:
        raise SourceFileError(
            f"{path.name} is damaged: what it tells of its Keras layers cannot be read. Copy it again"
        ) from error
    if not all(isinstance(node, dict) for node in nodes):
        raise SourceFileError(f"{path.name} is damaged: what it tells of its Keras layers is no JSON object")
    return nodes


def _texts(path: Path) -> Iterator[str]:
    """Read by the same means as tf-keras does, so that both see the same."""
    if (path / _FILE).exists():
        from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata  # noqa: PLC0415 - only such files need tf-keras

        for node in SavedMetadata.FromString((path / _FILE).read_bytes()).nodes:
            yield node.metadata
        return
    for graph in tf.__internal__.saved_model.parse_saved_model(str(path)).meta_graphs[:1]:
        objects = (item.user_object for item in graph.object_graph_def.nodes if item.HasField("user_object"))
        yield from (item.metadata for item in objects if item.identifier.startswith(_KERAS) and item.metadata)
