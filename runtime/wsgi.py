"""`gunicorn runtime.wsgi:app`: the only module whose import reads the environment.

Under the repository's gunicorn.conf.py the models are loaded before the workers are forked; under any other WSGI server
each process loads them itself, beginning with its first request.
"""

from __future__ import annotations

import os
import sys

from runtime import boot, logs, serving
from runtime.app import create_app
from runtime.errors import SettingError
from runtime.settings import from_env

try:
    settings = from_env(os.environ)
except SettingError as error:
    sys.stderr.write(f"dynolite: {error}\n")
    raise SystemExit(2) from None
logs.configure(settings.log_level, settings.log_format)
wake = serving.nothing if serving.prepared else boot.in_background(settings, serving.models)
app = create_app(settings, serving.models, wake, serving.shared_metrics(settings))
