"""A synchronous call: an urgent request with a deadline goes out, and the call waits for its own result.

The steps are the same for every API: `admit` before the body is read, then `run`, then the outputs are handed on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

import msgspec
import starlette.requests

from cutstream.clients.kafka import Headers, OutgoingRecord
from cutstream.clients.objects.own_objects import OwnObjects
from cutstream.clock import Clock
from cutstream.contract.cancellations import Cancellation, key_of
from cutstream.contract.cancellations import encode as encode_cancellation
from cutstream.contract.messages import Request, Result, decode_request, encode
from cutstream.contract.recipe import parse_recipe
from cutstream.errors import CutstreamError, Poison
from cutstream.settings import GatewaySettings, KafkaSettings
from producer.gateway.errors import CallRefused, ClientGone, bad_request, refusal_of, too_many, unavailable
from producer.gateway.keys import Client
from producer.gateway.limits import Limits
from producer.gateway.load import Load
from producer.gateway.names import RandomNames
from producer.gateway.tidying import Tidier
from producer.gateway.uploads import Incoming, Uploads
from producer.gateway.waiting import Arrived, Waiting

_LONGEST_RETRY_S = 60.0
_GRACE_S = 5.0  # a worker that notices the deadline writes `expired`, and that result is on its way
_REMEMBERED_S = 600.0


class Writer(Protocol):
    """What a call needs of the stream."""

    @property
    def ready(self) -> bool: ...

    @property
    def problem(self) -> str: ...

    def write(self, records: Sequence[OutgoingRecord]) -> Any: ...


class Calls:
    """Runs synchronous calls. Used on one event loop."""

    def __init__(
        self,
        settings: GatewaySettings,
        topics: KafkaSettings,
        stream: Writer,
        waiting: Waiting,
        load: Load,
        limits: Limits,
        uploads: Uploads,
        outputs: OwnObjects,
        tidier: Tidier,
        pool: Executor,
        clock: Clock,
        instance: str,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._stream = stream
        self._waiting = waiting
        self._load = load
        self._limits = limits
        self._uploads = uploads
        self._outputs = outputs
        self._tidier = tidier
        self._pool = pool
        self._clock = clock
        self._instance = instance
        self._names = RandomNames()

    @contextmanager
    def admit(self, client: Client) -> Iterator[None]:
        """Hold a place for a call. Raises CallRefused, before the body has been read, if there is no room for it."""
        with ExitStack() as held:
            self._check_stream(client)
            held.enter_context(self._limits.call(client))
            self._limits.spend(client)
            yield

    def _check_stream(self, client: Client) -> None:
        if not self._stream.ready:
            raise unavailable("The stream cannot be reached now", "stream")
        wait_s = self._load.wait_s()
        if wait_s > self._settings.max_wait_s:
            retry_s = min(wait_s, _LONGEST_RETRY_S)
            raise too_many("Too many requests wait already", retry_s, self._limits.headers(client), "wait")

    async def run(
        self, http: starlette.requests.Request, fields: Mapping[str, Any], uploads: Sequence[Incoming]
    ) -> Arrived:
        """Send a request with these fields, and return its result, which has outputs.

        `uploads` are the photos that have come with the call, and which the fields name by the addresses that they will
        have. They are stored before the request is written, and removed in the end. Raises CallRefused, and ClientGone,
        which calls the request off.
        """
        try:
            request = self._request(fields)
        except BaseException:
            for incoming in uploads:
                incoming.discard()
            raise
        id = request.id or ""
        uploaded = [self._uploads.address_of(incoming) for incoming in uploads]
        arriving = self._waiting.expect(id)
        record = OutgoingRecord(self._topics.urgent_topic, id.encode(), encode(request), _trace_of(http))
        sent = self._send(record, id, uploads)
        gone = asyncio.create_task(_gone(http))
        try:
            either: set[asyncio.Future[Any]] = {arriving, gone}
            await asyncio.wait(either, timeout=self._settings.timeout_s + _GRACE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not arriving.done():
                self._waiting.abandon(id)
                sent.add_done_callback(self._on_loop(self._abandon, id, arriving, uploaded))
        if not arriving.done():
            if gone.done() and not gone.cancelled():
                raise ClientGone("the client closed its connection while it waited")
            raise CallRefused(504, "expired", "No result in time", headers={"Retry-After": "5"})
        self._uploads.remove(uploaded)
        arrived = arriving.result()
        result = arrived.result
        if result.status != "ok" or not result.objects:
            refusal = refusal_of(result)
            refusal.headers["X-Request-Id"] = id
            raise refusal
        return arrived

    def clean_up(self, result: Result) -> None:
        """Remove the outputs of a call, soon: its client has them, or will never ask for them."""
        self._tidier.remove(self._outputs, [stored.uri for stored in result.objects])

    def _request(self, fields: Mapping[str, Any]) -> Request:
        deadline = self._now() + timedelta(seconds=self._settings.timeout_s)
        id = f"{self._instance}-c-{self._names.next()}"
        return parse_request({**fields, "id": id, "deadline": deadline.isoformat()})

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), timezone.utc)

    def _send(self, record: OutgoingRecord, id: str, uploads: Sequence[Incoming]) -> Future[None]:
        """Store the photos and write the request, on another thread. Whoever waits is told if that fails."""
        loop = asyncio.get_running_loop()

        def tell(done: Future[None]) -> None:
            if (exc := done.exception()) is not None:
                refused = exc if isinstance(exc, CallRefused) else None
                error = refused or unavailable("The stream does not take requests now")
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(self._waiting.fail, id, error)

        def send() -> None:
            try:
                for incoming in uploads:
                    self._uploads.store(incoming)
            except BaseException:
                for incoming in uploads:
                    incoming.discard()
                raise
            if self._waiting.is_abandoned(id):
                raise unavailable("the call has ended")
            self._stream.write([record]).add_done_callback(tell)

        sent: Future[None] = self._pool.submit(send) if uploads else Future()
        if not uploads:
            self._stream.write([record]).add_done_callback(tell)
            sent.set_result(None)
        sent.add_done_callback(tell)
        return sent

    def _on_loop(self, function: Callable[..., None], *arguments: Any) -> Callable[[object], None]:
        loop = asyncio.get_running_loop()

        def call(_: object) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(function, *arguments)

        return call

    def _abandon(self, id: str, arriving: asyncio.Future[Arrived], uploaded: Sequence[str]) -> None:
        """Call a request off that nobody waits for any more, and remove what it leaves behind once it has ended.

        If it has not ended, it has been written by now: a cancellation is for requests that were written before it.
        """
        topic, key = self._topics.cancellations_topic, key_of(id, {}).encode()
        has_ended = arriving.done()
        if not has_ended:
            now = self._now()
            cancellation = Cancellation(id=id, cancelled=now, expires=now + timedelta(seconds=_REMEMBERED_S))
            self._stream.write([OutgoingRecord(topic, key, encode_cancellation(cancellation))])
            asyncio.get_running_loop().call_later(_REMEMBERED_S, self._give_up, id, arriving)

        def ended(arrived: asyncio.Future[Arrived]) -> None:
            if not has_ended:
                self._stream.write([OutgoingRecord(topic, key, None)])
            self._uploads.remove(uploaded)
            if not arrived.cancelled() and arrived.exception() is None:
                self.clean_up(arrived.result().result)

        arriving.add_done_callback(ended)

    def _give_up(self, id: str, arriving: asyncio.Future[Arrived]) -> None:
        self._waiting.forget(id)
        arriving.cancel()


def parse_request(fields: Mapping[str, Any]) -> Request:
    """Return the request with these fields. Raises CallRefused if a worker would refuse it."""
    try:
        request = decode_request(json.dumps(fields).encode())
        named = isinstance(request.refine, str)  # presets of a deployment are known to its workers alone
        parse_recipe(msgspec.structs.replace(request, refine="soft") if named else request)
    except (Poison, ValueError) as exc:
        code = exc.code if isinstance(exc, CutstreamError) else "invalid_request"
        raise bad_request(code, str(exc)) from exc
    return request


def _trace_of(http: starlette.requests.Request) -> Headers:
    """Return the headers of a trace that the call belongs to. Its result has them, too."""
    names = ("traceparent", "tracestate")
    return [(name, value.encode("latin-1")) for name in names if (value := http.headers.get(name)) is not None]


async def _gone(http: starlette.requests.Request) -> None:
    """Return once the client has closed its connection. Its body has been read."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
