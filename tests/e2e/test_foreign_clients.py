"""Every record of a foreign client ends in exactly one result, or in one stop that is named (docs/clients.md).

One worker reads what all clients write. The tests then look at what has become of each record.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import KafkaConsumer

from cutstream.clients.kafka import Record, ensure_topics
from cutstream.contract.dead_letters import read_dead_letter
from cutstream.contract.envelope import DEAD_LETTER_PREFIX
from cutstream.contract.messages import Result, decode_result
from cutstream.contract.redelivery import without_redelivery
from cutstream.settings import KafkaSettings, ObjectSettings, Settings, WorkerSettings
from tests.e2e.conftest import DATA
from tests.support.foreign_clients import kafka_python, librdkafka, log_forms, old_formats
from tests.support.foreign_clients.java import JavaTools
from tests.support.foreign_clients.rows import (
    CLIENTS,
    OK,
    TOO_LARGE,
    UNANSWERED,
    UNREAD,
    Client,
    Headers,
    Row,
    Written,
    match,
)
from tests.support.foreign_clients.table import forms, table
from tests.support.group import wait_until
from tests.support.workers import Results, WorkerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(240)]

TABLE = table()
QUIET_S = 1.0
ANSWERS_TIMEOUT_S = 90
INVALID_RECORD = 87  # Kafka's code
Origin = tuple[str, int, int]


@dataclass(frozen=True)
class Stop:
    """What the worker says while partitions stand still, before anything is done about it."""

    partitions: float
    log: str
    ready: int


@dataclass
class World:
    """What the clients have written, and what the worker has answered."""

    settings: Settings
    worker: WorkerProcess
    java: JavaTools
    rows: dict[str, Row]
    placed: dict[str, Written]
    stop: Stop
    results: dict[Origin, list[tuple[Written, Result]]]
    letters: dict[Origin, list[Record]]

    @property
    def address(self) -> str:
        return self.settings.kafka.bootstrap_servers


def origin_of(result: Result) -> Origin:
    return result.source.topic, result.source.partition, result.source.offset


@pytest.fixture(scope="module")
def world(kafka: str, triton: Settings, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("foreign-clients")
    settings = worker_settings(kafka, triton, folder)
    java = JavaTools(jars)
    topics = dict(zip(("urgent", "requests", "retry"), settings.kafka.request_topics, strict=True))
    rows = [*log_forms.write(kafka, settings.kafka.group, topics), *log_forms.write_obstacles(kafka, topics)]
    rows += [row for client in CLIENTS for row in TABLE[client]]
    by_name = {row.name: row for row in rows}
    assert len(by_name) == len(rows)
    with ExitStack() as stack:
        worker = WorkerProcess(settings, folder / "worker.log")
        stack.callback(worker.kill)
        with ThreadPoolExecutor(3) as pool:  # while the worker starts
            writing = [
                pool.submit(kafka_python.write, kafka, TABLE["kafka-python"], topics),
                pool.submit(librdkafka.write, kafka, TABLE["librdkafka"], topics),
                pool.submit(java.write, kafka, TABLE["Java"], topics, folder),
            ]
            for done in writing:
                done.result()
        written = librdkafka.read_all(kafka, *topics.values(), isolation="read_uncommitted")
        placed = match(rows, written, topics)
        stop = see_the_stop(worker.wait_ready())
        for partition in log_forms.OBSTACLES:  # as the runbook says
            librdkafka.delete_before(kafka, topics["urgent"], partition, log_forms.DAMAGED_AT + 1)
        results = read_results(settings.kafka, {placed[row.name].origin for row in rows if row.answer != UNANSWERED})
        yield World(settings, worker, java, by_name, placed, stop, results, read_letters(settings.kafka))


def see_the_stop(worker: WorkerProcess) -> Stop:
    def partitions() -> float:
        return worker.metric("cutstream_unreadable_partitions")

    wait_until(lambda: partitions() == len(log_forms.OBSTACLES), "not all are noticed")
    return Stop(partitions(), worker.log.read_text(), worker.get("/readyz")[0])


def read_results(kafka: KafkaSettings, wanted: set[Origin]) -> dict[Origin, list[tuple[Written, Result]]]:
    """Read until every request that is wanted has a result, and then as long as more come."""
    found: defaultdict[Origin, list[tuple[Written, Result]]] = defaultdict(list)

    def read(timeout_s: float) -> bool:
        records = reader.read(timeout_s)
        for record in records:
            result = decode_result(record.value or b"")
            found[origin_of(result)].append((record, result))
        return bool(records)

    with closing(librdkafka.Reader(kafka.bootstrap_servers, kafka.results_topic, headers=True)) as reader:
        wait_until(lambda: read(0.5) and wanted <= found.keys(), "not every row is answered", ANSWERS_TIMEOUT_S)
        while read(QUIET_S):
            pass
    return found


def read_letters(kafka: KafkaSettings) -> dict[Origin, list[Record]]:
    found: defaultdict[Origin, list[Record]] = defaultdict(list)
    with Results(kafka, kafka.dead_letters_topic) as letters:
        letters.read_to_the_end()
    for letter in letters.records:
        source = read_dead_letter(letter.value, letter.headers).origin
        found[source.topic, source.partition, source.offset].append(letter)
    return found


def worker_settings(kafka: str, triton: Settings, folder: Path) -> Settings:
    name = uuid4().hex[:8]
    names = ("requests", "urgent", "retry", "results", "dead_letters", "cancellations", "backgrounds")
    topics = {f"{each}_topic": f"{each}-{name}" for each in names}
    settings = KafkaSettings(bootstrap_servers=kafka, group=f"group-{name}", partitions=4, **topics)
    librdkafka.create_topic(kafka, settings.urgent_topic, 4, log_forms.COMPACTED)
    librdkafka.create_topic(kafka, settings.requests_topic, 4, {"message.timestamp.type": "CreateTime"})
    ensure_topics(settings)
    return triton.model_copy(
        update={
            "kafka": settings,
            "objects": ObjectSettings(destination=(folder / "out").as_uri(), file_roots=(DATA,)),
            "worker": WorkerSettings(memory_bytes=1_000_000_000, port=0),
        }
    )


@pytest.mark.parametrize(
    ("client", "form"),
    [(client, form) for form, clients in forms(TABLE).items() for client in CLIENTS if client in clients],
)
def test_each_record_has_one_result(world: World, client: Client, form: str) -> None:
    for row in TABLE[client]:
        if row.form == form:
            check(world, row)


def test_what_is_gone_from_a_log_has_no_result_and_the_rest_has_one(world: World) -> None:
    for row in world.rows.values():
        if row.form in log_forms.FORMS:
            check(world, row)


def check(world: World, row: Row) -> None:
    """Check that a row has the answer that the table says, and no other."""
    record = world.placed[row.name]
    results, letters = world.results.get(record.origin, []), world.letters.get(record.origin, [])
    if row.answer == UNANSWERED:
        assert (results, letters) == ([], []), row.name
        return
    ((answer, result),) = results
    assert (result.status, result.error.code if result.error else OK) == (
        "ok" if row.answer == OK else "failed",
        row.answer,
    ), (row.name, result.error)
    assert result.source.timestamp_ms == max(-1, record.timestamp_ms)  # what is below 0 is unknown
    assert row.topic == "urgent" or row.timestamp_ms in (None, record.timestamp_ms)
    if row.answer == UNREAD:  # nobody knows more of it than where it lies
        assert (answer.key, result.id) == (None, "{}-{}-{}".format(*record.origin))
        (letter,) = letters
        assert (letter.key, letter.value) == (None, b"")
        return
    assert answer.key == (None if row.answer == TOO_LARGE and row.key and len(row.key) > 65_536 else row.key)
    if row.answer == OK:
        assert not letters
        assert result.labels == {"row": row.name}
        return
    (letter,) = letters
    check_letter(row, letter)


def check_letter(row: Row, letter: Record) -> None:
    """Check that a dead letter holds the record as it was, but that null values are empty ones."""
    if row.answer == TOO_LARGE:
        assert (row.value or b"").startswith(letter.value)
        return
    assert (letter.key, letter.value) == (row.key, row.value or b"")
    kept = [header for header in letter.headers if not header[0].startswith(DEAD_LETTER_PREFIX)]
    headers = [(name, value or b"") for name, value in row.headers]
    # The history of a retry is believed on the retry topic only.
    assert kept == (headers if row.topic == "retry" else without_redelivery(headers))


def test_nothing_else_is_answered_and_nothing_twice(world: World) -> None:
    wanted = {world.placed[row.name].origin for row in world.rows.values() if row.answer != UNANSWERED}
    assert world.results.keys() == wanted
    assert {len(results) for results in world.results.values()} == {1}


def test_all_offsets_are_committed(world: World) -> None:
    last: dict[tuple[str, int], int] = {}
    for name, row in world.rows.items():
        if row.answer != UNANSWERED:
            topic, partition, offset = world.placed[name].origin
            last[topic, partition] = max(offset, last.get((topic, partition), 0))
    committed = librdkafka.committed(world.address, world.settings.kafka.group, list(last))
    assert all(committed[place] > offset for place, offset in last.items())


def test_every_reader_sees_each_result_once(world: World) -> None:
    topic = world.settings.kafka.results_topic
    answers = [record for ((record, _),) in world.results.values()]
    wanted = Counter(record.value for record in answers)
    assert Counter(record.value for record in librdkafka.read_all(world.address, topic)) == wanted
    options = {"auto_offset_reset": "earliest", "isolation_level": "read_committed", "consumer_timeout_ms": 1000}
    with closing(KafkaConsumer(topic, bootstrap_servers=world.address, **options)) as consumer:
        assert Counter(record.value for record in consumer) == wanted
    printed = Counter(f"{_as_java_prints(record.headers)}\t{(record.value or b'').decode()}" for record in answers)
    assert Counter(world.java.read(world.address, topic, len(answers))) == printed


def test_dead_letters_are_read_by_all_that_know_their_headers(world: World) -> None:
    topic, count = world.settings.kafka.dead_letters_topic, len(world.letters)
    assert len(librdkafka.read_all(world.address, topic)) == count
    assert len(world.java.read(world.address, topic, count)) == count


def _as_java_prints(headers: Headers) -> str:
    return "|".join(f"{name}:{(value or b'').decode()}" for name, value in headers)


def test_the_broker_takes_no_record_of_the_old_formats(world: World) -> None:
    topic = world.settings.kafka.requests_topic
    for magic in (0, 1):
        answers = [old_formats.produce(world.address, topic, magic, version) for version in range(4)]
        assert answers == [old_formats.NO_ANSWER] * 3 + [INVALID_RECORD]


def test_a_record_that_the_disk_has_damaged_is_one_named_stop_of_its_partition(world: World) -> None:
    stop = world.stop
    assert (stop.partitions, stop.ready) == (len(log_forms.OBSTACLES), 200)
    for partition in log_forms.OBSTACLES:
        place = f"{world.settings.kafka.urgent_topic}-{partition}"
        assert f"{place} cannot be read at offset {log_forms.DAMAGED_AT} (CorruptRecordError: " in stop.log
    assert not world.worker.metric("cutstream_unreadable_partitions"), "it is not forgotten"


def test_the_worker_is_well_and_has_seen_no_other_error(world: World) -> None:
    assert world.worker.process.poll() is None
    lines = [json.loads(line) for line in world.worker.log.read_text().splitlines()]
    errors = [line["event"] for line in lines if line["level"] in ("error", "critical")]
    assert not [event for event in errors if "cannot be read at offset" not in event]
    assert world.worker.terminate() == 0
