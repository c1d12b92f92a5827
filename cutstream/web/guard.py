"""Security headers for every answer, and refusal of requests that another site's page has a browser send."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cutstream.settings import host_and_port, is_loopback

_CONTENT_SECURITY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_OWN = ("same-origin", "none", "")  # `none` is a person's own doing: an address typed in, a bookmark


def allowed_hosts(host: str, named: Collection[str] = ()) -> frozenset[str] | None:
    """Return the values of `Host`, without a port, to which a service on `host` answers. None: to all.

    On loopback it answers to the names of loopback, and to those `named`, as a reverse proxy may pass on. A page of a
    stranger whose name resolves to 127.0.0.1 (DNS rebinding) sends another one. Elsewhere names are not known.
    """
    if not is_loopback(host):
        return frozenset(named) or None
    return frozenset({"localhost", "127.0.0.1", "[::1]", host_and_port(host, 0).removesuffix(":0"), *named})


def site(
    routes: Sequence[BaseRoute],
    hosts: Collection[str] | None,
    content_security: Mapping[str, str] | None = None,
) -> ASGIApp:
    """Return an app of these routes with security headers on all its answers.

    It answers 421 to a `Host` that is not one of `hosts`, and 403 to a browser that another site's page sends, unless
    that only follows a link. Headers that a route sets itself stay. `content_security` changes directives of the
    policy, such as {"img-src": "'self' data:"}. It never redirects by itself: an absolute address would lose the
    prefix that a reverse proxy has taken away.
    """
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return guarded(app, hosts, content_security)


def guarded(
    app: ASGIApp,
    hosts: Collection[str] | None,
    content_security: Mapping[str, str] | None = None,
    origins: Collection[str] = (),
    probes: Collection[str] = (),
) -> ASGIApp:
    """Return the app, guarded as `site` says. Pages of the sites `origins` may send requests; the app has to answer
    them with the headers of CORS. The paths `probes` are answered under any `Host`, and without one: balancers ask for
    them by address, some in HTTP/1.0."""
    policy = {**_CONTENT_SECURITY, **(content_security or {})}
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    return _Guarded(app, None if hosts is None else frozenset(host.lower() for host in hosts), headers, origins, probes)


class _Guarded:
    def __init__(
        self,
        app: ASGIApp,
        hosts: frozenset[str] | None,
        headers: Mapping[str, str],
        origins: Collection[str],
        probes: Collection[str],
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._origins = frozenset(origins)
        self._probes = frozenset(probes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                named = {name.lower() for name, _ in own}
                message["headers"] = [*own, *(header for header in self._headers if header[0] not in named)]
            await send(message)

        await (self._refusal(Headers(scope=scope), scope) or self._app)(scope, receive, sending)

    def _refusal(self, headers: Headers, scope: Scope) -> ASGIApp | None:
        host = headers.get("host", "").lower()
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        is_probe = scope["path"].removeprefix(scope.get("root_path", "")) in self._probes
        if self._hosts is not None and name not in self._hosts and not is_probe:
            return PlainTextResponse("this service has another name: docs/settings.md says how to allow one\n", 421)
        if headers.get("origin") in self._origins:
            return None
        follows_link = scope["method"] in ("GET", "HEAD") and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site", "") not in _OWN and not follows_link:
            return PlainTextResponse("this service answers no requests of other sites\n", 403)
        return None
