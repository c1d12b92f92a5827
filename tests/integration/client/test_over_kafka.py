"""The client over a real Kafka, with a worker that answers with small pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from cutstream import AsyncClient, Client, PhotoFailed
from cutstream.client import NoResult, OutputUnavailable
from cutstream.clients.kafka import NoTopic
from cutstream.clients.objects import files
from cutstream.contract import cancellations
from cutstream.contract.messages import Request
from cutstream.errors import BrokerUnavailable, CutstreamError
from cutstream.settings import KafkaSettings, ObjectSettings
from producer import cancelling, entries
from tests.support.ports import free_ports
from tests.support.stand_in_worker import PICTURE, StandInWorker

pytestmark = pytest.mark.kafka


@pytest.fixture
def objects(tmp_path: Path) -> ObjectSettings:
    return ObjectSettings(destination=(tmp_path / "out").as_uri(), file_roots=(tmp_path,))


@pytest.fixture
def worker(kafka_settings: KafkaSettings, objects: ObjectSettings) -> Iterator[StandInWorker]:
    with StandInWorker(kafka_settings, objects) as standing_in:
        yield standing_in


@pytest.fixture
def topics(kafka_settings: KafkaSettings) -> dict[str, object]:
    """What a user writes into `kafka=`: this test's topics."""
    return kafka_settings.model_dump(exclude_defaults=True, exclude={"bootstrap_servers"})


@pytest.fixture
def client(kafka_settings: KafkaSettings, topics: dict[str, object], worker: StandInWorker) -> Iterator[Client]:
    with Client(f"kafka://{kafka_settings.bootstrap_servers}", kafka=topics, timeout_s=30) as client:
        yield client


def test_a_photo_is_cut_and_its_bytes_are_those_that_were_stored(
    client: Client, worker: StandInWorker, tmp_path: Path
) -> None:
    photo = tmp_path / "shoe.jpg"
    photo.write_bytes(b"a photo")
    result = client.cut(photo)
    assert (result.ok, result.bytes) == (True, PICTURE)
    assert worker.requests[0].image == photo.as_uri()
    assert result.save(tmp_path / "shoe.png").read_bytes() == PICTURE
    assert len(client.cut(photo.as_uri(), outputs=["cutout", "mask"]).save_all(tmp_path / "both")) == 2


def test_hundreds_have_one_result_each(client: Client) -> None:
    handles = client.submit_many(f"s3://photos/{number}.jpg" for number in range(600))
    results = list(client.results(handles))
    assert sorted(result.id for result in results) == sorted(handle.id for handle in handles)
    assert all(result.ok for result in results)
    streamed = client.cut_many((f"s3://photos/{number}.jpg" for number in range(300)), outputs="mask")
    assert len({result.photo for result in streamed}) == 300


def test_a_failed_photo_is_a_result_among_many_and_an_error_alone(client: Client, worker: StandInWorker) -> None:
    fail = worker.fail("unknown_foreground")
    worker.answer = lambda request: fail(request) if "bad" in request.image else worker.succeed(request)
    results = client.cut_many(["s3://photos/good.jpg", "s3://photos/bad.jpg"])
    assert {result.photo: result.status for result in results} == {
        "s3://photos/good.jpg": "ok",
        "s3://photos/bad.jpg": "failed",
    }
    with pytest.raises(PhotoFailed, match="unknown_foreground") as caught:
        client.cut("s3://photos/bad.jpg")
    assert caught.value.stage == "decode"


def test_results_of_others_are_not_ours(client: Client, worker: StandInWorker) -> None:
    worker.holding.set()
    handle = client.submit("s3://photos/mine.jpg")
    worker.write(worker.result(Request(image="s3://photos/theirs.jpg", id="theirs"), status="ok"))
    worker.holding.clear()
    assert handle.result().id == handle.id


def test_urgent_requests_go_to_their_topic(client: Client, worker: StandInWorker, kafka_settings) -> None:
    client.cut("s3://photos/a.jpg", urgent=True)
    client.cut("s3://photos/a.jpg")
    assert worker.topics == [kafka_settings.urgent_topic, kafka_settings.requests_topic]


def test_a_cancellation_names_the_requests_and_applies_to_them(
    client: Client, worker: StandInWorker, kafka_settings: KafkaSettings
) -> None:
    worker.holding.set()
    handles = client.submit_many(["s3://photos/a.jpg", "s3://photos/b.jpg", "s3://photos/c.jpg"])
    client.cancel(*handles[:2])
    with pytest.raises(NoResult):
        client.cut("s3://photos/d.jpg", timeout_s=0.2)
    found = entries.read_entries(kafka_settings, kafka_settings.cancellations_topic, cancellations.apply)
    (other,) = {entry.id for entry in found.values()} - {handle.id for handle in handles[:2]}
    assert other.startswith("d-")
    assert all(entry.cancelled < entry.expires for entry in found.values())
    cancelling.undo(kafka_settings, [handle.id for handle in handles[:2]], {})  # it is one like those of the command


def test_an_output_that_was_replaced_is_not_returned(client: Client, tmp_path: Path) -> None:
    result = client.cut("s3://photos/a.jpg")
    stored = Path(files.path_of(result.outputs[0].uri))
    assert sha256(stored.read_bytes()).hexdigest() == result.outputs[0].sha256
    stored.write_bytes(b"something else")
    with pytest.raises(OutputUnavailable, match="not those that were stored"):
        result.read()
    stored.unlink()
    with pytest.raises(OutputUnavailable, match=r"the cutout cannot be read from here: .*No such file"):
        result.read()


def test_a_broker_that_is_away_and_a_missing_topic_are_named(kafka_settings: KafkaSettings) -> None:
    (port,) = free_ports(1)
    with pytest.raises(BrokerUnavailable, match=f"no Kafka broker answers at 127.0.0.1:{port}"):
        Client(f"kafka://127.0.0.1:{port}").start()
    with pytest.raises(NoTopic, match="no-such-topic"):
        Client(f"kafka://{kafka_settings.bootstrap_servers}", kafka={"results_topic": "no-such-topic"}).start()


def test_a_client_that_failed_to_connect_can_be_used_later(kafka_settings, topics, worker) -> None:
    client = Client(f"kafka://{kafka_settings.bootstrap_servers}", kafka={**topics, "results_topic": "no-such-topic"})
    for _ in range(2):
        with pytest.raises(CutstreamError):
            client.submit("s3://photos/a.jpg")
    client.close()


def test_asyncio(kafka_settings: KafkaSettings, topics: dict[str, object], worker: StandInWorker) -> None:
    async def use() -> None:
        async with AsyncClient(f"kafka://{kafka_settings.bootstrap_servers}", kafka=topics, timeout_s=30) as client:
            assert await (await client.cut("s3://photos/a.jpg")).read() == PICTURE
            seen = [result.id async for result in client.cut_many(f"s3://photos/{n}.jpg" for n in range(100))]
            assert len(set(seen)) == 100
            handles = await client.submit_many(["s3://photos/a.jpg", "s3://photos/b.jpg"])
            assert {(await handle).photo for handle in handles} == {"s3://photos/a.jpg", "s3://photos/b.jpg"}

    asyncio.run(use())
