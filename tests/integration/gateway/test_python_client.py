"""The Python client by both ways, Kafka and HTTP, with the same calls; and what only HTTP has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from cutstream import AsyncClient, Client, PhotoFailed
from cutstream.client import GatewayRefused, GatewayUnavailable, NoResult, OutputUnavailable, over_http
from cutstream.clients.objects import files
from cutstream.clock import SystemClock
from cutstream.contract.messages import Choice, ErrorDetail, Request, ServedModel, WarningDetail
from cutstream.errors import InvalidOption, InvalidRequest
from cutstream.redaction import redact
from cutstream.settings import KafkaSettings
from producer.cancelling import list_cancellations
from producer.gateway.keys import create_key
from tests.support.group import wait_until
from tests.support.ports import free_ports
from tests.support.stand_in_worker import PICTURE, StandInWorker

pytestmark = pytest.mark.kafka

PHOTO = "https://example.org/shoe.jpg"
SIGNED = "https://example.org/shoe.jpg?token=secret"
PHOTOS = [f"https://example.org/{number}.jpg" for number in range(40)]
CANCELLED = ErrorDetail(code="cancelled", message="called off", stage="fetch", retryable=False)

Connect = Callable[..., Client]


@pytest.fixture
def http(running: Callable, worker: StandInWorker) -> str:
    """The address of a gateway."""
    address: str = running().address
    return address


@pytest.fixture(params=["kafka", "http"])
def address(request: pytest.FixtureRequest, kafka_settings: KafkaSettings) -> dict[str, object]:
    """The arguments of a client that reaches the worker by either way."""
    if request.param == "http":
        return {"address": request.getfixturevalue("http")}
    request.getfixturevalue("worker")
    topics = kafka_settings.model_dump(exclude_defaults=True, exclude={"bootstrap_servers"})
    return {"address": f"kafka://{kafka_settings.bootstrap_servers}", "kafka": topics}


@pytest.fixture
def client(address: dict[str, object]) -> Iterator[Client]:
    with Client(**address, timeout_s=30) as client:  # type: ignore[arg-type]
        yield client


def test_a_photo_is_cut(client: Client, worker: StandInWorker, tmp_path: Path) -> None:
    result = client.cut(PHOTO, outputs=["cutout", "mask"], labels={"shop": "42"}, urgent=True)
    (request,) = worker.requests
    assert (request.image, request.outputs, request.labels["shop"]) == (PHOTO, ("cutout", "mask"), "42")
    assert worker.topics[0].startswith("urgent")
    assert result.id.startswith("shoe-")
    assert result.details.labels["shop"] == "42"
    assert (result.ok, result.photo, result.read("cutout"), result.read("mask")) == (True, PHOTO, PICTURE, PICTURE)
    assert [output.output for output in result.outputs] == ["cutout", "mask"]
    assert (result.details.profile, result.details.uncertainty) == ("fast", 0.25)
    assert result.details.bbox.foreground_width == 3
    assert [path.name for path in result.save_all(tmp_path / "all")] == [
        f"{result.id}-cutout.png",
        f"{result.id}-mask.png",
    ]


def test_a_result_has_the_same_details_either_way(client: Client, worker: StandInWorker) -> None:
    details = {
        "image": redact(SIGNED),
        "model": ServedModel(name="cutout_fast", version="1", digest="d", networks=("u2netp",)),
        "choice": Choice(reason="deadline", detail="30 s are left"),
        "timings_ms": {"fetch": 12.5, "decode": 3.0},
        "attempts": 2,
        "coverage": 0.5,
        "warnings": (WarningDetail(code="first_of_several", message="the first of 2"),),
    }
    worker.answer = lambda request: msgspec.structs.replace(worker.succeed(request), **details)
    within = timedelta(minutes=10)
    begun = datetime.now(timezone.utc)
    result = client.cut(SIGNED, id="order-7", deadline=within, labels={"shop": "42"})
    (request,) = worker.requests
    assert request.deadline is not None
    assert begun + within - timedelta(seconds=1) <= request.deadline <= datetime.now(timezone.utc) + within
    assert (result.id, result.details.id) == ("order-7", "order-7")
    for name, value in details.items():
        assert getattr(result.details, name) == value, name
    shown = {name: text for name, text in result.details.labels.items() if not name.startswith("gateway-")}
    assert shown == {"shop": "42"}


@pytest.mark.parametrize(("status", "code"), [("failed", "failed_to_read_image"), ("expired", "expired")])
def test_a_photo_without_outputs_tells_its_stage_either_way(
    client: Client, worker: StandInWorker, status: str, code: str
) -> None:
    error = ErrorDetail(code=code, message="it says why", stage="decode", retryable=True)
    worker.answer = lambda request: worker.result(request, status=status, error=error, timings_ms={"fetch": 2.0})
    with pytest.raises(PhotoFailed) as caught:
        client.cut(PHOTO, deadline=timedelta(seconds=30))
    assert (caught.value.code, caught.value.stage, caught.value.retryable) == (code, "decode", True)
    assert (caught.value.details.status, caught.value.details.timings_ms) == (status, {"fetch": 2.0})
    assert caught.value.details.error == error


def test_many_have_one_result_each(client: Client, worker: StandInWorker) -> None:
    handles = client.submit_many(PHOTOS)
    results = list(client.results(handles))
    assert sorted(result.id for result in results) == sorted(handle.id for handle in handles)
    assert sorted(str(result.photo) for result in client.cut_many(iter(PHOTOS), outputs="mask")) == sorted(PHOTOS)
    assert len(worker.requests) == 80
    assert client.in_flight == []


def test_a_failed_photo_is_a_result_among_many_and_an_error_alone(client: Client, worker: StandInWorker) -> None:
    fail = worker.fail("unknown_foreground")
    worker.answer = lambda request: fail(request) if "/3." in request.image else worker.succeed(request)
    results = {result.photo: result for result in client.cut_many(PHOTOS[:5])}
    assert [results[photo].status for photo in PHOTOS[:5]] == ["ok", "ok", "ok", "failed", "ok"]
    with pytest.raises(PhotoFailed, match="unknown_foreground: it says why") as caught:
        client.cut(PHOTOS[3])
    assert (caught.value.code, caught.value.retryable) == ("unknown_foreground", False)


def test_requests_are_called_off_one_by_one(client: Client, worker: StandInWorker) -> None:
    worker.holding.set()
    first, second, third = client.submit_many(PHOTOS[:3])
    wait_until(lambda: worker.requests, "no request was written")
    client.cancel(second)
    with pytest.raises(NoResult, match="waiting for shoe-"):
        client.cut(PHOTO, timeout_s=0.5)
    names = {PHOTOS[1], PHOTO}
    worker.answer = lambda request: (
        worker.result(request, status="cancelled", error=CANCELLED)
        if request.image in names
        else worker.succeed(request)
    )
    worker.holding.clear()
    assert [handle.result().status for handle in (first, second, third)] == ["ok", "cancelled", "ok"]


def test_wrong_options_are_refused_before_anything_is_sent(client: Client, worker: StandInWorker) -> None:
    with pytest.raises(InvalidRequest, match="quality"):
        client.submit(PHOTO, quality=101)
    with pytest.raises(InvalidOption, match="crop_margin"):
        client.submit(PHOTO, crop_margin="5%")
    assert client.cut(PHOTO).ok
    assert len(worker.requests) == 1


def test_an_output_that_is_gone_or_was_replaced_is_not_returned(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_http, "_READ_S", 0.1)  # a gateway cannot tell such an output from a store that is away
    result = client.cut(PHOTO)
    (stored,) = (tmp_path / "out").glob("*/cutout-*")
    stored.write_bytes(PICTURE[:-1] + b"x")
    with pytest.raises(OutputUnavailable, match="not those that were stored"):
        result.read()
    stored.unlink()
    with pytest.raises(OutputUnavailable, match="the cutout cannot be"):
        result.read()


def test_asyncio(address: dict[str, object], worker: StandInWorker) -> None:
    async def use() -> None:
        async with AsyncClient(**address, timeout_s=30) as client:  # type: ignore[arg-type]
            results = await asyncio.gather(*(client.cut(photo) for photo in PHOTOS[:20]))
            assert [await result.read() for result in results] == [PICTURE] * 20
            seen = {result.photo async for result in client.cut_many(PHOTOS)}
            assert seen == set(PHOTOS)

    asyncio.run(use())


# -- HTTP


def test_files_and_bytes_are_uploaded(http: str, worker: StandInWorker, tmp_path: Path) -> None:
    contents = []

    def answer(request: Request):
        contents.append(Path(files.path_of(request.image)).read_bytes())
        return worker.succeed(request)

    worker.answer = answer
    photo = tmp_path / "Größe 1.jpg"
    photo.write_bytes(b"\xff\xd8 the bytes of a photo")
    with Client(http, timeout_s=30) as client:
        assert client.cut(photo, background="white").photo == photo
        assert client.cut(b"\xff\xd8 other bytes").bytes == PICTURE
    assert contents == [b"\xff\xd8 the bytes of a photo", b"\xff\xd8 other bytes"]
    assert worker.requests[0].background.color == "white"


def test_a_request_with_an_id_is_sent_once(http: str, worker: StandInWorker) -> None:
    with Client(http, timeout_s=30) as client, Client(http, timeout_s=30) as other:
        assert client.cut(PHOTO, id="order-7").id == other.cut(PHOTO, id="order-7").id == "order-7"
        assert client.cut(PHOTO, id="order-7", deadline=timedelta(minutes=1)).ok, "a deadline makes no other job"
        assert len(worker.requests) == 1
        with pytest.raises(GatewayRefused, match=r"422, idempotency_key_reused"):
            client.cut(PHOTOS[1], id="order-7")


def test_a_gateway_that_is_away_for_a_while_loses_nothing(running: Callable, worker: StandInWorker) -> None:
    first = running()
    worker.holding.set()
    with Client(first.address, timeout_s=60) as client:
        handles = client.submit_many(PHOTOS[:3])
        first.stop()
        worker.holding.clear()
        sending = threading.Thread(target=lambda: handles.append(client.submit(PHOTO)))
        sending.start()
        running(port=first.settings.gateway.port)
        sending.join()
        assert [result.ok for result in client.results(handles)] == [True] * 4
    wait_until(lambda: len(worker.requests) == 4, "a photo was not done, or twice")


def test_a_key_is_asked_for_and_limits_make_the_client_wait(running: Callable, tmp_path: Path, worker) -> None:
    file = tmp_path / "keys.toml"
    key = create_key(file, "shop", SystemClock())
    address = running(keys=file).address
    for wrong in (None, "cs_wrong"):
        with pytest.raises(GatewayRefused, match="403, auth_failed") as caught:
            Client(address, key=wrong).start()
        assert (caught.value.status, caught.value.code) == (403, "auth_failed")
    with Client(address, key=key, timeout_s=30) as client:
        assert client.cut(PHOTO).bytes == PICTURE


def test_what_the_service_refuses_is_told_in_its_words(http: str, worker: StandInWorker) -> None:
    with Client(http, timeout_s=30) as client:
        with pytest.raises(GatewayRefused, match=r"400, invalid_image_url"):
            client.cut("s3://bucket/shoe.jpg")
        assert client.cut(PHOTO).ok
    assert worker.requests[0].image == PHOTO


def test_calling_off_reaches_kafka(http: str, worker: StandInWorker, kafka_settings: KafkaSettings) -> None:
    worker.holding.set()
    with Client(http, timeout_s=30) as client:
        client.cancel(client.submit(PHOTO))
        (cancellation,) = list_cancellations(kafka_settings, SystemClock())
        assert list(cancellation.labels) == ["gateway-job"]
    worker.holding.clear()


def test_an_address_without_a_gateway_is_named(kafka_settings: KafkaSettings) -> None:
    (port,) = free_ports(1)
    with pytest.raises(GatewayUnavailable, match=f"no HTTP service answers at http://127.0.0.1:{port} .*refused"):
        Client(f"http://127.0.0.1:{port}/").start()
