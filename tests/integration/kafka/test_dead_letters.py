"""Replay and purge on a real broker: two commands at once, a command that is killed, and what Kafka can delete."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import pytest
from click.testing import Result as Invoked
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from typer.testing import CliRunner

from commands import console
from commands.app import app
from cutstream.clients.kafka import OutgoingRecord, Record, RecordWriter, TopicReader
from cutstream.contract.redelivery import Redelivery, read_redelivery, without_redelivery
from cutstream.errors import BrokerUnavailable, Fenced, FileTooLarge, InvalidRequest
from cutstream.settings import KafkaSettings, Settings, as_environment
from producer import closing_letters, dead_letters
from producer.dead_letters import read_letters, replay
from producer.letter_file import Place
from tests.support.letters import letter_record

pytestmark = pytest.mark.kafka

# The command, which is killed when all records of its first transaction are written but not committed.
KILLED = """
import os, signal
from kafka.producer.transaction_manager import TransactionManager
from cutstream.clients.kafka import transactions
opened, open_producer = [], transactions.open_producer
def remember(*arguments):
    opened.append(open_producer(*arguments))
    return opened[-1]
def die(manager):
    opened[-1].flush()
    os.kill(os.getpid(), signal.SIGKILL)
transactions.open_producer, TransactionManager.begin_commit = remember, die
from commands.app import app
app(["dead-letters", "replay", "--yes"])
"""


def write(settings: KafkaSettings, records: Iterable[OutgoingRecord]) -> None:
    writer = RecordWriter(settings)
    writer.start()
    writer.write(records)
    writer.close()


def letters(settings: KafkaSettings, count: int) -> list[OutgoingRecord]:
    return [
        letter_record(settings.dead_letters_topic, f"id-{n}", offset=n, partition=n % settings.partitions)
        for n in range(count)
    ]


def requests(settings: KafkaSettings) -> list[Record]:
    """Return all committed records of the retry topic, where replayed requests are."""
    reader = TopicReader(settings, settings.retry_topic, settled=True)
    reader.start()
    try:
        records = []
        while not reader.caught_up:
            records += reader.poll(0.2)
        return records
    finally:
        reader.close()


def open_places(settings: KafkaSettings) -> set[Place]:
    return {entry.place for entry in read_letters(settings).open}


def replay_all(settings: KafkaSettings) -> int:
    return replay(settings, open_places(settings), lambda entry, number: None)


@pytest.fixture
def run(kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Invoked]]:
    """Returns a function that runs `cutstream dead-letters` against this test's topics."""
    monkeypatch.setattr(console.out, "width", 160)
    monkeypatch.setattr(console.err, "width", 160)
    environment = as_environment(Settings(kafka=kafka_settings))
    return lambda *arguments, input=None: CliRunner().invoke(app, ["dead-letters", *arguments], input, environment)


def test_a_replay_writes_the_original_with_its_origin_and_the_next_number(kafka_settings: KafkaSettings, run) -> None:
    topic = kafka_settings.dead_letters_topic
    headers = [("tenant", b"x"), ("tenant", b"\xff"), ("caf\udce9", b"")]
    write(kafka_settings, [letter_record(topic, "requests-0-7", b'{"image": "s3://a/b"}', offset=7, headers=headers)])
    done = run("replay")
    assert (done.exit_code, done.stdout) == (0, "requests-0-7\treplay 1\nReplayed 1.\n")
    (request,) = requests(kafka_settings)
    assert (request.key, request.value) == (b"key", b'{"image": "s3://a/b"}')
    assert without_redelivery(request.headers) == headers
    history = read_redelivery(request.headers)
    assert history == Redelivery(history.origin, attempts=0, not_before_ms=0, replay=1)
    assert (history.origin.topic, history.origin.partition, history.origin.offset) == ("requests", 0, 7)
    again = run("replay")
    assert (again.exit_code, again.stdout) == (0, "There is nothing to replay.\n")
    assert len(requests(kafka_settings)) == 1


def test_commands_at_once_replay_each_letter_once(kafka_settings: KafkaSettings, monkeypatch) -> None:
    monkeypatch.setattr(closing_letters, "_MOST_RECORDS", 10)
    write(kafka_settings, letters(kafka_settings, 60))
    places = open_places(kafka_settings)

    def operator(delay_s: float) -> None:
        for _ in range(3):
            time.sleep(delay_s)
            with suppress(Fenced, BrokerUnavailable):
                replay(kafka_settings, places, lambda entry, number: None)

    threads = [threading.Thread(target=operator, args=(delay_s,)) for delay_s in (0.0, 0.05, 0.1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    replay_all(kafka_settings)  # what the commands left that were fenced
    counted = Counter(json.loads(record.value)["id"] for record in requests(kafka_settings))
    assert counted == {f"id-{n}": 1 for n in range(60)}
    assert not open_places(kafka_settings)


def test_a_replay_that_is_killed_before_its_commit_has_replayed_nothing(kafka_settings: KafkaSettings) -> None:
    write(kafka_settings, letters(kafka_settings, 12))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], env={**os.environ, **as_environment(Settings(kafka=kafka_settings))}, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    assert replay_all(kafka_settings) == 12
    assert replay_all(kafka_settings) == 0
    assert Counter(json.loads(r.value)["id"] for r in requests(kafka_settings)) == {f"id-{n}": 1 for n in range(12)}


def test_a_mark_behind_a_workers_open_transaction_is_not_missed(kafka_settings: KafkaSettings, monkeypatch) -> None:
    write(kafka_settings, letters(kafka_settings, 1))
    places = open_places(kafka_settings)
    worker = KafkaProducer(bootstrap_servers=kafka_settings.bootstrap_servers, transactional_id=kafka_settings.group)
    worker.init_transactions()
    read = dead_letters._read

    def read_then_let_a_worker_begin(settings: KafkaSettings, settled: bool):
        file = read(settings, settled)
        worker.begin_transaction()
        worker.send(settings.dead_letters_topic, b"not committed", partition=0)
        worker.flush()
        return file

    with monkeypatch.context() as patched:
        patched.setattr(dead_letters, "_read", read_then_let_a_worker_begin)
        assert replay(kafka_settings, places, lambda entry, number: None) == 1
    assert open_places(kafka_settings) == places  # a plain look does not see the mark yet
    counts: list[int] = []
    second = threading.Thread(target=lambda: counts.append(replay(kafka_settings, places, lambda e, n: None)))
    second.start()
    time.sleep(1.0)
    worker.abort_transaction()
    worker.close()
    second.join(30)
    assert counts == [0]
    assert len(requests(kafka_settings)) == 1


def test_purge_closes_letters_and_deletes_the_beginning_of_each_partition(kafka_settings: KafkaSettings, run) -> None:
    topic = kafka_settings.dead_letters_topic
    large, missing = FileTooLarge("40 MB"), letters(kafka_settings, 4)[0:1]
    write(kafka_settings, missing)  # partition 0, offset 0
    write(kafka_settings, [letter_record(topic, "large", offset=9, error=large, partition=0)])
    write(kafka_settings, [letter_record(topic, "larger", offset=10, error=large, partition=1)])
    refused = run("purge", "--code", "file_too_large", input="n\n")
    assert refused.exit_code == 1
    assert len(open_places(kafka_settings)) == 3
    done = run("purge", "--code", "file_too_large", "--yes")
    assert done.exit_code == 0, done.output
    assert "Purged 2." in done.stdout
    assert "Deleted partition 1" in done.stdout
    assert "Deleted partition 0" not in done.stdout  # it begins with a letter that is open
    assert starts(kafka_settings)[0] == 0
    assert starts(kafka_settings)[1] > 0
    assert run("replay").stdout == "id-0\treplay 1\nReplayed 1.\n"
    assert "Deleted partition 0" in run("purge").stdout
    assert read_letters(kafka_settings).letters == []
    assert len(requests(kafka_settings)) == 1


def starts(settings: KafkaSettings) -> dict[int, int]:
    consumer = KafkaConsumer(bootstrap_servers=settings.bootstrap_servers)
    partitions = [TopicPartition(settings.dead_letters_topic, n) for n in range(settings.partitions)]
    try:
        return {tp.partition: start for tp, start in consumer.beginning_offsets(partitions).items()}
    finally:
        consumer.close()


def test_list_and_show(kafka_settings: KafkaSettings, run) -> None:
    topic = kafka_settings.dead_letters_topic
    error, headers = InvalidRequest("not JSON [/]"), [("caf\udce9", b"1")]
    broken = letter_record(topic, "requests-0-8", b"\xff{", offset=8, error=error, headers=headers)
    write(kafka_settings, [*letters(kafka_settings, 2), broken])
    listed = run("list")
    assert listed.exit_code == 0, listed.output
    assert "3 dead letters (2 failed_image_download, 1 invalid_request)." in listed.stdout
    assert "not JSON [/]" in listed.stdout
    assert "1 dead letter (1 invalid_request)." in run("list", "--code", "invalid_request").stdout
    (line,) = run("list", "--json", "--id", "id-1").stdout.splitlines()
    assert json.loads(line)["state"] == "open"
    shown = json.loads(run("show", "requests-0-8").stdout)
    assert (shown["value"], shown["code"], shown["source"]["offset"]) == ("hex:ff7b", "invalid_request", 8)
    assert shown["headers"] == [["hex:636166e9", "1"]]
    assert run("show", "nobody").exit_code == 1
    asked = run("replay", input="n\n")
    assert "Not valid requests, so they will fail again: 1." in asked.output
    assert (asked.exit_code, requests(kafka_settings)) == (1, [])
    assert run("replay", "--id", "id-*", "--yes").stdout.endswith("Replayed 2.\n")
    assert "1 dead letter (1 invalid_request)." in run("list").stdout
    assert "3 dead letters" in run("list", "--all").stdout


def test_without_transactions_a_replay_says_what_it_cannot_promise(kafka_settings: KafkaSettings, monkeypatch) -> None:
    write(kafka_settings, letters(kafka_settings, 2))
    plain = kafka_settings.model_copy(update={"delivery": "at_least_once"})
    environment = as_environment(Settings(kafka=plain))
    done = CliRunner().invoke(app, ["dead-letters", "replay", "--yes"], env=environment)
    assert done.exit_code == 0, done.output
    assert "may replay a request twice" in done.stderr
    assert replay_all(plain) == 0
    assert len(requests(kafka_settings)) == 2


def test_a_replay_leaves_out_what_is_called_off(kafka_settings: KafkaSettings, run) -> None:
    write(kafka_settings, letters(kafka_settings, 2))
    environment = as_environment(Settings(kafka=kafka_settings))
    cancelled = CliRunner().invoke(app, ["cancel", "--id", "id-1"], env=environment)
    assert cancelled.exit_code == 0, cancelled.output
    done = run("replay", "--yes")
    assert "called off (cutstream cancel list): 1." in done.stderr
    assert done.stdout == "id-0\treplay 1\nReplayed 1.\n"
    assert CliRunner().invoke(app, ["cancel", "undo", "--id", "id-1"], env=environment).exit_code == 0
    assert run("replay").stdout == "id-1\treplay 1\nReplayed 1.\n"


def test_a_letter_that_cannot_be_replayed_is_named_and_the_others_are_replayed(
    kafka_settings: KafkaSettings, run
) -> None:
    large = letter_record(kafka_settings.dead_letters_topic, "large", b"x" * 3_000_000, offset=9)
    write(kafka_settings, [*letters(kafka_settings, 1), large])
    done = run("replay", "--yes")
    assert done.exit_code == 0, done.output
    assert "cannot be replayed: large: its request has 3000003 bytes" in done.stderr
    assert done.stdout == "id-0\treplay 1\nReplayed 1.\n"
