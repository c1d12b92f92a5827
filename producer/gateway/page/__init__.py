"""The gateway's page: for people who have photos and no program. It uses the jobs API as any other client does.

The files in `static/` are the whole page; there is no build step. `page.js` shows how its parts go together:

    page        wires the parts, draws the summary, and takes what people do
    arriving    files that are dropped, pasted or chosen, with folders
    settings    the form and the fields of a request, in both directions; the link and the command
    work        photos go out in batches, results come in, and whatever fails is tried again
    keeping     photos and batches in the browser's own database, so that a closed page loses nothing
    service     calls of the gateway, and what their failures mean
    events      server-sent events by fetch
    cards       the grid
    viewer      one photo before and after
    pictures    thumbnails, a few at a time
    saving      downloads, zip files and the clipboard
    words       numbers and failures for people
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cutstream.settings import Settings
from cutstream.web import STYLE, static_routes
from producer.gateway.access import Access
from producer.gateway.errors import CallRefused
from producer.gateway.load import Load

CONTENT_SECURITY = {"img-src": "'self' blob:"}  # thumbnails, and the photos before they are sent


class Page:
    """The routes of the page, and of what it asks the gateway about itself.

    `problem` returns why the stream cannot be reached now, or nothing.
    """

    def __init__(self, settings: Settings, access: Access, load: Load, problem: Callable[[], str]) -> None:
        self._settings = settings
        self._access = access
        self._load = load
        self._problem = problem

    def routes(self) -> list[Route]:
        return [*static_routes(STYLE, files(__package__) / "static"), Route("/status.json", self.status)]

    async def status(self, request: Request) -> Response:
        """Say what this service takes and how busy it is. Without a valid key: only that it wants one."""
        try:
            self._access.client_of(request)
        except CallRefused:
            return JSONResponse({"authorized": False})
        return JSONResponse({"authorized": True, **self._figures()})

    def _figures(self) -> Mapping[str, Any]:
        s = self._settings
        rate = self._load.rate()
        wait_s = self._load.lag / rate if rate else None
        return {
            "release": version("cutstream"),
            "problem": self._problem(),
            "waiting": self._load.lag,
            "photos_per_second": round(rate, 3),
            "wait_s": None if wait_s is None or not math.isfinite(wait_s) else round(wait_s, 1),
            "live_page": s.gateway.live_page,
            "needs_key": s.gateway.keys is not None,
            "profiles": list(s.models.profiles),
            "default_profile": s.models.default_profile,
            "has_auto": bool(s.models.auto_profiles),
            "max_photo_bytes": s.limits.max_source_bytes,
            "max_job_bytes": s.gateway.max_job_body_bytes,
            "max_job_photos": s.gateway.max_job_photos,
            "result_age_s": s.gateway.result_age_s,
        }
