"""What a reverse proxy in front of the gateway changes: the path's prefix, and who the client is."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware


def behind_proxy(app: ASGIApp, trusted: Sequence[str], prefix: str) -> ASGIApp:
    """Return the app as seen through a proxy: forwarded headers count only from `trusted` addresses and networks.

    With a prefix the app answers below it, whether the proxy leaves it in the path or cuts it off.
    """
    if prefix:
        app = _Prefixed(app, prefix)
    return ProxyHeadersMiddleware(app, list(trusted)) if trusted else app  # type: ignore[arg-type, return-value]  # of ASGI, too


class _Prefixed:
    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if path != self._prefix and not path.startswith(f"{self._prefix}/"):
                path = self._prefix + path
            scope = {**scope, "root_path": self._prefix, "path": path}
        await self._app(scope, receive, send)
