"""gunicorn's own messages in the form of dynolite's log, and no access line of its own: the core writes that.

Platforms that force gunicorn's access log on (Heroku does, by GUNICORN_CMD_ARGS) would have every request told twice.
"""

from __future__ import annotations

import os
from typing import Any

from gunicorn.glogging import Logger

from runtime.logs import Lines


class ServerLog(Logger):  # type: ignore[misc]
    """gunicorn's `logger_class`. LOG_FORMAT gives the form."""

    def setup(self, cfg: Any) -> None:
        """As gunicorn does it, with our lines."""
        super().setup(cfg)
        form = "json" if os.environ.get("LOG_FORMAT", "").lower() == "json" else "logfmt"
        for handler in self.error_log.handlers:
            handler.setFormatter(Lines(form, words=True))

    def _compute_access_log_enabled(self) -> bool:
        return False

    def access(self, *_: object) -> None:
        """Nothing: the core has written its line."""
