"""The calls of the asyncio client, over a transport that the test answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from cutstream import AsyncClient, PhotoFailed
from cutstream.client import ClientClosed, NoResult
from cutstream.errors import BrokerUnavailable, InvalidRequest
from tests.support.fake_transport import CONTENT, FakeTransport, failed, ok

PHOTO = "s3://photos/shoe.jpg"


def photos(count: int) -> list[str]:
    return [f"s3://photos/{number}.jpg" for number in range(count)]


async def until(holds: Callable[[], object]) -> None:
    while not holds():
        await asyncio.sleep(0.001)


def run(use: Callable[[AsyncClient, FakeTransport], Awaitable[None]], places: int = 3) -> None:
    async def main() -> None:
        transport = FakeTransport()
        async with AsyncClient.over(transport, max_in_flight=places, timeout_s=5) as client:
            await asyncio.wait_for(use(client, transport), 20)
        assert transport.closed

    asyncio.run(main())


def test_cut_waits_for_the_result_of_its_photo() -> None:
    async def use(client: AsyncClient, transport: FakeTransport) -> None:
        transport.answer = ok
        result = await client.cut(PHOTO, outputs="mask")
        assert (result.photo, await result.read()) == (PHOTO, CONTENT)
        transport.answer = failed
        with pytest.raises(PhotoFailed, match="unknown_foreground"):
            await client.cut(PHOTO)
        with pytest.raises(InvalidRequest):
            await client.cut(PHOTO, quality=0)
        assert len(transport.inbox) == 0

    run(use)


def test_many_tasks_share_a_client_and_its_places() -> None:
    async def use(client: AsyncClient, transport: FakeTransport) -> None:
        transport.answer = ok
        results = await asyncio.gather(*(client.cut(photo) for photo in photos(50)))
        assert [result.photo for result in results] == photos(50)

    run(use)


def test_a_task_that_is_cancelled_calls_its_request_off() -> None:
    async def use(client: AsyncClient, transport: FakeTransport) -> None:
        task = asyncio.create_task(client.cut(PHOTO))
        await until(lambda: transport.requests)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: transport.cancelled)
        assert transport.cancelled == [transport.requests[0].id]

    run(use)


def test_a_handle_can_be_awaited_again_after_a_time_out() -> None:
    async def use(client: AsyncClient, transport: FakeTransport) -> None:
        handle = await client.submit(PHOTO)
        with pytest.raises(NoResult, match="waiting for shoe-"):
            await handle.result(0.01)
        assert not handle.done
        transport.finish(ok(transport.requests[0]))
        assert (await handle).ok
        assert (await handle).id == handle.id

    run(use)


def test_results_come_as_they_finish() -> None:
    async def use(client: AsyncClient, transport: FakeTransport) -> None:
        handles = await client.submit_many(photos(3))
        first, second, third = transport.requests
        transport.finish(ok(third))
        seen = []
        async for result in client.results(handles):
            seen.append((result.photo[-5:], result.ok))
            transport.finish(*([failed(first)] if len(seen) == 1 else [ok(second)]))
        assert seen == [("2.jpg", True), ("0.jpg", False), ("1.jpg", True)]

    run(use)


def test_cut_many_takes_photos_only_as_places_become_free() -> None:
    async def use(client: AsyncClient, transport: FakeTransport) -> None:
        taken = []

        async def endless() -> AsyncIterator[str]:
            for photo in photos(1000):
                taken.append(photo)
                yield photo

        seen = []
        results = client.cut_many(endless())
        async for result in results:
            seen.append(result.photo)
            if len(seen) == 10:
                break
        await results.aclose()
        assert len(set(seen)) == 10
        assert len(taken) <= 14

    async def answering(client: AsyncClient, transport: FakeTransport) -> None:
        async def answer() -> None:
            done = 0
            while True:
                await asyncio.sleep(0)
                if len(transport.requests) - done >= 3:
                    transport.finish(ok(transport.requests[done]))
                    done += 1

        worker = asyncio.create_task(answer())
        await use(client, transport)
        worker.cancel()
        await until(lambda: transport.cancelled)
        assert len(transport.cancelled) <= 4

    run(answering)


def test_submitting_waits_for_a_place() -> None:
    async def use(client: AsyncClient, transport: FakeTransport) -> None:
        await client.submit_many(photos(3))
        fourth = asyncio.create_task(client.submit(PHOTO))
        await asyncio.sleep(0.02)
        assert len(transport.requests) == 3
        transport.finish(ok(transport.requests[0]))
        assert (await fourth).id == transport.requests[3].id
        with pytest.raises(NoResult):  # a place that does not become free in time
            await asyncio.wait_for(client.submit(PHOTO), 20)

    async def main() -> None:
        async with AsyncClient.over(FakeTransport(), max_in_flight=3, timeout_s=0.1) as client:
            await use(client, client._client._transport)

    asyncio.run(main())


def test_a_request_that_cannot_be_sent_raises_and_frees_its_place() -> None:
    async def use(client: AsyncClient, transport: FakeTransport) -> None:
        transport.away = True
        for _ in range(5):
            with pytest.raises(BrokerUnavailable):
                await client.submit(PHOTO)
        transport.away = False
        await client.submit(PHOTO)

    run(use)


def test_cancel_and_close() -> None:
    async def main() -> None:
        transport = FakeTransport()
        client = AsyncClient.over(transport)
        handle = await client.submit(PHOTO)
        await client.cancel(handle)
        assert transport.cancelled == [handle.id]
        waiting = asyncio.create_task(handle.result())
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ClientClosed):
            await waiting

    asyncio.run(main())
