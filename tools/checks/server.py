"""What a real start shows: binding, boot time, the model, time and memory of answers, the stop."""

from __future__ import annotations

from tools.checks.base import App, Check, Finding, fail, ok, skip, warn
from tools.checks.commands import command_of
from tools.checks.trial_run import Run, memory_of

MB = 1 << 20
_NEARLY = 0.8


def boot(app: App) -> Finding:
    """The app binds $PORT in time."""
    run = _run(app)
    if run is None:
        return skip("not started")
    limit = app.platform.boot_seconds
    if run.bound is None:
        return _unbound(run)
    told = f"bound after {run.bound:.1f} s, the platform's limit is {limit:g}"
    if run.bound > limit / 2:
        return warn(told, "the platform's machine may be slower than this one: import less, make the model smaller")
    return ok(told)


def _unbound(run: Run) -> Finding:
    if run.ended:
        return fail(
            f"it ended with exit code {run.process.returncode}: {run.last_words()}",
            "correct that; the whole log: run the command here",
        )
    listening = run.listening()
    fix = 'bind f"0.0.0.0:{os.environ["PORT"]}"; in a script: exec gunicorn runtime.wsgi:app'
    if run.port in [port for _, port in listening]:
        hosts = ", ".join(host for host, port in listening if port == run.port)
        return fail(f"it binds $PORT on {hosts} alone: the platform's router cannot reach it", fix)
    if listening:
        return fail(f"it listens on {', '.join(str(port) for _, port in listening)}, not on $PORT", fix)
    return fail(f"nothing was bound to $PORT: {run.last_words()}", "load less before binding: dynolite binds first")


def model(app: App) -> Finding:
    """The model is fetched, has the right digest, and runs on the interpreter."""
    run = _run(app)
    if run is None or run.bound is None:
        return skip("not started")
    if run.ready is None:
        return fail(run.reason or run.last_words(), _remedy(run.reason))
    if run.ready > app.platform.boot_seconds:
        return warn(
            f"ready after {run.ready:.1f} s", "a smaller model, or quantize it: tools/export.py --quantize float16"
        )
    return ok(f"ready after {run.ready:.1f} s")


def _remedy(reason: str) -> str:
    remedies = {
        "no dynolite": "the doctor knows only apps that are made of dynolite: the command starts another one",
        "set MODEL_URL": "set MODEL_URL",
        "SHA-256": "publish the file again, or correct MODEL_SHA256",
        "404": "correct MODEL_URL: nothing is there",
        "403": "set MODEL_AUTH or the AWS_ settings: the host refuses",
        "No such file": "correct MODEL_URL: a path counts from the app's folder",
        "operator": "export it again with builtin operators only: tools/export.py says which are not",
        "crashes": "export it again, for this interpreter: tools/export.py --target both",
        "golden sample": "export it again, on this interpreter",
    }
    return next(
        (remedy for word, remedy in remedies.items() if word in reason), "correct that; docs/troubleshooting.md"
    )


def answer_time(app: App) -> Finding:
    """A prediction takes much less than the router waits."""
    run = _run(app)
    if run is None or run.ready is None:
        return skip("not ready")
    asked = run.ask()
    if asked is None:
        return skip("the server has no example to ask with")
    seconds, reply = asked
    limit = app.platform.request_seconds
    if not reply.ok:
        return warn(
            f"the example is answered {reply.status_code}: {reply.text[:150]}",
            "pack the model with golden samples: tools/export.py",
        )
    if seconds > limit / 4:
        fix = "a smaller model; float16 instead of int8 on tflite-runtime; a larger machine"
        return (fail if seconds > limit else warn)(f"one prediction takes {seconds:.1f} s of {limit:g}", fix)
    return ok(f"one prediction takes {1000 * seconds:.0f} ms")


def memory(app: App) -> Finding:
    """All processes together, after every worker has answered, fit into the machine."""
    run = _run(app)
    if run is None or run.ready is None:
        return skip("not ready")
    answered = run.ask_all()
    used, count = memory_of(run.process.pid)
    if not count:
        return skip("only Linux tells")
    limit = app.platform.memory_mb
    told = f"{used / MB:.0f} MB in {count} processes, the machine has {limit}"
    fix = f"set WEB_CONCURRENCY to {max(1, count - 2)}, or a smaller model: tools/export.py --quantize dynamic"
    if used > limit * MB:
        return fail(told, fix)
    if not answered:
        fix = "pack the model with golden samples: tools/export.py; or look at it there, under load"
        return warn(f"{told}, but it has not predicted yet: no request of the doctor's was answered", fix)
    return warn(told, fix) if used > _NEARLY * limit * MB else ok(told)


def stop(app: App) -> Finding:
    """SIGTERM: the request under way is answered, and all processes end in time."""
    run = _run(app)
    if run is None or run.bound is None or run.ended:
        return skip("not started")
    limit = app.platform.grace_seconds
    seconds, answered = run.stop(limit)
    if seconds is None:
        return fail(
            f"still there {limit:g} s after SIGTERM",
            "let gunicorn be the process: no shell around it, `exec` in scripts",
        )
    if not answered:
        return fail(
            "a request under way was dropped at SIGTERM",
            "a worker class that stops gracefully: dynolite's gunicorn.conf.py",
        )
    return ok(f"ended {seconds:.1f} s after SIGTERM, the request under way answered")


def _run(app: App) -> Run | None:
    return app.run if command_of(app) is not None else None


CHECKS = (
    Check("boot", "it binds $PORT in time", boot, ("H10", "R10"), starts=True),
    Check("model", "the model is fetched and runs", model, starts=True),
    Check("answer-time", "a prediction is fast enough", answer_time, ("H12",), starts=True),
    Check("memory", "all workers fit into the machine", memory, ("R14", "R15"), starts=True),
    Check("stop", "SIGTERM ends it, no request lost", stop, ("R12", "H13"), starts=True),
)
