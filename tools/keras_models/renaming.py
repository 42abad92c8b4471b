"""Names for inputs and outputs that the command line gives in place of the model's own."""

from __future__ import annotations

from dataclasses import replace

from tools.errors import DataError
from tools.keras_models.subject import Subject


def rename_inputs(subject: Subject, told: list[str]) -> None:
    """Give the inputs the names in `told`: `NEW` for the only one, `OLD=NEW` among several."""
    names = _mapping("--input-name", told, [spec.name for spec in subject.inputs])
    subject.inputs = [replace(s, name=names.get(s.name, s.name)) for s in subject.inputs]


def rename_outputs(subject: Subject, told: list[str], own: list[str]) -> list[str]:
    """Give the outputs, `own` by name, the names in `told`; all names as they are then."""
    names = _mapping("--output-name", told, own)
    subject.renamed = names
    return [names.get(name, name) for name in own]


def _mapping(option: str, told: list[str], own: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for text in told:
        old, _, new = text.rpartition("=")
        old = old or (own[0] if len(own) == 1 else "")
        if old not in own:
            listed = ", ".join(repr(name) for name in own)
            raise DataError(f"{option} {text}: give OLD=NEW, where OLD is one of {listed}")
        names[old] = new
    final = [names.get(name, name) for name in own]
    if len(set(final)) < len(final):
        raise DataError(f"{option}: two would be named alike: {', '.join(final)}")
    return names
