"""The client for asyncio: the same calls, none of which blocks the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from cutstream.client.client import MAX_IN_FLIGHT, TIMEOUT_S, Client
from cutstream.client.errors import ClientClosed
from cutstream.client.inbox import Handle, finite, no_result
from cutstream.client.options import Options
from cutstream.client.own_process import OwnProcess
from cutstream.client.requests import Photo, check_several
from cutstream.client.results import AsyncResult
from cutstream.client.transport import Transport
from cutstream.errors import CutstreamError

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")

_THREADS = 8  # that submit: over HTTP each sends one photo


class AsyncHandle:
    """A photo that was submitted. `await handle` waits for its result, like `await handle.result()`."""

    def __init__(self, handle: Handle) -> None:
        self.unwrapped = handle
        """The same for threads."""

    def __repr__(self) -> str:
        return f"<Async{repr(self.unwrapped)[1:]}"

    @property
    def id(self) -> str:
        return self.unwrapped.id

    @property
    def photo(self) -> Photo:
        return self.unwrapped.photo

    @property
    def done(self) -> bool:
        """True once the result is there, or it is known that none will come."""
        return self.unwrapped.done

    def __await__(self) -> Generator[Any, None, AsyncResult]:
        return self.result().__await__()

    async def result(self, timeout_s: float | None = None) -> AsyncResult:
        """Wait for the result, which may be that of a photo that failed: look at its `ok` or `raise_for_status`.

        `timeout_s` replaces the client's. Raises NoResult, after which it may be called again; ClientClosed; and
        BrokerUnavailable, or what else kept the request from being sent.
        """
        return await self.unwrapped.async_result(timeout_s)


class AsyncClient:
    """Cuts photos out, over Kafka or HTTP, from asyncio. Its arguments are those of Client.

    The client connects when it is entered, or first used, and reads results from then on. Use it on one event loop. A
    process that is forked needs its own: there this one raises ClientForked.
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
        client = Client(address, key=key, kafka=kafka, max_in_flight=max_in_flight, timeout_s=timeout_s)
        self._init(client, max_in_flight)

    def _init(self, client: Client, max_in_flight: int) -> None:
        self._client = client
        self._places = asyncio.Semaphore(max_in_flight)  # so that no thread has to wait for a place
        self._pool = ThreadPoolExecutor(_THREADS, "cutstream-submit")

    @classmethod
    def over(cls, transport: Transport, *, max_in_flight: int = MAX_IN_FLIGHT, timeout_s: float = TIMEOUT_S) -> Self:
        """Return a client over a transport of your own, such as one for tests."""
        client = cls.__new__(cls)
        client._init(Client.over(transport, max_in_flight=max_in_flight, timeout_s=timeout_s), max_in_flight)
        return client

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Connect, unless that has been done.

        Raises BrokerUnavailable or GatewayUnavailable, and ConfigurationError.
        """
        await asyncio.wrap_future(self._in_pool(self._client.start))

    async def close(self) -> None:
        """Disconnect. Requests in flight are still processed; whoever waits for one gets ClientClosed."""
        if not self._client.process.is_here:
            return  # the connection is the other process's
        await asyncio.to_thread(self._client.close)
        self._pool.shutdown(wait=False)

    @property
    def in_flight(self) -> list[AsyncHandle]:
        """The handles that have no result yet."""
        return [AsyncHandle(handle) for handle in self._client.in_flight]

    async def cut(
        self, photo: Photo, *, urgent: bool = False, timeout_s: float | None = None, **options: Unpack[Options]
    ) -> AsyncResult:
        """Submit a photo and wait for its result.

        Raises PhotoFailed if it has no outputs, and NoResult after `timeout_s`. If the wait ends early, for this or any
        other reason, the request is called off.
        """
        self._client.limit(timeout_s)  # before anything is sent
        handle = await self.submit(photo, urgent=urgent, **options)
        try:
            result = await handle.result(timeout_s)
        except BaseException:
            self._call_off([handle])
            raise
        return result.raise_for_status()

    async def submit(self, photo: Photo, *, urgent: bool = False, **options: Unpack[Options]) -> AsyncHandle:
        """Submit a photo and return once its request is safely there. `await handle` then waits for its result.

        It waits while too many are in flight. Raises like `Client.submit`.
        """
        return await self._submit(lambda: self._client.submit(photo, urgent=urgent, **options))

    async def _submit(self, submit: Callable[[], Handle]) -> AsyncHandle:
        """Wait for a place, then submit in a thread. The place is free again once the result is there."""
        self._client.process.check()
        limit_s = self._client.limit(None)
        try:
            await asyncio.wait_for(self._places.acquire(), finite(limit_s))
        except (asyncio.TimeoutError, TimeoutError):
            raise no_result(self._client.in_flight, limit_s) from None
        try:
            submitted = self._in_pool(submit)
        except CutstreamError:
            self._places.release()
            raise
        try:
            handle = await asyncio.shield(asyncio.wrap_future(submitted))
        except asyncio.CancelledError:
            submitted.add_done_callback(self._abandon)
            self._places.release()
            raise
        except BaseException:
            self._places.release()
            raise
        loop = asyncio.get_running_loop()
        handle.arrived.add_done_callback(lambda _: self._free_place(loop))
        return AsyncHandle(handle)

    async def submit_many(
        self,
        photos: Iterable[Photo] | AsyncIterable[Photo],
        *,
        urgent: bool = False,
        **options: Unpack[Options],
    ) -> list[AsyncHandle]:
        """Submit photos, all with the same options, and return their handles once their requests are safely there.

        It waits for results while too many are in flight. Raises like `submit`; then the photos before the one at fault
        are called off.
        """
        check_several(photos)
        handles: list[AsyncHandle] = []
        try:
            async for photo in _each(photos):
                handles.append(await self.submit(photo, urgent=urgent, **options))
        except BaseException:
            self._call_off(handles)
            raise
        return handles

    async def results(
        self, handles: Iterable[AsyncHandle], *, timeout_s: float | None = None
    ) -> AsyncIterator[AsyncResult]:
        """Yield the results as they come, those of failed photos included. Each comes once.

        A photo that could not be sent, because it cannot be read or is refused, has a failed result as well. Raises
        NoResult if none comes for `timeout_s`; the handles remain good. Raises BrokerUnavailable or GatewayUnavailable
        for a request that could not be sent for these.
        """
        finishing = _Finishing(self._client.process)
        for handle in handles:
            finishing.add(handle)
        while len(finishing):
            yield await finishing.take(self._client.limit(timeout_s))

    async def cut_many(
        self,
        photos: Iterable[Photo] | AsyncIterable[Photo],
        *,
        urgent: bool = False,
        timeout_s: float | None = None,
        **options: Unpack[Options],
    ) -> AsyncIterator[AsyncResult]:
        """Submit photos one by one and yield their results as they come, those of failed photos included.

        `photos` may be endless: never more than `max_in_flight` are on their way, and results are yielded before the
        next photo is taken. A photo that cannot be read, reached or sent has a failed result, and the others go on. If
        the loop is left early, or by an error, the rest is called off, at the latest when the generator is closed.
        Raises like `Client.cut_many`.
        """
        check_several(photos)
        finishing = _Finishing(self._client.process)
        limit_s = self._client.limit(timeout_s)
        try:
            async for photo in _each(photos):
                while len(finishing) and (finishing.ready or self._places.locked()):
                    yield await finishing.take(limit_s)
                attempt = partial(self._client.attempt, photo, urgent, options)
                finishing.add(await self._submit(attempt))
            while len(finishing):
                yield await finishing.take(limit_s)
        except BaseException:
            self._call_off(finishing.left)
            raise

    async def cancel(self, *handles: AsyncHandle) -> None:
        """Call requests off. Each still has a result: of status `cancelled`, unless it has finished before.

        Raises BrokerUnavailable or GatewayUnavailable.
        """
        own = [handle.unwrapped for handle in handles]
        await asyncio.wrap_future(self._in_pool(lambda: self._client.cancel(*own)))

    def _call_off(self, handles: Sequence[AsyncHandle]) -> None:
        """Cancel without waiting: whoever is cancelled must not wait any longer."""
        if not self._client.process.is_here:
            return  # the other process waits for them
        own = [handle.unwrapped for handle in handles if not handle.done]
        if own:
            with suppress(ClientClosed):
                self._in_pool(lambda: self._client.call_off(own))

    def _in_pool(self, call: Callable[[], T]) -> Future[T]:
        """Have a thread make a call. Raises ClientClosed and ClientForked."""
        self._client.process.check()
        try:
            return self._pool.submit(call)
        except RuntimeError as exc:  # which the pool raises once it is shut down
            raise ClientClosed("the client is closed") from exc

    def _abandon(self, submitted: Future[Handle]) -> None:
        if not submitted.cancelled() and submitted.exception() is None:
            self._client.call_off([submitted.result()])

    def _free_place(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits for a place
            loop.call_soon_threadsafe(self._places.release)


class _Finishing:
    """Handles in the order in which they finish. Used on one event loop."""

    def __init__(self, process: OwnProcess) -> None:
        self._process = process
        self._unfinished: dict[str, AsyncHandle] = {}
        self._finished: asyncio.Queue[AsyncHandle] = asyncio.Queue()

    def add(self, handle: AsyncHandle) -> None:
        if handle.id in self._unfinished:
            return
        loop = asyncio.get_running_loop()
        self._unfinished[handle.id] = handle

        def note(arrived: object) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._finished.put_nowait, handle)

        handle.unwrapped.arrived.add_done_callback(note)

    def __len__(self) -> int:
        """Return how many have not been taken yet."""
        return len(self._unfinished)

    @property
    def ready(self) -> bool:
        return not self._finished.empty()

    @property
    def left(self) -> list[AsyncHandle]:
        return [handle for handle in self._unfinished.values() if not handle.done]

    async def take(self, timeout_s: float) -> AsyncResult:
        """Return the next result. Raises NoResult if none comes in time, and ClientForked."""
        self._process.check()
        try:
            handle = await asyncio.wait_for(self._finished.get(), finite(timeout_s))
        except (asyncio.TimeoutError, TimeoutError):
            raise no_result([handle.unwrapped for handle in self.left], timeout_s) from None
        del self._unfinished[handle.id]
        return handle.unwrapped.outcome(AsyncResult)


async def _each(photos: Iterable[Photo] | AsyncIterable[Photo]) -> AsyncIterator[Photo]:
    if isinstance(photos, AsyncIterable):
        async for photo in photos:
            yield photo
    else:
        for photo in photos:
            yield photo
