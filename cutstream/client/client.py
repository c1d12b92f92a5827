"""The client that waits: one object for submitting photos, following them and calling them off."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any

from cutstream.client.connecting import connect
from cutstream.client.errors import ClientClosed
from cutstream.client.failures import failed_result, is_of_photo
from cutstream.client.inbox import Finishing, Handle, Inbox, checked_timeout
from cutstream.client.options import Options
from cutstream.client.own_process import OwnProcess
from cutstream.client.requests import Photo, Source, check_several, make_request, source_of
from cutstream.client.results import Result
from cutstream.client.transport import Transport
from cutstream.clock import SystemClock
from cutstream.contract.messages import Request, StoredObject
from cutstream.errors import CutstreamError

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 256
TIMEOUT_S = 300.0


class Client:
    """Cuts photos out, over Kafka or HTTP.

    `address` is `kafka://broker:9092` (several brokers with commas between them), or that of the HTTP service, with its
    `key` if it asks for one. Without an address it is the Kafka that the settings name, or else the local stack.
    `kafka` has further settings of the section `kafka`, such as `{"security_protocol": "SSL"}`; the environment has the
    rest (docs/settings.md).

    At most `max_in_flight` requests are without a result; submitting more waits for a place. `timeout_s` is the time
    to wait for a result or a place, above 0, and `math.inf` for no limit.

    The client connects when it is entered, or first used, and reads results from then on. It is thread-safe: use one
    for all threads of a process. A process that is forked needs its own: there this one raises ClientForked.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        key: str | None = None,
        kafka: Mapping[str, Any] | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._init(connect(address, key, kafka or {}), max_in_flight, timeout_s)

    def _init(self, transport: Transport, max_in_flight: int, timeout_s: float) -> None:
        self.process = OwnProcess()
        self._transport = transport
        self._timeout_s = checked_timeout(timeout_s)
        self._clock = SystemClock()
        self._inbox = Inbox(max_in_flight)
        self._starting = threading.Lock()
        self._started = False
        self._closed = False

    @classmethod
    def over(cls, transport: Transport, *, max_in_flight: int = MAX_IN_FLIGHT, timeout_s: float = TIMEOUT_S) -> Self:
        """Return a client over a transport of your own, such as one for tests."""
        client = cls.__new__(cls)
        client._init(transport, max_in_flight, timeout_s)
        return client

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def start(self) -> None:
        """Connect, unless that has been done.

        Raises BrokerUnavailable or GatewayUnavailable, and ConfigurationError.
        """
        self.process.check()
        with self._starting:
            self._check_open()
            if not self._started:
                self._transport.start(self._inbox)
                self._started = True

    def close(self) -> None:
        """Disconnect. Requests in flight are still processed; whoever waits for one gets ClientClosed."""
        if not self.process.is_here:
            return  # the connection is the other process's
        with self._starting:
            self._closed = True
            self._inbox.close()
            if self._started:
                self._transport.close()
                self._started = False

    @property
    def in_flight(self) -> list[Handle]:
        """The handles that have no result yet."""
        return self._inbox.handles

    def cut(
        self, photo: Photo, *, urgent: bool = False, timeout_s: float | None = None, **options: Unpack[Options]
    ) -> Result:
        """Submit a photo and wait for its result.

        Raises PhotoFailed if it has no outputs, and NoResult after `timeout_s`. If the wait ends early, for this or any
        other reason, the request is called off.
        """
        self.limit(timeout_s)  # before anything is sent
        handle = self.submit(photo, urgent=urgent, **options)
        try:
            result = handle.result(timeout_s)
        except BaseException:
            self.call_off([handle])
            raise
        return result.raise_for_status()

    def submit(self, photo: Photo, *, urgent: bool = False, **options: Unpack[Options]) -> Handle:
        """Submit a photo and return once its request is safely there. `handle.result()` then waits for its result.

        Workers read urgent requests before all others. Raises InvalidRequest or InvalidOption for options that a worker
        would refuse, NotReachable for a photo that it cannot read, and BrokerUnavailable or GatewayUnavailable.
        """
        handle, sent = self._send(photo, urgent, options)
        _wait(sent)
        return handle

    def submit_many(self, photos: Iterable[Photo], *, urgent: bool = False, **options: Unpack[Options]) -> list[Handle]:
        """Submit photos, all with the same options, and return their handles once their requests are safely there.

        It waits for results while too many are in flight. Raises like `submit`; then the photos before the one at fault
        may have been submitted, and are called off.
        """
        check_several(photos)
        handles: list[Handle] = []
        sent: list[Future[None]] = []
        try:
            for photo in photos:
                handle, future = self._send(photo, urgent, options)
                handles.append(handle)
                sent.append(future)
            for future in sent:
                _wait(future)
        except BaseException:
            self.call_off(handles)
            raise
        return handles

    def results(self, handles: Iterable[Handle], *, timeout_s: float | None = None) -> Iterator[Result]:
        """Yield the results as they come, those of failed photos included. Each comes once.

        A photo that could not be sent, because it cannot be read or is refused, has a failed result as well. Raises
        NoResult if none comes for `timeout_s`; the handles remain good. Raises BrokerUnavailable or GatewayUnavailable
        for a request that could not be sent for these.
        """
        finishing = Finishing(self.process)
        for handle in handles:
            finishing.add(handle)
        while len(finishing):
            yield finishing.take(self.limit(timeout_s)).outcome(Result)

    def cut_many(
        self,
        photos: Iterable[Photo],
        *,
        urgent: bool = False,
        timeout_s: float | None = None,
        **options: Unpack[Options],
    ) -> Iterator[Result]:
        """Submit photos one by one and yield their results as they come, those of failed photos included.

        `photos` may be endless: never more than `max_in_flight` are on their way, and results are yielded before the
        next photo is taken. A photo that cannot be read, reached or sent has a failed result, and the others go on. If
        the loop is left early, or by an error, the rest is called off.

        Raises InvalidRequest or InvalidOption for options that a worker would refuse, NoResult if none comes for
        `timeout_s`, and BrokerUnavailable or GatewayUnavailable.
        """
        check_several(photos)
        finishing = Finishing(self.process)
        limit_s = self.limit(timeout_s)
        try:
            for photo in photos:
                while len(finishing) and not self._inbox.has_room():
                    yield finishing.take(limit_s).outcome(Result)
                finishing.add(self.attempt(photo, urgent, options))
                while (finished := finishing.take_now()) is not None:
                    yield finished.outcome(Result)
            while len(finishing):
                yield finishing.take(limit_s).outcome(Result)
        except BaseException:
            self.call_off(finishing.left)
            raise

    def cancel(self, *handles: Handle) -> None:
        """Call requests off. Each still has a result: of status `cancelled`, unless it has finished before.

        Raises BrokerUnavailable or GatewayUnavailable, and ClientClosed.
        """
        self.process.check()
        self._check_open()
        if ids := [handle.id for handle in handles if not handle.done]:
            self.start()
            self._transport.cancel(ids)

    def attempt(self, photo: Photo, urgent: bool, options: Mapping[str, Any]) -> Handle:
        """Hand a request over, without waiting until it is there.

        A photo that cannot be read or sent has a failed result at once. Otherwise it raises like `submit`.
        """
        request = make_request(photo, options, self._clock)
        try:
            return self._hand_over(request, source_of(photo), photo, urgent)[0]
        except CutstreamError as exc:
            if not is_of_photo(exc):
                raise
            handle = self._handle(request, photo)
            handle.arrived.set_result(failed_result(handle.id, photo, request.labels, exc))
            return handle

    def _send(self, photo: Photo, urgent: bool, options: Mapping[str, Any]) -> tuple[Handle, Future[None]]:
        return self._hand_over(make_request(photo, options, self._clock), source_of(photo), photo, urgent)

    def _handle(self, request: Request, photo: Photo) -> Handle:
        assert request.id is not None
        return Handle(request.id, photo, self._read, self._timeout_s, request.labels, self.process)

    def _read(self, output: StoredObject) -> bytes:
        self.process.check()
        return self._transport.read(output)

    def _hand_over(self, request: Request, source: Source, photo: Photo, urgent: bool) -> tuple[Handle, Future[None]]:
        self.start()
        handle = self._handle(request, photo)
        self._inbox.expect(handle, self._timeout_s)
        try:
            return handle, self._transport.send(request, source, urgent)
        except BaseException as exc:
            self._inbox.fail(handle.id, exc if isinstance(exc, Exception) else ClientClosed("interrupted"))
            raise

    def call_off(self, handles: list[Handle]) -> None:
        """Cancel requests that nobody waits for any more. An error is logged: what led here matters more."""
        if not self.process.is_here:
            return  # the other process waits for them
        left = [handle for handle in handles if not handle.done]
        try:
            if left:
                self.cancel(*left)
        except CutstreamError as exc:
            log.warning("%d requests could not be called off: %s", len(left), exc)

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed("the client is closed")

    def limit(self, timeout_s: float | None) -> float:
        """Return a call's time limit, or the client's if the call has none. Raises InvalidOption."""
        return self._timeout_s if timeout_s is None else checked_timeout(timeout_s)


def _wait(sent: Future[None]) -> None:
    try:
        sent.result()
    except CancelledError:
        raise ClientClosed("the client was closed before the request was sent") from None
