"""Package data over HTTP: read once, answered from memory. No other file of the machine can be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable  # from Python 3.11 on

STYLE = files(__package__) / "static"
"""The folder with `style.css`, the one style of all pages."""

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def static_routes(*folders: Traversable) -> list[Route]:
    """Return a route for each file in these folders, by its name. `index.html` is at `/`.

    Browsers ask each time whether a file has changed, so that a page never works with a script of another release.
    """
    return [route for folder in folders for route in _routes(folder)]


def _routes(folder: Traversable) -> Iterator[Route]:
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in _MEDIA_TYPES:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            yield Route(path, _Asset(file.read_bytes(), _MEDIA_TYPES[suffix]).answer)


class _Asset:
    def __init__(self, data: bytes, media_type: str) -> None:
        self._data = data
        self._headers = {
            "Content-Type": media_type,
            "ETag": f'"{sha256(data).hexdigest()[:16]}"',
            "Cache-Control": "no-cache",
        }

    async def answer(self, request: Request) -> Response:
        known = request.headers.get("if-none-match", "")
        if self._headers["ETag"] in known:
            return Response(status_code=304, headers=self._headers)
        return Response(self._data, headers=self._headers)
