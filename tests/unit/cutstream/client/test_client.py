"""The calls of a client, over a transport that the test answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from cutstream import AsyncClient, Client, PhotoFailed
from cutstream.client import ClientClosed, NoResult
from cutstream.contract.messages import Request
from cutstream.contract.options import Background, Gradient
from cutstream.errors import BrokerUnavailable, InvalidOption, InvalidRequest
from tests.support.fake_transport import CONTENT, FakeTransport, failed, ok

PHOTO = "s3://photos/shoe.jpg"


def photos(count: int) -> list[str]:
    return [f"s3://photos/{number}.jpg" for number in range(count)]


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def client(transport: FakeTransport) -> Iterator[Client]:
    with Client.over(transport, max_in_flight=3, timeout_s=5) as client:
        yield client


def test_cut_waits_for_the_result_of_its_photo(client: Client, transport: FakeTransport) -> None:
    transport.answer = ok
    result = client.cut(PHOTO, background="white")
    assert (result.ok, result.status, result.photo, result.bytes) == (True, "ok", PHOTO, CONTENT)
    (request,) = transport.requests
    assert (request.outputs, request.background.color) == (("composite",), "white")
    assert result.id == request.id
    assert request.id.startswith("shoe-")
    assert transport.urgent == [False]


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_a_time_limit_that_cannot_be_kept_is_refused_before_anything_is_sent(
    client: Client, transport: FakeTransport, timeout_s: float
) -> None:
    for call in (
        lambda: client.cut(PHOTO, timeout_s=timeout_s),
        lambda: list(client.cut_many([PHOTO], timeout_s=timeout_s)),
        lambda: Client.over(transport, timeout_s=timeout_s),
        lambda: asyncio.run(AsyncClient.over(transport).cut(PHOTO, timeout_s=timeout_s)),
    ):
        with pytest.raises(InvalidOption, match=r"timeout_s=.*: give the seconds to wait for a result, above 0"):
            call()
    assert transport.requests == []


def test_a_photo_that_fails_raises_what_its_result_says(client: Client, transport: FakeTransport) -> None:
    transport.answer = failed
    with pytest.raises(PhotoFailed, match=r"shoe-[0-9a-f]{8}: unknown_foreground: it says why") as caught:
        client.cut(PHOTO)
    assert (caught.value.code, caught.value.stage, caught.value.retryable) == ("unknown_foreground", "compose", False)
    assert caught.value.details.status == "failed"
    assert transport.cancelled == []


def test_who_waits_no_longer_has_the_request_called_off(client: Client, transport: FakeTransport) -> None:
    with pytest.raises(NoResult, match=r"no result came for 0.01 s; waiting for shoe-.* `cutstream top`") as caught:
        client.cut(PHOTO, timeout_s=0.01)
    assert isinstance(caught.value, TimeoutError)
    assert transport.cancelled == [transport.requests[0].id]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"outptus": ["mask"]}, InvalidRequest, "outptus"),
        ({"quality": 101}, InvalidRequest, "quality"),
        ({"crop_margin": "5%"}, InvalidOption, "crop_margin does nothing without `crop`"),
        ({"background": "no colour"}, InvalidOption, "background"),
        ({"outputs": "mask", "background": "red"}, InvalidOption, "background"),
        ({"labels": {"a": 1}}, InvalidRequest, "labels"),
        ({"id": "a/b"}, InvalidRequest, "id"),
        ({"image": "s3://other/photo.jpg"}, InvalidOption, "`image` is no option"),
        ({"replay": 1}, InvalidOption, "`replay` is no option"),
        ({"roi": "\ud800"}, InvalidOption, "not UTF-8"),
        ({"labels": object()}, InvalidOption, "no request can hold"),
    ],
)
def test_wrong_options_are_refused_by_name_before_anything_is_sent(
    client: Client, transport: FakeTransport, options: dict, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        client.submit(PHOTO, **options)
    assert transport.requests == []
    assert len(transport.inbox) == 0


def test_options_are_those_of_the_contract_and_friendlier(client: Client, transport: FakeTransport) -> None:
    before = datetime.now(timezone.utc)
    client.submit(PHOTO, outputs="mask", deadline=timedelta(minutes=5), profile=None, labels={"shop": "42"})
    client.submit(PHOTO, background=Background(gradient=Gradient(colors=("red", "blue"))), format="jpg", urgent=True)
    mask, composite = transport.requests
    assert (mask.outputs, mask.labels, mask.profile) == (("mask",), {"shop": "42"}, None)
    assert timedelta(minutes=4) < mask.deadline - before < timedelta(minutes=6)
    assert (composite.outputs, composite.format) == (("composite",), "jpeg")
    assert composite.background.gradient.colors == ("red", "blue")
    assert transport.urgent == [False, True]


def test_a_photo_may_be_a_file_or_bytes(client: Client, transport: FakeTransport, tmp_path: Path) -> None:
    file = tmp_path / "my shoe.jpg"
    file.write_bytes(b"photo")
    client.submit(file)
    client.submit(str(file))
    client.submit(b"photo")
    assert transport.sources == [file, file, b"photo"]
    assert [request.id.rpartition("-")[0] for request in transport.requests] == ["my-shoe", "my-shoe", "photo"]


def test_a_file_that_is_not_there_is_named(client: Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"missing\.jpg' is no file of this machine"):
        client.submit(tmp_path / "missing.jpg")
    with pytest.raises(InvalidOption, match="is a folder"):
        client.submit(tmp_path)


def test_results_come_as_they_finish_each_once_and_failed_ones_too(client: Client, transport: FakeTransport) -> None:
    handles = client.submit_many(photos(3))
    first, second, third = transport.requests
    transport.finish(ok(third))
    results = []
    for result in client.results([*handles, handles[0]]):
        results.append(result)
        transport.finish(*([failed(first), ok(third)] if len(results) == 1 else [ok(second)]))
    assert [result.photo for result in results] == ["s3://photos/2.jpg", "s3://photos/0.jpg", "s3://photos/1.jpg"]
    assert [result.ok for result in results] == [True, False, True]
    assert results[1].error.code == "unknown_foreground"
    with pytest.raises(PhotoFailed):
        results[1].raise_for_status()
    assert all(handle.done for handle in handles)


def test_results_that_do_not_come_in_time_can_be_asked_for_again(client: Client, transport: FakeTransport) -> None:
    handles = client.submit_many(photos(2))
    transport.finish(ok(transport.requests[1]))
    results = client.results(handles, timeout_s=0.01)
    assert next(results).photo == "s3://photos/1.jpg"
    with pytest.raises(NoResult, match="waiting for 0-"):
        next(results)
    assert transport.cancelled == []
    transport.finish(ok(transport.requests[0]))
    assert handles[0].result().photo == "s3://photos/0.jpg"


def test_no_more_than_the_limit_are_in_flight(client: Client, transport: FakeTransport) -> None:
    answered = threading.Event()

    def submit() -> None:
        client.submit_many(photos(5))
        answered.set()

    thread = threading.Thread(target=submit)
    thread.start()
    for done in range(5):
        while len(transport.requests) <= done:
            pass
        assert len(transport.requests) - done <= 3
        transport.finish(ok(transport.requests[done]))
    thread.join()
    assert answered.is_set()


def test_who_finds_no_place_in_time_is_told(transport: FakeTransport) -> None:
    with Client.over(transport, max_in_flight=2, timeout_s=0.01) as client:
        client.submit_many(photos(2))
        with pytest.raises(NoResult, match=r"waiting for 0-\w+, 1-\w+\. "):
            client.submit(PHOTO)


def test_cut_many_takes_photos_only_as_places_become_free(client: Client, transport: FakeTransport) -> None:
    taken = []

    def endless() -> Iterator[str]:
        for photo in photos(1000):
            taken.append(photo)
            yield photo

    def answer(request: Request) -> None:
        if len(transport.requests) == 3:  # the places are taken: now the oldest is answered
            transport.finish(ok(transport.requests.pop(0)))

    transport.answer = answer
    results = client.cut_many(endless())
    assert [next(results).photo for _ in range(10)] == photos(10)
    assert len(taken) <= 13


def test_leaving_the_loop_calls_off_what_is_in_flight(client: Client, transport: FakeTransport) -> None:
    transport.answer = lambda request: ok(request) if "/0.jpg" in request.id or request.id.startswith("0-") else None
    for result in client.cut_many(photos(3)):
        assert result.photo == "s3://photos/0.jpg"
        break
    assert transport.cancelled == [request.id for request in transport.requests[1:]]


def test_an_error_among_many_calls_off_those_before_it(client: Client, transport: FakeTransport) -> None:
    with pytest.raises(InvalidOption):
        client.submit_many([PHOTO, "missing.jpg"])
    assert transport.cancelled == [transport.requests[0].id]


def test_a_request_that_cannot_be_sent_raises_and_frees_its_place(client: Client, transport: FakeTransport) -> None:
    transport.away = True
    for _ in range(5):  # more than there are places
        with pytest.raises(BrokerUnavailable):
            client.submit(PHOTO)
    with pytest.raises(BrokerUnavailable):
        list(client.cut_many(photos(2)))
    assert len(transport.inbox) == 0


def test_cancel_calls_off_what_is_not_done(client: Client, transport: FakeTransport) -> None:
    done, waiting = client.submit_many(photos(2))
    transport.finish(ok(transport.requests[0]))
    client.cancel(done, waiting)
    assert transport.cancelled == [waiting.id]
    transport.finish(failed(transport.requests[1], "cancelled", "cancelled"))
    assert waiting.result().status == "cancelled"


def test_an_id_of_a_request_in_flight_is_refused(client: Client, transport: FakeTransport) -> None:
    client.submit(PHOTO, id="mine")
    with pytest.raises(InvalidOption, match="'mine' is in flight"):
        client.submit(PHOTO, id="mine")
    transport.finish(ok(transport.requests[0]))
    client.submit(PHOTO, id="mine")


def test_closing_tells_all_who_wait(transport: FakeTransport) -> None:
    with Client.over(transport) as client:
        handle = client.submit(PHOTO)
    assert transport.closed
    with pytest.raises(ClientClosed):
        handle.result()
    with pytest.raises(ClientClosed):
        client.submit(PHOTO)
    client.close()


def test_a_client_connects_when_it_is_first_used(transport: FakeTransport) -> None:
    client = Client.over(transport)
    assert not hasattr(transport, "inbox")
    client.submit(PHOTO)
    assert len(transport.inbox) == 1


def test_threads_share_a_client(client: Client, transport: FakeTransport) -> None:
    transport.answer = ok
    found: list[str] = []

    def work(number: int) -> None:
        found.extend(client.cut(f"s3://photos/{number}-{part}.jpg").id for part in range(20))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 160
