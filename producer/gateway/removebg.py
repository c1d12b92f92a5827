"""remove.bg's API: `POST /v1.0/removebg`, `GET /v1.0/account`, `POST /v1.0/improve`."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cutstream.clients.objects.own_objects import OwnObjects
from cutstream.contract.messages import Result, StoredObject
from cutstream.errors import CutstreamError
from producer.gateway.access import Access
from producer.gateway.answers import picture_headers, read_output, send_output
from producer.gateway.bodies import Bodies, Body
from producer.gateway.calls import Calls
from producer.gateway.errors import CallRefused, unavailable
from producer.gateway.keys import Client
from producer.gateway.limits import Limits
from producer.gateway.profiles import Profiles
from producer.gateway.removebg_options import Options, check_sources, check_url, parse_options
from producer.gateway.uploads import Incoming, Uploads
from producer.gateway.waiting import Arrived

_FILES = ("image_file", "bg_image_file")
_CREDITS = 1_000_000  # there are none to buy: clients that stop without credits must go on
_X_TYPES = {"auto": "other", "graphic": "graphics"}


class RemoveBg:
    """The three calls, for clients that only change the address."""

    def __init__(
        self,
        access: Access,
        limits: Limits,
        bodies: Bodies,
        uploads: Uploads,
        calls: Calls,
        outputs: OwnObjects,
        profiles: Profiles,
        improvements: OwnObjects | None,
    ) -> None:
        self._access = access
        self._limits = limits
        self._bodies = bodies
        self._uploads = uploads
        self._calls = calls
        self._outputs = outputs
        self._profiles = profiles
        self._improvements = improvements

    def routes(self) -> list[Route]:
        return [
            Route("/v1.0/removebg", self.remove, methods=["POST"]),
            Route("/v1.0/account", self.account, methods=["GET"]),
            Route("/v1.0/improve", self.improve, methods=["POST"]),
        ]

    async def remove(self, request: Request) -> Response:
        """Cut out one photo and return the picture, or JSON with it if the client accepts that."""
        client = self._access.client_of(request)
        with self._calls.admit(client):
            async with self._bodies.read(request, client, _FILES) as body:
                options = parse_options(body.values, bool(body.files.get("bg_image_file")))
                fields, uploads = await self._fields(client, body, options)
            arrived = await self._calls.run(request, fields, uploads)
        headers = {**self._limits.headers(client), **_headers(options, arrived.result)}
        return await self._answer(request, arrived, headers)

    async def account(self, request: Request) -> Response:
        """Return an account that never runs out of credits."""
        client = self._access.client_of(request)
        credits = {"total": _CREDITS, "subscription": 0, "payg": _CREDITS, "enterprise": 0}
        attributes = {"credits": credits, "api": {"free_calls": _CREDITS, "sizes": "all"}}
        return JSONResponse({"data": {"attributes": attributes}}, headers=self._limits.headers(client))

    async def improve(self, request: Request) -> Response:
        """Keep a photo that was cut out badly, for whoever improves the models."""
        client = self._access.client_of(request)
        if self._improvements is None:
            raise CallRefused(
                501, "not_supported", "This gateway takes no photos for improvement", "CUTSTREAM_GATEWAY__IMPROVEMENTS"
            )
        self._limits.spend(client)
        async with self._bodies.read(request, client, ("image_file",)) as body:
            source = check_sources(body.values, body.files)
            id = await self._keep(client, source, body, self._improvements)
        return JSONResponse({"id": id}, headers=self._limits.headers(client))

    async def _fields(self, client: Client, body: Body, options: Options) -> tuple[dict[str, Any], list[Incoming]]:
        """Return the request's fields, and the photos that have come with it."""
        source = check_sources(body.values, body.files)
        fields = {**options.fields, **self._profiles.of_type(options.type)}
        if source == "image_url":
            return self._with_background(body, {**fields, "image": check_url(source, body.values[source])}, [])
        if source == "image_file":
            incoming = body.files["image_file"].pop()
        else:
            incoming = await self._bodies.store_base64(body.values[source], client)
        return self._with_background(body, {**fields, "image": self._uploads.address_of(incoming)}, [incoming])

    def _with_background(
        self, body: Body, fields: dict[str, Any], uploads: list[Incoming]
    ) -> tuple[dict[str, Any], list[Incoming]]:
        if body.files.get("bg_image_file") and "background" not in fields:
            picture = body.files["bg_image_file"].pop()
            return {**fields, "background": {"image": self._uploads.address_of(picture)}}, [*uploads, picture]
        return fields, uploads

    async def _answer(self, request: Request, arrived: Arrived, headers: dict[str, str]) -> Response:
        result = arrived.result
        stored = result.objects[0]
        if not _wants_json(request.headers.get("accept", "")):
            return await send_output(
                self._outputs, stored, headers, lambda: self._calls.clean_up(result), arrived.early
            )
        data = await read_output(self._outputs, stored)
        self._calls.clean_up(result)
        return JSONResponse({"data": {"result_b64": data, **_box(result, stored)}}, headers=headers)

    async def _keep(self, client: Client, source: str, body: Body, place: OwnObjects) -> str:
        if source == "image_url":
            incoming = self._uploads.begin()
            address = check_url(source, body.values[source])
            await self._uploads.receive(incoming, json.dumps({"image_url": address}).encode())
        elif source == "image_file":
            incoming = body.files["image_file"].pop()
        else:
            incoming = await self._bodies.store_base64(body.values[source], client)
        id = secrets.token_hex(16)
        try:
            await asyncio.to_thread(incoming.flush)
            incoming.close()
            await asyncio.to_thread(place.put_file, f"{client.name or 'anybody'}/{id}", incoming.path)
        except (CutstreamError, OSError) as exc:
            incoming.discard()
            raise unavailable("photos cannot be stored now") from exc
        return id


def _headers(options: Options, result: Result) -> dict[str, str]:
    """Return remove.bg's headers. Nothing here classifies the subject, so its type is what the client has said."""
    kind = _X_TYPES.get(options.type, options.type)
    typed = {} if options.type_level == "none" else {"X-Type": kind}
    return {"X-Credits-Charged": "0", **typed, **picture_headers(result, result.objects[0])}


def _box(result: Result, stored: StoredObject) -> dict[str, int]:
    box = result.bbox
    if box is None:
        return {}
    return {
        "foreground_top": box.foreground_top,
        "foreground_left": box.foreground_left,
        "foreground_width": box.foreground_width,
        "foreground_height": box.foreground_height,
    }


def _wants_json(accept: str) -> bool:
    """Tell whether a client asks for JSON, and for no picture at least as much."""
    shares: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, *parameters = (text.strip() for text in part.split(";"))
        share = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "q":
                try:
                    share = float(value)
                except ValueError:
                    share = 0.0
        shares[kind] = share
    picture = max((share for kind, share in shares.items() if kind.startswith("image/")), default=0.0)
    return shares.get("application/json", 0.0) > picture
