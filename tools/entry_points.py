"""What a name such as `module:function` stands for, as command lines take it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from tools.errors import SourceFileError


def resolve(name: str) -> Any:
    """The module, or the thing in it after the colon; the current folder is looked into too.

    Importing runs the module's code. Raises SourceFileError when it is not there.
    """
    module, _, attribute = name.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(1, folder)
    try:
        found: Any = importlib.import_module(module.removesuffix(".py"))
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        raise SourceFileError(
            f"{name}: there is no module {error.name} in the current folder or the environment"
        ) from None
    except AttributeError:
        raise SourceFileError(f"{name}: the module {module} has no {attribute}") from None
    return found
