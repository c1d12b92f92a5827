"""Photos that cannot be read or sent: each is a failed result of its own, and the others go on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from cutstream import AsyncClient, Client, PhotoFailed
from cutstream.client import GatewayRefused, NotReachable, PhotoUnreadable
from cutstream.client.requests import Photo, Source
from cutstream.contract.messages import Request
from cutstream.errors import BrokerUnavailable, InvalidOption, InvalidRequest, RefusedAddress
from tests.support.fake_transport import FakeTransport, ok

GOOD = [f"s3://photos/{number}.jpg" for number in range(5)]


class Refusing(FakeTransport):
    """Refuses some photos: `at_once` like Kafka's transport, `later` like that of HTTP."""

    def __init__(self, at_once: Exception | None = None, later: Exception | None = None) -> None:
        super().__init__(ok)
        self._at_once, self._later = at_once, later

    def send(self, request: Request, source: Source, urgent: bool) -> Future[None]:
        if "refused" not in str(source):
            return super().send(request, source, urgent)
        if self._at_once is not None:
            raise self._at_once
        sent: Future[None] = Future()
        assert self._later is not None
        self.inbox.fail(request.id or "", self._later)
        sent.set_exception(self._later)
        return sent


Cut = Callable[..., list]


def _cut(photos: Iterable[Photo], transport: FakeTransport | None = None, **options: object) -> list:
    with Client.over(transport or FakeTransport(ok), max_in_flight=3, timeout_s=5) as client:
        results = list(client.cut_many(photos, **options))  # type: ignore[arg-type]
        assert client.in_flight == []
        return results


def _cut_async(photos: Iterable[Photo], transport: FakeTransport | None = None, **options: object) -> list:
    async def each() -> AsyncIterator[Photo]:
        for photo in photos:
            yield photo

    async def main() -> list:
        async with AsyncClient.over(transport or FakeTransport(ok), max_in_flight=3, timeout_s=5) as client:
            given = photos if isinstance(photos, (list, str, bytes, Path)) else each()
            results = [result async for result in client.cut_many(given, **options)]  # type: ignore[arg-type]
            assert client.in_flight == []
            return results

    return asyncio.run(asyncio.wait_for(main(), 20))


@pytest.fixture(params=[_cut, _cut_async])
def cut(request: pytest.FixtureRequest) -> Cut:
    return request.param


@pytest.mark.parametrize("listed", [list, iter])
def test_a_file_that_is_gone_does_not_end_the_loop(cut: Cut, listed: Callable, tmp_path: Path) -> None:
    missing = tmp_path / "gone.jpg"
    results = cut(listed([*GOOD[:2], missing, *GOOD[2:]]), labels={"shop": "1"})
    assert sorted(str(each.photo) for each in results if each.ok) == GOOD
    (bad,) = [each for each in results if not each.ok]
    assert (bad.photo, bad.status, bad.error.code, bad.error.stage) == (
        missing,
        "failed",
        "photo_unreadable",
        "request",
    )
    assert "gone.jpg' is no file of this machine" in bad.error.message
    assert bad.id.startswith("gone-")
    assert bad.details.labels == {"shop": "1"}
    with pytest.raises(PhotoFailed, match=r"gone-\w+: photo_unreadable"):
        bad.raise_for_status()


@pytest.mark.parametrize(
    "photo",
    [
        None,
        7,
        "",
        "a\0b.jpg",
        "x" * 300,
        "~nobody-of-this-name/a.jpg",
        "/",
        "s3://photos/\udce9.jpg",
        "s3://" + "x" * 9000,
    ],
)
def test_what_is_no_photo_is_told_by_a_named_error(cut: Cut, photo: Photo) -> None:
    results = cut([GOOD[0], photo, GOOD[1]])
    assert sorted(each.ok for each in results) == [False, True, True]
    assert next(each for each in results if not each.ok).photo == photo
    with Client.over(FakeTransport(ok)) as client, pytest.raises((PhotoUnreadable, RefusedAddress)):
        client.cut(photo)


@pytest.mark.parametrize(
    "transport",
    [
        lambda: Refusing(at_once=NotReachable("no worker reads it")),
        lambda: Refusing(later=PhotoUnreadable("it cannot be read")),
        lambda: Refusing(later=GatewayRefused(400, "invalid_image_url", "no")),
        lambda: Refusing(later=GatewayRefused(413, "unknown", "<html>a proxy")),
    ],
)
def test_a_photo_that_the_transport_refuses_does_not_end_the_loop(cut: Cut, transport: Callable) -> None:
    results = cut([GOOD[0], "s3://photos/refused.jpg", *GOOD[1:]], transport())
    assert sorted(each.photo for each in results if each.ok) == GOOD
    (bad,) = [each for each in results if not each.ok]
    assert bad.photo == "s3://photos/refused.jpg"


@pytest.mark.parametrize(
    "error",
    [
        BrokerUnavailable("no broker answers"),
        GatewayRefused(403, "auth_failed", "Invalid API Key"),
        GatewayRefused(404, "unknown", "it may be another service"),
    ],
)
def test_what_would_meet_every_photo_ends_the_loop(cut: Cut, error: Exception) -> None:
    with pytest.raises(type(error)):
        cut([GOOD[0], "s3://photos/refused.jpg"], Refusing(later=error))


@pytest.mark.parametrize(
    ("options", "error"), [({"quality": 0}, InvalidRequest), ({"crop_margin": "5%"}, InvalidOption)]
)
def test_wrong_options_are_no_photo_s_fault(cut: Cut, options: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        cut(["gone.jpg", GOOD[0]], **options)


@pytest.mark.parametrize("photos", ["photos/*.jpg", Path("photos"), b"a photo"])
def test_one_photo_is_not_taken_for_a_list(cut: Cut, photos: Photo) -> None:
    with pytest.raises(InvalidOption, match="a list"):
        cut(photos)


def test_bad_photos_without_end_are_told_one_by_one() -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "gone.jpg"

    with Client.over(FakeTransport(ok), max_in_flight=3) as client:
        results = client.cut_many(endless())
        assert [next(results).ok for _ in range(20)] == [False] * 20


def test_a_request_that_the_service_loses_is_a_failed_result_among_others() -> None:
    transport = FakeTransport()
    with Client.over(transport, timeout_s=5) as client:
        handles = client.submit_many(GOOD[:2])
        transport.inbox.fail(handles[0].id, GatewayRefused(404, "not_found", "no such job"))
        transport.finish(ok(transport.requests[1]))
        assert [(each.photo, each.ok) for each in client.results(handles)] == [(GOOD[0], False), (GOOD[1], True)]
        with pytest.raises(GatewayRefused):
            handles[0].result()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_searched_is_named(cut: Cut, tmp_path: Path) -> None:
    tmp_path.chmod(0)
    try:
        assert [each.ok for each in cut([tmp_path / "a.jpg"])] == [False]
    finally:
        tmp_path.chmod(0o700)
