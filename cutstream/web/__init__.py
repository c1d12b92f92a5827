"""What every page and HTTP service of the product shares: how it is served, guarded and styled.

A service is a list of Starlette's routes and four calls:

    routes = [*static_routes(STYLE, files(__package__) / "static"), Route("/events", events)]
    app = site(routes, allowed_hosts(host, named))
    server = WebServer(app, listen(host, port, "page"), "page", Limits())
    address = server.start()            # …and server.close() in the end, from any thread

listening  open the socket; a port that is taken is an error that names the settings
server     `WebServer` serves an app on a thread of its own: uvicorn, bounded by `Limits`
protocol   what bounds it: connections, slow heads, slow bodies, readers that do not read
guard      `site` makes an app of routes, with security headers, and refuses foreign hosts and cross-site requests;
           `guarded` does the same to an app of one's own
tokens     `is_authorized` compares a bearer token in constant time
assets     `static_routes` serves package data from memory; `STYLE` is the folder with the one style, `style.css`

Every address in a page is relative and every page's own address ends in `/`. A service therefore works behind any
path prefix that a reverse proxy takes away, and inside of another app's `Mount`, without being told the prefix.
"""

from __future__ import annotations

from cutstream.web.assets import STYLE, static_routes
from cutstream.web.guard import allowed_hosts, guarded, site
from cutstream.web.listening import listen
from cutstream.web.protocol import Limits
from cutstream.web.server import WebServer
from cutstream.web.tokens import is_authorized

__all__ = [
    "STYLE",
    "Limits",
    "WebServer",
    "allowed_hosts",
    "guarded",
    "is_authorized",
    "listen",
    "site",
    "static_routes",
]
