"""The routes of the live page."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files

from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cutstream.watching.page.documents import view_document
from cutstream.watching.page.sampling import Sampling
from cutstream.watching.page.stream import MOST_WATCHERS, Stream
from cutstream.watching.recent import Recent
from cutstream.web import STYLE, is_authorized, site, static_routes

CONTENT_SECURITY = {"img-src": "'self' data:"}  # the small pictures are part of the events
_FULL = f"{MOST_WATCHERS} windows watch this worker already: close one, or use `cutstream top`\n"


class LivePage:
    """The page and its stream. `routes` may be mounted in another app, which then sends `CONTENT_SECURITY`, too.

    The page itself, its style and its scripts are the same for everybody. With a `token`, what they show is for those
    who send it. `gateway` is the address of the gateway's page, to which it links.
    """

    def __init__(self, sampling: Sampling, recent: Recent, token: SecretStr | None = None, gateway: str = "") -> None:
        self._sampling = sampling
        self._recent = recent
        self._token = token
        self._stream = Stream(sampling, recent, gateway)
        self.routes = [
            *static_routes(STYLE, files(__package__) / "static"),
            Route("/events", self._events),
            Route("/view.json", self._view),
        ]

    def app(self, hosts: Collection[str] | None) -> ASGIApp:
        """Return the page as an app of its own, for these names of the host (`cutstream.web.allowed_hosts`)."""
        return site(self.routes, hosts, CONTENT_SECURITY)

    def close(self) -> None:
        """End all streams. On the server's loop."""
        self._stream.close()

    async def _events(self, request: Request) -> Response:
        return self._refuse(request) or _Events(self._stream)

    async def _view(self, request: Request) -> Response:
        if refusal := self._refuse(request):
            return refusal
        sampling = self._sampling
        view = await run_in_threadpool(sampling.asked_view) if sampling.may_wait else sampling.view()
        return JSONResponse({"photos": self._recent.shows_photos, **view_document(view)})

    def _refuse(self, request: Request) -> Response | None:
        if is_authorized(request.headers.get("authorization", ""), self._token):
            return None
        return PlainTextResponse("Authorization: Bearer and the page's token\n", 401, {"WWW-Authenticate": "Bearer"})


class _Events(StreamingResponse):
    """The stream as an answer, if there is a place for one more watcher."""

    def __init__(self, stream: Stream) -> None:
        # A proxy must pass events on as they come.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(stream.events(), media_type="text/event-stream", headers=headers)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._stream.watched() as has_place:
            answer = super().__call__ if has_place else PlainTextResponse(_FULL, 503, {"Retry-After": "15"})
            await answer(scope, receive, send)
