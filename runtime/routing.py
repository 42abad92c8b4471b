"""Which route answers a method and path: what Flask's own routing finds, without Flask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from runtime.core import Route, methods_of

_SEGMENT = re.compile(r"<(path:)?(\w+)>")


class Router:
    """The routes of one application, by method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._plain: dict[tuple[str, str], Route] = {}
        self._methods: dict[str, set[str]] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for route in routes:
            self._methods.setdefault(route.rule, set()).add(route.method)
            if _SEGMENT.search(route.rule):
                self._patterns.append((_pattern(route.rule), route))
            else:
                self._plain[route.method, route.rule] = route
        # As in Werkzeug, of two rules that fit the one with fewer open segments counts, and one for any path last.
        self._patterns.sort(key=lambda item: ("<path:" in item[1].rule, item[0].groups))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and the segments of the path it names, or None."""
        plain = self._plain.get((method, path))
        if plain:
            return plain, {}
        if method == "HEAD":
            method = "GET"
        path = _without_slash(path)
        plain = self._plain.get((method, path))
        if plain:
            return plain, {}
        for pattern, route in self._patterns:
            if route.method == method and (match := pattern.fullmatch(path)):
                return route, match.groupdict()
        return None

    def options(self, path: str) -> tuple[str, ...]:
        """What OPTIONS tells of a path: the methods of the first rule that fits; none if none does."""
        return next((methods_of(self._methods[rule]) for rule in self._fitting(path)), ())

    def allowed(self, path: str) -> tuple[str, ...]:
        """The methods of all rules that fit a path."""
        return tuple(sorted({method for rule in self._fitting(path) for method in methods_of(self._methods[rule])}))

    def _fitting(self, path: str) -> Iterator[str]:
        path = _without_slash(path)
        if path in self._methods:
            yield path
        for pattern, route in self._patterns:
            if pattern.fullmatch(path):
                yield route.rule


def _without_slash(path: str) -> str:
    """One slash at the end makes no other path."""
    return path[:-1] if len(path) > 1 and path[-1] == "/" else path


def _pattern(rule: str) -> re.Pattern[str]:
    """A regular expression in which `<name>` is one segment, `<path:name>` any number of them."""
    parts = _SEGMENT.split(rule)
    built = re.escape(parts[0])
    for kind, name, literal in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        built += f"(?P<{name}>{'[^/].*?' if kind else '[^/]+'})" + re.escape(literal)
    return re.compile(built)
