"""Which operators, up to which version, each interpreter knows: checked before a file is run.

`operator_versions.json` holds a row for each builtin operator, by its number in the schema. It was
measured: for every operator and version a file that declares it was offered to the interpreter.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from runtime.flatbuffer import Operator, operators

_TABLE = Path(__file__).resolve().parent / "operator_versions.json"
_CUSTOM = 32


@cache
def known(package: str) -> tuple[str, list[tuple[str, int]]]:
    """The version of the package that was measured, and by number each operator's name and version.

    A version of 0 says that the package does not have the operator at all.
    """
    table = json.loads(_TABLE.read_text("utf-8"))
    column = next(i for i, head in enumerate(table["columns"]) if head.startswith(f"{package} "))
    version = table["columns"][column].split()[1]
    return version, [(row[0], row[column]) for row in table["rows"]]


def unsupported(content: bytes, package: str) -> list[str]:
    """What the file needs and the package lacks, a sentence each; empty when it has all.

    Custom operators other than TensorFlow's own are left to the interpreter.
    """
    version, names = known(package)
    found = (_problem(operator, f"{package} {version}", names) for operator in operators(content))
    return sorted({problem for problem in found if problem})


def _problem(operator: Operator, package: str, names: list[tuple[str, int]]) -> str:
    if operator.code == _CUSTOM:
        if not operator.custom.startswith("Flex"):
            return ""
        return f"{operator.custom} is a TensorFlow (Flex) operator, which {package} does not have"
    if operator.code >= len(names):
        return f"operator number {operator.code} is newer than {package}"
    name, highest = names[operator.code]
    if highest == 0:
        return f"{name} is an operator that {package} does not have"
    if operator.version > highest:
        return f"{name} has version {operator.version}, {package} knows it up to {highest}"
    return ""
