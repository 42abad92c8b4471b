"""`gunicorn runtime.wsgi:app`: the only module whose import reads the environment.

Under the repository's gunicorn.conf.py the models are loaded before the workers are forked; under any other WSGI server
each process loads them itself, beginning with its first request.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

from runtime import boot, logs, serving
from runtime.core import Service
from runtime.errors import SettingError
from runtime.settings import from_env

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Application:
    """The Flask application of a service. Flask, half of all that is imported, comes when it is first asked for.

    The fast lane (`runtime.worker`) takes the service, and never asks.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._flask: Wsgi | None = None
        self._lock = Lock()

    def flask(self) -> Wsgi:
        """The application itself."""
        with self._lock:
            if self._flask is None:
                from runtime.app import application  # noqa: PLC0415 - see above

                self._flask = application(self.service)
            return self._flask

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one WSGI request (PEP 3333)."""
        return self.flask()(environ, start_response)


try:
    settings = from_env(os.environ)
except SettingError as error:
    sys.stderr.write(f"dynolite: {error}\n")
    raise SystemExit(2) from None
logs.configure(settings.log_level, settings.log_format)
wake = serving.nothing if serving.prepared else boot.in_background(settings, serving.models)
app = Application(Service(settings, serving.models, wake, serving.shared_metrics(settings)))
if not (serving.prepared and settings.worker_class == "fast"):
    app.flask()
