"""Every route of the server, in the order in which `runtime.app` and `runtime.asgi` look for the one that answers."""

from __future__ import annotations

from runtime.api import admin, health, metrics, openapi, openinference, page, predict, tfserving
from runtime.core import Route

ROUTES: tuple[Route, ...] = (
    *predict.ROUTES,
    *tfserving.ROUTES,
    *openinference.ROUTES,
    *health.ROUTES,
    *admin.ROUTES,
    *metrics.ROUTES,
    *openapi.ROUTES,
    *page.ROUTES,
)
