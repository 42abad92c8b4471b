"""What each platform demands where the app asks for nothing else, and the classic failures by their names.

Sources: Heroku's dev center (limits, error codes, Python support), Render's, Fly's and Cloud Run's documentation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Platform:
    """Limits in seconds and MB (2**20 bytes). `environ` is what the platform sets beside PORT."""

    name: str
    boot_seconds: float
    grace_seconds: float
    request_seconds: float
    router_idle_seconds: float
    memory_mb: int
    slug_mb: int
    environ: tuple[tuple[str, str], ...] = ()
    pythons: tuple[int, ...] = (11, 12, 13, 14)
    signals_all: bool = False  # SIGTERM goes to every process, not to the first alone


PLATFORMS: dict[str, Platform] = {
    platform.name: platform
    for platform in (
        Platform(
            "heroku",
            60,
            30,
            30,
            90,
            512,
            500,
            (("DYNO", "web.1"), ("WEB_CONCURRENCY", "2"), ("GUNICORN_CMD_ARGS", "--access-logfile -")),
            signals_all=True,
        ),
        # Render's own GUNICORN_CMD_ARGS also bind its port, 10000, which is another one where an app is tried.
        Platform(
            "render",
            900,
            30,
            100,
            75,
            512,
            2000,
            (("RENDER", "true"), ("WEB_CONCURRENCY", "1"), ("GUNICORN_CMD_ARGS", "--preload --access-logfile -")),
        ),
        Platform("fly", 60, 5, 60, 60, 256, 8000, (("FLY_APP_NAME", "app"),)),
        Platform("cloudrun", 240, 10, 300, 0, 512, 32000, (("K_SERVICE", "app"), ("WEB_CONCURRENCY", "1"))),
        Platform("generic", 60, 30, 60, 60, 512, 2000),
    )
}

FAILURES: dict[str, str] = {
    "H10": "App crashed: the web process ended, or never started",
    "H12": "Request timeout: no first byte within 30 seconds",
    "H13": "Connection closed without response: the server cut a connection that the router still used",
    "H14": "No web processes running",
    "R10": "Boot timeout: nothing was bound to $PORT within 60 seconds",
    "R12": "Exit timeout: the process did not end within 30 seconds of SIGTERM",
    "R14": "Memory quota exceeded: it swaps, and everything is slow",
    "R15": "Memory quota vastly exceeded: the dyno is killed",
    "BUILD": "The build is refused, or fails on the way",
}
