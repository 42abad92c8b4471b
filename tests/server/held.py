"""Predictions that begin and then wait until the test lets them go on: what must happen meanwhile is sure to."""

from __future__ import annotations

import time
from pathlib import Path

from tests.server.conftest import PATIENCE

_HOOKS = """
import threading
import time
from pathlib import Path

FOLDER = Path({folder!r})


def before(inputs):
    (FOLDER / f"begun-{{threading.get_ident()}}-{{time.monotonic_ns()}}").touch()
    if (FOLDER / "hold").exists():
        (FOLDER / f"entered-{{threading.get_ident()}}-{{time.monotonic_ns()}}").touch()
    until = time.monotonic() + {seconds}
    while (FOLDER / "hold").exists():
        if time.monotonic() > until:
            raise TimeoutError("nobody let it go on")
        time.sleep(0.01)
    return inputs


def after(outputs):
    (FOLDER / f"computed-{{threading.get_ident()}}-{{time.monotonic_ns()}}").touch()
    return outputs
"""


class Held:
    """Hooks for a server, by which its predictions are held; they begin held as soon as `hold` was called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.hooks = folder / "held_hooks.py"
        self.hooks.write_text(_HOOKS.format(folder=str(folder), seconds=PATIENCE))

    def hold(self) -> None:
        """From now on; what was begun and computed before is forgotten."""
        for path in [*self._folder.glob("begun-*"), *self._folder.glob("computed-*")]:
            path.unlink()
        (self._folder / "hold").touch()

    def wait(self, number: int = 1) -> None:
        """Until so many predictions are held."""
        deadline = time.monotonic() + PATIENCE
        while len(list(self._folder.glob("entered-*"))) < number:
            assert time.monotonic() < deadline, "no prediction begins"
            time.sleep(0.01)

    def release(self) -> None:
        """Let them go on."""
        (self._folder / "hold").unlink(missing_ok=True)

    @property
    def begun(self) -> int:
        """How many were begun since `hold`."""
        return len(list(self._folder.glob("begun-*")))

    @property
    def computed(self) -> int:
        """How many the model has answered since `hold`."""
        return len(list(self._folder.glob("computed-*")))
