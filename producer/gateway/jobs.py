"""Jobs: `POST /v1/jobs` and what follows. A job is one photo or many; its results are fetched later."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from cutstream.clients.objects.own_objects import OwnObjects
from cutstream.clock import Clock
from cutstream.contract.messages import StoredObject, encode
from cutstream.errors import CutstreamError
from cutstream.settings import GatewaySettings
from producer.gateway.access import Access
from producer.gateway.answers import OutputUnreadable, send_output
from producer.gateway.bodies import Bodies, Body
from producer.gateway.calls import parse_request
from producer.gateway.errors import CallRefused, bad_request, too_many, unavailable
from producer.gateway.job_records import IdempotencyKeyTaken, Job, NewPhoto, Photo
from producer.gateway.job_requests import Order, at_place, check_addresses, parse_order, with_picture
from producer.gateway.job_runner import ID_LABEL, JOB_LABEL, JobRunner
from producer.gateway.job_store import JobStore
from producer.gateway.job_views import job_view, photo_view
from producer.gateway.keys import Client
from producer.gateway.limits import Limits
from producer.gateway.routes import get_only
from producer.gateway.stream import Stream
from producer.gateway.uploads import Uploads
from producer.gateway.webhooks import Webhooks

_LISTED = 100
_HEARTBEAT_S = 15.0
_MAX_KEY = 255


class Jobs:
    """The calls about jobs. A client sees its own jobs only."""

    def __init__(
        self,
        settings: GatewaySettings,
        access: Access,
        limits: Limits,
        bodies: Bodies,
        uploads: Uploads,
        outputs: OwnObjects,
        store: JobStore,
        runner: JobRunner,
        stream: Stream,
        webhooks: Webhooks,
        clock: Clock,
        instance: str,
    ) -> None:
        self._settings = settings
        self._access = access
        self._limits = limits
        self._bodies = bodies
        self._uploads = uploads
        self._outputs = outputs
        self._store = store
        self._runner = runner
        self._stream = stream
        self._webhooks = webhooks
        self._clock = clock
        self._instance = instance

    def routes(self) -> list[Route]:
        return [
            Route("/v1/jobs", self.submit, methods=["POST"]),
            Route("/v1/jobs", self.list_all, methods=["GET"]),
            Route("/v1/jobs/{id}", self.show, methods=["GET"]),
            Route("/v1/jobs/{id}", self.cancel, methods=["DELETE"]),
            get_only("/v1/jobs/{id}/events", self.events),
            Route("/v1/jobs/{id}/photos/{number}", self.cancel_photo, methods=["DELETE"]),
            Route("/v1/jobs/{id}/photos/{number}/{output}", self.output, methods=["GET"]),
        ]

    async def submit(self, request: Request) -> Response:
        """Take a job, durably, and answer before it is done."""
        client = self._access.client_of(request)
        key = request.headers.get("idempotency-key")
        if key is not None and not 0 < len(key) <= _MAX_KEY:
            raise bad_request("invalid_request", f"Idempotency-Key has 1 to {_MAX_KEY} characters")
        self._check_room()
        g = self._settings
        with self._limits.call(client):
            async with self._bodies.read(
                request,
                client,
                ("image_file", "bg_image_file"),
                most_files=g.max_job_photos + 1,
                most_bytes=g.max_job_body_bytes,
            ) as body:
                files = body.files.get("image_file", [])
                order = parse_order(body.values, request.query_params, len(files), g.max_job_photos)
                self._limits.spend(client, len(order.requests))
                self._webhooks.check(order.webhook)
                job, is_new = await self._store_job(client, key, order, body)
        counts = await asyncio.to_thread(self._store.counts, job.id)
        headers = {**self._limits.headers(client), "Location": request.url_for("show", id=job.id).path}
        if not is_new:
            headers["Idempotent-Replayed"] = "true"
        return JSONResponse(self._view(job, counts), 202 if is_new else 200, headers)

    async def list_all(self, request: Request) -> Response:
        """List the client's newest jobs."""
        client = self._access.client_of(request)
        jobs = await asyncio.to_thread(self._store.list_jobs, client.name, _LISTED)
        return JSONResponse({"jobs": [self._view(job) for job in jobs if not self._is_past(job)]})

    async def show(self, request: Request) -> Response:
        """Show a job with its photos, up to `limit` of those behind number `after`."""
        job = await self._find(request)
        after, limit = _number(request, "after", 0, 10**9), _number(request, "limit", 100, 1000)
        photos = await asyncio.to_thread(self._store.photos, job.id, after, limit)
        counts = await asyncio.to_thread(self._store.counts, job.id)
        return JSONResponse(
            {
                **self._view(job, counts),
                "photos": [photo_view(job.id, photo, self._settings.prefix) for photo in photos],
            }
        )

    async def cancel(self, request: Request) -> Response:
        """Call a job off. What has finished stays."""
        job = await self._find(request)
        if job.open and not job.cancelled:
            try:
                await self._runner.cancel(job)
            except CutstreamError as exc:
                raise unavailable("The stream does not take cancellations now: try again") from exc
        job = await self._find(request)
        return JSONResponse(self._view(job, await asyncio.to_thread(self._store.counts, job.id)), 202)

    async def cancel_photo(self, request: Request) -> Response:
        """Call one photo of a job off, unless it has finished."""
        job = await self._find(request)
        photo = await self._photo(job, request)
        if photo.result is None and not job.cancelled:
            try:
                await self._runner.cancel_photo(photo.id)
            except CutstreamError as exc:
                raise unavailable("The stream does not take cancellations now: try again") from exc
            photo = await self._photo(job, request)
        return JSONResponse(photo_view(job.id, photo, self._settings.prefix), 202)

    async def output(self, request: Request) -> Response:
        """Send an output, or say where it can be fetched."""
        job = await self._find(request)
        photo = await self._photo(job, request)
        stored = next((s for s in _outputs(photo) if s.output == request.path_params["output"]), None)
        if stored is None:
            raise CallRefused(404, "not_found", "This job has no such output, or not yet")
        if self._settings.presign and "x-requested-with" not in request.headers:  # pages cannot follow it elsewhere
            try:
                address = await asyncio.to_thread(self._outputs.sign, stored.uri, self._settings.presign_s)
            except CutstreamError as exc:
                raise unavailable("The store does not sign addresses now") from exc
            if address is not None:
                return RedirectResponse(address, 307)
        headers = {"ETag": f'"{stored.sha256}"', "X-Width": str(stored.width), "X-Height": str(stored.height)}
        try:
            return await send_output(self._outputs, stored, headers, lambda: None)
        except OutputUnreadable as exc:
            if not exc.is_missing:
                raise
            raise CallRefused(
                410,
                "output_gone",
                "This output is no longer in its store",
                "it was removed after its photo was done; send the photo again to have it made anew",
            ) from exc

    async def events(self, request: Request) -> Response:
        """Stream a job's results as server-sent events, from the beginning or behind `Last-Event-ID`."""
        job = await self._find(request)
        last = request.headers.get("last-event-id", "0")
        if not last.isascii() or not last.isdigit() or len(last) > 9:
            raise bad_request("invalid_request", "Last-Event-ID must be one of this stream's ids")
        return _EventStream(self._events(job, int(last)), self._limits.follow(self._access.client_of(request)))

    # -- parts of them

    async def _events(self, job: Job, place: int) -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n"
        while not self._runner.closing:
            changed = self._runner.changed(job.id)
            for photo in await asyncio.to_thread(self._store.finished_photos, job.id, place):
                place = photo.place or place
                yield _event("photo", place, photo_view(job.id, photo, self._settings.prefix))
            current = await asyncio.to_thread(self._store.find, job.id, job.client)
            if current is None:
                return
            if not current.open and place >= current.photos:
                counts = await asyncio.to_thread(self._store.counts, job.id)
                yield _event("done", place, self._view(current, counts))
                return
            if current.photos - current.open > place:
                continue
            try:
                await asyncio.wait_for(changed.wait(), _HEARTBEAT_S)
            except asyncio.TimeoutError:
                yield b": still here\n\n"

    def _check_room(self) -> None:
        if self._runner.open_photos >= self._settings.max_open_photos:
            raise too_many("Too many photos of jobs wait already", 30, limit="photos")

    async def _store_job(self, client: Client, key: str | None, order: Order, body: Body) -> tuple[Job, bool]:
        """Store a job with its uploads, and hand it on. Return it, and whether it is a new one."""
        files = body.files.get("image_file", [])
        pictures = body.files.get("bg_image_file", [])
        if len(pictures) > 1:
            raise bad_request("multiple_sources", "Give one bg_image_file: it is for all photos of a job")
        fingerprint = ""
        if key is not None:
            digests = [await self._uploads.digests(several) for several in (files, pictures)]
            fingerprint = sha256(order.fingerprint(*digests)).hexdigest()
        names = [incoming.name for incoming in files]
        uploads: list[str] = []
        background: str | None = None
        id = f"{self._instance}-j-{secrets.token_urlsafe(16)}"
        try:
            while files:
                uploads.append(await self._uploads.finish(files.pop(0)))
            if pictures:
                background = await self._uploads.finish(pictures.pop())
            photos = await asyncio.to_thread(self._photos, id, order, names, uploads, background)
            job = Job(
                id=id,
                client=client.name,
                created=self._clock.wall(),
                finished=None,
                urgent=order.urgent,
                cancelled=False,
                photos=len(photos),
                open=len(photos),
                webhook=order.webhook,
                webhook_state="",
                webhook_attempts=0,
            )
            await self._add(job, photos, key, fingerprint, background)
        except IdempotencyKeyTaken as exc:
            self._uploads.remove([*uploads, *([background] if background else [])])
            if not exc.same:
                raise CallRefused(
                    422, "idempotency_key_reused", "This Idempotency-Key was used for another job"
                ) from exc
            known = await asyncio.to_thread(self._store.find, exc.id, client.name)
            assert known is not None
            return known, False
        except BaseException:
            self._uploads.remove([*uploads, *([background] if background else [])])
            raise
        self._runner.accept([photo.id for photo in photos])
        return job, True

    async def _add(
        self, job: Job, photos: Sequence[NewPhoto], key: str | None, fingerprint: str, background: str | None
    ) -> None:
        """Store a new job. Raises IdempotencyKeyTaken by a job that is still served: a past one gives way to it."""
        while True:
            positions = self._stream.positions
            try:
                await asyncio.to_thread(self._store.add, job, photos, key, fingerprint, positions, background)
                return
            except IdempotencyKeyTaken as exc:
                known = await asyncio.to_thread(self._store.find, exc.id, job.client)
                if known is not None and not self._is_past(known):
                    raise
                if known is not None:
                    await asyncio.to_thread(self._runner.remove, known)

    def _photos(
        self, job: str, order: Order, names: Sequence[str], uploads: Sequence[str], background: str | None
    ) -> list[NewPhoto]:
        """Return the photos of a job, with requests that a worker accepts. Raises CallRefused."""
        photos = []
        for number, fields in enumerate(order.requests, start=1):
            upload = uploads[number - 1] if uploads else None
            own_id = fields.get("id")
            named = {} if own_id is None else {ID_LABEL: own_id}
            labels = {**(fields.get("labels") or {}), **named, JOB_LABEL: job}
            complete = {**fields, "id": f"{job}-{number}", "labels": labels, **({"image": upload} if upload else {})}
            with at_place(order.place(number) if order.rows or len(order.requests) > 1 else ""):
                others = fields if upload is None else {**fields, "image": "https://upload"}
                check_addresses(others, self._settings.addresses)
                if background is not None:
                    complete["background"] = with_picture(fields.get("background"), background)
                request = parse_request(complete)
            name = names[number - 1] if uploads else request.image
            photos.append(NewPhoto(request.id or "", name, upload, encode(request)))
        return photos

    async def _find(self, request: Request) -> Job:
        client = self._access.client_of(request)
        id = request.path_params["id"]
        job = await asyncio.to_thread(self._store.find, id, client.name)
        if job is not None and self._is_past(job):  # its files are removed within a minute or so
            raise CallRefused(404, "not_found", "There is no such job", "its results are kept no longer: send it again")
        if job is None:
            detail = "" if id.startswith(f"{self._instance}-") else "jobs are known to the gateway that took them alone"
            raise CallRefused(404, "not_found", "There is no such job", detail)
        return job

    def _is_past(self, job: Job) -> bool:
        return job.is_past(self._clock.wall(), self._settings.result_age_s)

    async def _photo(self, job: Job, request: Request) -> Photo:
        text = request.path_params["number"]
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        photos = await asyncio.to_thread(self._store.photos, job.id, number - 1, 1)
        if not photos or photos[0].number != number:
            raise CallRefused(404, "not_found", "This job has no such photo")
        return photos[0]

    def _view(self, job: Job, counts: Mapping[str, int] | None = None) -> dict[str, Any]:
        return job_view(job, counts, self._settings.result_age_s)


class _EventStream(StreamingResponse):
    """An answer of events, which holds a place for as long as it is sent."""

    def __init__(self, events: AsyncIterator[bytes], place: AbstractContextManager[None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


def _outputs(photo: Photo) -> Sequence[StoredObject]:
    return photo.result.objects if photo.result is not None else ()


def _event(kind: str, id: int, data: Mapping[str, Any]) -> bytes:
    return f"event: {kind}\nid: {id}\ndata: {json.dumps(data)}\n\n".encode()


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > most:
        raise bad_request("invalid_request", f"{name} must be a whole number from 0 to {most}")
    return int(text)
