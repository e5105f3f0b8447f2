"""Which handler answers a method and a path.

Templates name a segment in braces: `/payments/{paymentId}`. A literal segment wins over a named
one. Knows nothing of HTTP beyond that.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from ppcd.http.messages import Request, Response

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one template."""

    method: str
    template: str
    handler: Handler
    deadline_s: float | None  #: None: the site's default


@dataclass(slots=True)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    named: "_Node | None" = None
    name: str = ""
    routes: dict[str, Route] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A path that exists. `route` is None when it does not have the method."""

    route: Route | None
    allowed: tuple[str, ...]
    template: str
    params: dict[str, str]


class Router:
    """The routes of a site."""

    def __init__(self) -> None:
        self._root = _Node()
        self._routes: list[Route] = []

    @property
    def routes(self) -> tuple[Route, ...]:
        """All of them, in the order added."""
        return tuple(self._routes)

    def add(
        self, method: str, template: str, handler: Handler, *, deadline_s: float | None = None
    ) -> None:
        """GET brings HEAD with it. The same method and path twice is our own mistake."""
        node = self._root
        for segment in template.split("/")[1:]:
            if segment.startswith("{"):
                name = segment[1:-1]
                if node.named is None:
                    node.named = _Node(name=name)
                assert node.named.name == name, f"{template}: this segment is {node.named.name}"
                node = node.named
            else:
                node = node.literals.setdefault(segment, _Node())
        assert method not in node.routes, f"{method} {template} is there already"
        route = Route(method, template, handler, deadline_s)
        node.routes[method] = route
        allowed = {*node.routes, "OPTIONS"} | ({"HEAD"} if "GET" in node.routes else set())
        node.allowed = tuple(sorted(allowed))
        self._routes.append(route)

    def find(self, method: str, path: str) -> Found | None:
        """None: no such path. Path parameters are percent-decoded after the match."""
        params: dict[str, str] = {}
        node = self._walk(self._root, path.split("/")[1:], params)
        if node is None:
            return None
        route = node.routes.get(method) or (node.routes.get("GET") if method == "HEAD" else None)
        template = next(iter(node.routes.values())).template
        return Found(route, node.allowed, template, params)

    def _walk(self, node: _Node, segments: list[str], params: dict[str, str]) -> _Node | None:
        if not segments:
            return node if node.routes else None
        segment, *rest = segments
        literal = node.literals.get(segment)
        if literal is not None:
            end = self._walk(literal, rest, params)
            if end is not None:
                return end
        if node.named is None or not segment:
            return None
        try:
            value = unquote(segment, errors="strict")
        except UnicodeDecodeError:
            return None
        end = self._walk(node.named, rest, params)
        if end is not None:
            params[node.named.name] = value
        return end
