"""Read after a run what Kafka and the stores hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kafka import KafkaConsumer

from cutstream.clients.kafka import Partition, Record, TopicReader
from cutstream.contract.envelope import DEAD_LETTER_PREFIX
from cutstream.contract.messages import Result, decode_result
from cutstream.settings import KafkaSettings
from tests.e2e.chaos.checker import Evidence, Origin, origin_of
from tests.e2e.chaos.observer import Lag, read_lags
from tests.e2e.chaos.stack import BUCKET, ChaosStack
from tests.e2e.chaos.workload import NUMBER_HEADER, Planned, Recipe


def collect_evidence(stack: ChaosStack, planned: Mapping[int, Planned], quiet: Iterable[int]) -> Evidence:
    """Read all topics from their beginnings with new readers. `quiet` are the numbers of the run without faults."""
    kafka = stack.settings.kafka
    records = {topic: read_topic(kafka, topic) for topic in kafka.request_topics}
    requests = {
        Origin(record.partition.topic, record.partition.number, record.offset): planned[_number(record)]
        for topic in (kafka.urgent_topic, kafka.requests_topic)
        for record in records[topic]
    }
    results = [decode_result(record.value) for record in read_topic(kafka, kafka.results_topic)]
    letters = [_letter_origin(record) for record in read_topic(kafka, kafka.dead_letters_topic)]
    ends: dict[Partition, int] = {}
    for record in (record for topic in records.values() for record in topic):
        ends[record.partition] = record.offset + 1
    committed = _committed(kafka)
    return Evidence(
        requests=requests,
        results=results,
        letters=letters,
        quiet=_quiet_pictures(requests, results, set(quiet)),
        read_object=object_reader(stack),
        lags={partition: Lag(committed[partition].committed, end) for partition, end in ends.items()},
        digest=next(result.model.digest for result in results if result.model),
    )


def read_topic(settings: KafkaSettings, topic: str) -> list[Record]:
    """Return all committed records of a topic."""
    reader = TopicReader(settings, topic, idle_wait_s=0.1)
    reader.start()
    try:
        records: list[Record] = []
        while not reader.caught_up:
            records += reader.poll(0.5)
        return records
    finally:
        reader.close()


def object_reader(stack: ChaosStack) -> Callable[[str], bytes | None]:
    """Return a function that reads an object past the clients under test, or None if it is not there."""

    def read(uri: str) -> bytes | None:
        bucket = f"s3://{BUCKET}/"
        if uri.startswith(bucket):
            path = stack.folder / "s3" / BUCKET / uri.removeprefix(bucket)
        else:
            path = Path(unquote(urlsplit(uri).path))
        return path.read_bytes() if path.is_file() else None

    return read


def _committed(kafka: KafkaSettings) -> dict[Partition, Lag]:
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=kafka.group, enable_auto_commit=False)
    try:
        return read_lags(consumer, kafka)
    finally:
        consumer.close()


def _number(record: Record) -> int:
    return int(dict(record.headers)[NUMBER_HEADER])


def _letter_origin(record: Record) -> Origin:
    headers = dict(record.headers)
    topic, partition, offset = (headers[DEAD_LETTER_PREFIX + name] for name in ("topic", "partition", "offset"))
    return Origin(topic.decode(), int(partition), int(offset))


def _quiet_pictures(
    requests: Mapping[Origin, Planned], results: Iterable[Result], numbers: set[int]
) -> dict[Recipe, dict[str, str]]:
    pictures = {}
    for result in results:
        planned = requests.get(origin_of(result))
        if planned and planned.recipe and planned.number in numbers:
            pictures[planned.recipe] = {obj.output: obj.sha256 for obj in result.objects}
    return pictures
