"""A client in a process that was forked from that of its maker, and a client that is closed: named errors at once."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from cutstream import AsyncClient, Client
from cutstream.client import ClientClosed, ClientForked
from cutstream.client.over_kafka import KafkaTransport
from cutstream.settings import Settings
from tests.support.fake_transport import FakeTransport, ok

PHOTO = "s3://photos/shoe.jpg"
_LIMIT_S = 10


def in_a_fork(check: Callable[[], None]) -> None:
    """Run `check` in a forked process, which is ended if it hangs."""
    child = os.fork()
    if child == 0:
        signal.alarm(_LIMIT_S)
        try:
            check()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# Threads that run while a process forks are what this is about.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def test_a_client_belongs_to_the_process_that_made_it() -> None:
    transport = FakeTransport(ok)
    with Client.over(transport, max_in_flight=1, timeout_s=60) as client:
        result = client.cut(PHOTO)
        transport.answer = lambda request: None
        handle = client.submit(PHOTO)
        waiting, many = client.results([handle]), client.cut_many([PHOTO])
        uses: list[Callable[[], Any]] = [
            client.start,
            lambda: client.cut(PHOTO),
            lambda: client.submit(PHOTO),
            lambda: client.submit_many([PHOTO]),
            lambda: client.cancel(handle),
            lambda: list(client.cut_many([PHOTO])),
            handle.result,
            result.read,
            lambda: next(waiting),
            lambda: next(many),
        ]

        def check() -> None:
            for use in uses:
                with pytest.raises(ClientForked, match=r"each process needs its own"):
                    use()
            client.close()  # does nothing: the connection is the other process's
            assert not transport.closed
            assert transport.cancelled == []

        in_a_fork(check)
        transport.finish(ok(transport.requests[-1]))
        assert handle.result().ok


def test_a_lock_that_was_held_during_the_fork_is_not_waited_for() -> None:
    with Client.over(FakeTransport(ok), timeout_s=60) as client, client._starting, client._inbox._changed:

        def check() -> None:
            with pytest.raises(ClientForked):
                client.cut(PHOTO)
            client.close()

        in_a_fork(check)


def test_an_asynchronous_client_belongs_to_its_process_too() -> None:
    async def make() -> tuple[AsyncClient, Any]:
        transport = FakeTransport()
        client = AsyncClient.over(transport, timeout_s=60)
        return client, await client.submit(PHOTO)

    client, handle = asyncio.run(make())

    async def check() -> None:
        for use in (
            client.start,
            lambda: client.cut(PHOTO),
            lambda: client.submit(PHOTO),
            lambda: client.cancel(handle),
            handle.result,
            lambda: client.cut_many([PHOTO]).__anext__(),
            lambda: client.results([handle]).__anext__(),
        ):
            with pytest.raises(ClientForked):
                await use()
        await client.close()

    in_a_fork(lambda: asyncio.run(check()))
    asyncio.run(client.close())


def test_a_closed_asynchronous_client_says_so() -> None:
    async def main() -> None:
        client = AsyncClient.over(FakeTransport(ok))
        handle = await client.submit(PHOTO)
        await client.close()
        for use in (
            client.start,
            lambda: client.cut(PHOTO),
            lambda: client.submit(PHOTO),
            lambda: client.submit_many([PHOTO]),
            lambda: client.cancel(handle),
            lambda: client.cut_many([PHOTO]).__anext__(),
        ):
            with pytest.raises(ClientClosed):
                await use()
        await client.close()

    asyncio.run(main())


def test_a_closed_client_says_so() -> None:
    client = Client.over(FakeTransport())
    handle = client.submit(PHOTO)
    client.close()
    for use in (
        client.start,
        lambda: client.cut(PHOTO),
        lambda: client.submit_many([PHOTO]),
        lambda: client.cancel(handle),
        lambda: next(client.cut_many([PHOTO])),
        handle.result,
    ):
        with pytest.raises(ClientClosed):
            use()


def test_a_closed_kafka_transport_takes_nothing_that_nobody_would_write() -> None:
    transport = KafkaTransport(Settings())
    transport.close()
    with pytest.raises(ClientClosed):
        transport.cancel(["shoe-1"])
