"""Whether a thing made earlier is still what its ingredients would make: by their content, never by dates."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path


class Freshness:
    """A stamp file that holds the digest of the ingredients at the time of the last making."""

    def __init__(self, stamp: Path, ingredients: Sequence[Path]) -> None:
        self._stamp, self._ingredients = stamp, ingredients

    def holds(self, *products: Path) -> bool:
        """Whether the products exist and no ingredient has changed since `keep`."""
        if not all(path.is_file() for path in (self._stamp, *products)):
            return False
        return self._stamp.read_text(encoding="ascii") == self._digest()

    def keep(self) -> None:
        """Remember the ingredients as they are now."""
        self._stamp.parent.mkdir(parents=True, exist_ok=True)
        self._stamp.write_text(self._digest(), encoding="ascii")

    def _digest(self) -> str:
        whole = hashlib.sha256()
        for path in self._ingredients:
            content = path.read_bytes() if path.is_file() else b""
            whole.update(f"{path.name} {len(content)}\n".encode() + content)
        return whole.hexdigest()
