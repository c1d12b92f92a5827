"""rembg's API: `GET /api/remove?url=…` and `POST /api/remove` with a file, as its server `rembg s` has it.

Its answers are PNG of the photo's own size, and its errors those of FastAPI. As there, unknown parameters are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cutstream.clients.objects.own_objects import OwnObjects
from producer.gateway.access import Access
from producer.gateway.answers import picture_headers, send_output
from producer.gateway.bodies import Bodies
from producer.gateway.calls import Calls
from producer.gateway.errors import CallRefused
from producer.gateway.profiles import Profiles
from producer.gateway.removebg_options import check_url
from producer.gateway.routes import get_only
from producer.gateway.uploads import Incoming, Uploads

DEFAULT_MODEL = "u2net"
_TRUE, _FALSE = ("true", "1", "yes", "on", "t", "y"), ("false", "0", "no", "off", "f", "n", "")
_MOST_EROSION = 200

# What rembg does to a mask with `ppm`: an opening, a Gaussian blur, a threshold in the middle.
_POST_PROCESSED = {"kernel": 3, "open": 1, "blur": 5, "threshold": 127, "scale": "none"}


class Rembg:
    """The two calls, for clients that only change the address."""

    def __init__(
        self,
        access: Access,
        bodies: Bodies,
        uploads: Uploads,
        calls: Calls,
        outputs: OwnObjects,
        profiles: Profiles,
    ) -> None:
        self._access = access
        self._bodies = bodies
        self._uploads = uploads
        self._calls = calls
        self._outputs = outputs
        self._profiles = profiles

    def routes(self) -> list[Route]:
        return [
            get_only("/api/remove", self.from_address),
            Route("/api/remove", self.from_file, methods=["POST"]),
        ]

    async def from_address(self, request: Request) -> Response:
        """Cut out the photo at an address."""
        client = self._access.client_of(request)
        with self._calls.admit(client):
            url = request.query_params.get("url")
            if url is None:
                raise invalid("query", "url", "Field required")
            fields = parse_options(request.query_params, self._profiles)
            return await self._cut_out(request, {**fields, "image": check_url("image_url", url)}, [])

    async def from_file(self, request: Request) -> Response:
        """Cut out the photo in the field `file`."""
        client = self._access.client_of(request)
        with self._calls.admit(client):
            async with self._bodies.read(request, client, ("file",), most_files=1) as body:
                fields = parse_options({**request.query_params, **body.values}, self._profiles)
                if not body.files.get("file"):
                    raise invalid("body", "file", "Field required")
                photo = body.files["file"].pop()
            return await self._cut_out(request, {**fields, "image": self._uploads.address_of(photo)}, [photo])

    async def _cut_out(self, request: Request, fields: Mapping[str, Any], uploads: list[Incoming]) -> Response:
        arrived = await self._calls.run(request, fields, uploads)
        result = arrived.result
        stored = result.objects[0]
        headers = picture_headers(result, stored)
        return await send_output(self._outputs, stored, headers, lambda: self._calls.clean_up(result), arrived.early)


def parse_options(values: Mapping[str, Any], profiles: Profiles) -> dict[str, Any]:
    """Return the fields of the request that rembg's parameters stand for. Raises CallRefused with status 422.

    `af` and `ab`, the thresholds of its trimap, are checked and otherwise unused: the band for matting lies around the
    edge of the matte.
    """
    model = str(values.get("model") or DEFAULT_MODEL)
    profile = profiles.of_model(model)
    if profile is None:
        raise invalid("query", "model", f"there is no model {model[:100]!r}")
    for threshold in ("af", "ab"):
        _number(values, threshold, 0, 255)
    erosion = min(_number(values, "ae", 10, None), _MOST_EROSION)
    fields: dict[str, Any] = {"format": "png", **profile}
    if _flag(values, "ppm"):
        fields["refine"] = _POST_PROCESSED
    if _flag(values, "a") and erosion:
        fields["matting"] = {"method": "fast", "erode": erosion, "dilate": erosion}
    colour = _colour(values.get("bgc"))
    if _flag(values, "om"):
        return {**fields, "outputs": ["mask"]}
    if colour is not None:
        return {**fields, "outputs": ["composite"], "background": {"color": colour}}
    return {**fields, "outputs": ["cutout"]}


def invalid(place: str, name: str, problem: str) -> CallRefused:
    """Refuse a parameter as FastAPI does: `place` is `query` or `body`."""
    return CallRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_parameter", problem, f"{place}.{name}")


def error_body(refused: CallRefused) -> dict[str, Any]:
    """Return the JSON of an error as FastAPI writes it."""
    if refused.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        place, _, name = refused.detail.partition(".")
        return {"detail": [{"loc": [place, name], "msg": refused.title, "type": "value_error"}]}
    return {"detail": f"{refused.title}: {refused.detail}" if refused.detail else refused.title}


def _flag(values: Mapping[str, Any], name: str) -> bool:
    value = str(values.get(name, "")).strip().lower()
    if value not in (*_TRUE, *_FALSE):
        raise invalid("query", name, "Input should be a valid boolean")
    return value in _TRUE


def _number(values: Mapping[str, Any], name: str, default: int, most: int | None) -> int:
    text = str(values.get(name, default)).strip()
    if not text.isascii() or not text.isdigit() or len(text) > 9 or (most is not None and int(text) > most):
        raise invalid("query", name, f"Input should be a whole number from 0{f' to {most}' if most else ''}")
    return int(text)


def _colour(text: object) -> str | None:
    """Parse `red,green,blue,alpha`. None without a colour, and for one that is fully transparent."""
    if text in (None, ""):
        return None
    parts = [part.strip() for part in str(text).split(",")]
    if len(parts) not in (3, 4) or not all(p.isascii() and p.isdigit() and len(p) <= 3 and int(p) < 256 for p in parts):
        raise invalid("query", "bgc", "Input should be `red,green,blue,alpha`, each from 0 to 255")
    red, green, blue, alpha = (*map(int, parts), 255)[:4]
    if alpha not in (0, 255):
        raise invalid("query", "bgc", "backgrounds that are half transparent are not supported")
    return f"#{red:02x}{green:02x}{blue:02x}" if alpha else None
