"""gunicorn's configuration, read from the working directory by `gunicorn runtime.wsgi:app`, as in the Procfile."""

import gc
import os
import sys
from pathlib import Path

# Imports leave no garbage. `runtime.memory.settle` turns the collector on again, before the workers are forked.
gc.disable()

# NumPy's BLAS would start a thread a core in every worker; the interpreters bring their own arithmetic.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import gunicorn

from runtime import serving
from runtime.errors import SettingError
from runtime.settings import from_env

try:
    settings = from_env(os.environ)
except SettingError as error:
    sys.stderr.write(f"dynolite: {error}\n")
    sys.exit(2)

serving.prepared = True

# Platforms tell the port and send their router to it from outside.
bind = f"{settings.host}:{settings.port}"

# Either way /health is answered while a long prediction computes in a thread: the interpreter releases Python's lock.
worker_class = {"fast": "runtime.worker.Worker", "threads": "runtime.threads_worker.Worker"}[settings.worker_class]
threads = settings.web_threads
workers = serving.worker_count(settings)

# The code is imported once, the models are loaded once (when_ready), and the workers share both copy-on-write.
preload_app = True

# Heroku's router keeps idle connections for 90 s: closing first would answer its next request with a reset.
keepalive = settings.keepalive_seconds

# A worker that says nothing for this long is replaced; above any request's own deadline.
timeout = int(settings.request_seconds) + 35
# Requests under way get this long at a stop; a stop during a roll waits twice, which must stay under 30 s.
graceful_timeout = settings.graceful_seconds

# The heartbeat file belongs in memory where there is a memory file system: a slow disk would look like a hung worker.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108

# Its thread would live in the master, which forks.
control_socket_disable = True

# Each request's line is written by the core, in every lane. Heroku forces gunicorn's own on (GUNICORN_CMD_ARGS): the
# logger class leaves it out.
logger_class = "runtime.server_log.ServerLog"
errorlog = "-"
# Which server this is, and its version, is nobody's business; before any of gunicorn's modules takes the name over.
gunicorn.SERVER = "dynolite"
# Who may speak for the client: the platform's router where there is one, else nobody.
forwarded_allow_ips = "*" if settings.trust_proxy else ""
loglevel = settings.log_level


def when_ready(server):
    """Port bound, no worker forked yet."""
    serving.when_ready(settings)


def on_reload(server):
    """SIGHUP: the watcher has a model ready, or an operator asks."""
    serving.on_reload(settings)


def pre_fork(server, worker):
    """In the master, for each worker."""
    serving.pre_fork(worker.age)


def post_fork(server, worker):
    """In each new worker, at once."""
    serving.post_fork(worker.age)


def worker_exit(server, worker):
    """In a worker, at its end."""
    serving.worker_exit()


def child_exit(server, worker):
    """In the master, when a worker has ended."""
    serving.child_exit(worker.age)


def post_worker_init(worker):
    """In each new worker."""
    serving.after_fork(settings)


def on_exit(server):
    """At the end of the master."""
    serving.on_exit()
