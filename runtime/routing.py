"""Which route answers a method and path: what Flask's own routing finds, for the plain cases, without Flask.

A path that no route matches exactly (a slash too many, another method) is left to Flask, whose answer then counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from runtime.core import Route

_SEGMENT = re.compile(r"<(\w+)>")


class Router:
    """The routes of one application, by method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._plain: dict[tuple[str, str], Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for route in routes:
            if _SEGMENT.search(route.rule):
                self._patterns.append((_pattern(route.rule), route))
            elif "<" not in route.rule:  # a rule with a converter is Flask's to match
                self._plain[route.method, route.rule] = route
        # As in Werkzeug, of two rules that fit the one with fewer open segments counts.
        self._patterns.sort(key=lambda item: item[0].groups)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and the segments of the path it names, or None."""
        plain = self._plain.get((method, path))
        if plain:
            return plain, {}
        for pattern, route in self._patterns:
            if route.method == method and (match := pattern.fullmatch(path)):
                return route, match.groupdict()
        return None


def _pattern(rule: str) -> re.Pattern[str]:
    parts = _SEGMENT.split(rule)
    literals = [re.escape(part) for part in parts[::2]]
    names = [f"(?P<{name}>[^/]+)" for name in parts[1::2]]
    return re.compile("".join(sum(zip(literals, [*names, ""], strict=True), ())))
