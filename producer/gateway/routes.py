"""Routes of calls that are more than to look something up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def get_only(path: str, answer: Callable[[Request], Awaitable[Response]]) -> Route:
    """Return a route for `GET`, to which `HEAD` is 405: it would do all the work, and throw the answer away."""
    route = Route(path, answer, methods=["GET"])
    route.methods = {"GET"}
    return route
