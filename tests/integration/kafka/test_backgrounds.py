"""The catalogue on a real broker: workers follow what commands add, replace and remove."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import skimage
from kafka.admin import ConfigResource, KafkaAdminClient
from typer.testing import CliRunner

from commands import console
from commands.app import app
from consumer.resources import topic_copy as module
from consumer.resources.background_catalogue import BackgroundCatalogue
from cutstream.clients.kafka import OutgoingRecord, RecordWriter, TopicReader, check_topics, ensure_topics
from cutstream.clock import SystemClock
from cutstream.contract.backgrounds import Entry, encode
from cutstream.errors import UnknownBackground
from cutstream.settings import KafkaSettings, ObjectSettings, Settings, as_environment
from producer.backgrounds import add, list_entries, remove
from tests.support.group import wait_until
from tests.support.ports import free_ports
from tests.support.workers import WorkerProcess

pytestmark = pytest.mark.kafka

DATA = Path(skimage.__file__).parent / "data"
COFFEE, ROCKET = str(DATA / "coffee.png"), str(DATA / "rocket.jpg")


@pytest.fixture
def settings(kafka_settings: KafkaSettings, tmp_path: Path) -> Settings:
    return Settings(kafka=kafka_settings, objects=ObjectSettings(destination=str(tmp_path / "out")))


@pytest.fixture
def view(kafka_settings: KafkaSettings) -> Iterator[Callable[[], BackgroundCatalogue]]:
    """Starts a worker's view of the catalogue."""
    with ExitStack() as stack:

        def start() -> BackgroundCatalogue:
            catalogue = BackgroundCatalogue(kafka_settings)
            catalogue.start()
            stack.callback(catalogue.close)
            return catalogue

        yield start


def found(catalogue: BackgroundCatalogue, name: str) -> Entry | None:
    try:
        return catalogue.entry(name)
    except UnknownBackground:
        return None


def ready(catalogue: BackgroundCatalogue) -> BackgroundCatalogue:
    wait_until(lambda: catalogue.ready, "the catalogue is never read")
    return catalogue


def test_its_topic_is_compacted_and_has_one_partition(kafka_settings: KafkaSettings) -> None:
    topic = kafka_settings.backgrounds_topic
    with closing(KafkaAdminClient(bootstrap_servers=kafka_settings.bootstrap_servers)) as admin:
        (described,) = admin.describe_topics([topic])
        configs = admin.describe_configs([ConfigResource("TOPIC", topic)])
    assert len(described["partitions"]) == 1
    assert "'compact'" in str(configs)


def test_a_worker_follows_additions_replacements_and_removals(
    settings: Settings, view: Callable[[], BackgroundCatalogue]
) -> None:
    catalogue = ready(view())
    assert found(catalogue, "beach") is None
    first = add(settings, "beach", COFFEE, SystemClock())
    wait_until(lambda: found(catalogue, "beach") == first, "the worker does not know the background that was added")
    second = add(settings, "beach", ROCKET, SystemClock())
    wait_until(lambda: found(catalogue, "beach") == second, "the worker does not know the replacement")
    wood = add(settings, "wood", COFFEE, SystemClock())
    assert list_entries(settings.kafka) == {"beach": second, "wood": wood}
    assert remove(settings.kafka, "beach") == second
    wait_until(lambda: found(catalogue, "beach") is None, "the worker still knows the background that was removed")
    assert list_entries(settings.kafka) == {"wood": wood}
    assert found(catalogue, "wood") == wood


def test_a_worker_that_starts_later_knows_the_latest_entry_of_each_name(
    settings: Settings, view: Callable[[], BackgroundCatalogue]
) -> None:
    """The topic holds what compaction leaves: repeated names, and tombstones with and without earlier records."""
    topic = settings.kafka.backgrounds_topic
    entry = add(settings, "beach", COFFEE, SystemClock())
    with closing(RecordWriter(settings.kafka)) as writer:
        writer.start()
        many = [OutgoingRecord(topic, b"wood", encode(entry) if n % 2 else None) for n in range(1200)]
        gone = [OutgoingRecord(topic, name, None) for name in (b"beach", b"never")]
        last = [OutgoingRecord(topic, b"stone", encode(entry)), OutgoingRecord(topic, b"wood", b"not an entry")]
        writer.write([*many, *gone, *last])  # more than one poll returns
    catalogue = ready(view())
    assert {name: found(catalogue, name) for name in ("beach", "wood", "never", "stone")} == {
        "beach": None,
        "wood": entry,
        "never": None,
        "stone": entry,
    }
    assert list_entries(settings.kafka) == {"stone": entry, "wood": entry}


def test_a_worker_runs_without_the_topic_and_finds_it_once_it_is_created(
    settings: Settings,
    view: Callable[[], BackgroundCatalogue],
    fresh_name: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.1)
    older = settings.kafka.model_copy(update={"backgrounds_topic": fresh_name("later")})
    check_topics(older)
    with closing(BackgroundCatalogue(older)) as catalogue:
        catalogue.start()
        assert found(ready(catalogue), "beach") is None
        assert "`cutstream topics create` makes it" in caplog.text
        ensure_topics(older)
        entry = add(settings.model_copy(update={"kafka": older}), "beach", COFFEE, SystemClock())
        wait_until(lambda: found(catalogue, "beach") == entry, "the topic is never found")


def test_a_worker_process_counts_the_backgrounds_and_is_ready_once_it_has_read_them(
    settings: Settings, tmp_path: Path
) -> None:
    add(settings, "beach", COFFEE, SystemClock())
    nowhere = settings.triton.model_copy(update={"url": f"127.0.0.1:{free_ports(1)[0]}"})
    worker = WorkerProcess(settings.model_copy(update={"triton": nowhere}), tmp_path / "worker.log")

    def checks() -> dict[str, bool]:
        try:
            return dict(json.loads(worker.get("/readyz")[1]))
        except OSError:
            return {}  # it does not listen yet

    try:
        wait_until(lambda: checks().get("backgrounds"), "the worker does not know the catalogue")
        assert worker.metric("cutstream_backgrounds") == 1
    finally:
        worker.kill()


def test_a_reader_has_caught_up_when_it_has_read_all_records_from_before_its_start(
    kafka_settings: KafkaSettings,
) -> None:
    topic = kafka_settings.results_topic  # four partitions
    with closing(RecordWriter(kafka_settings)) as writer, closing(TopicReader(kafka_settings, topic)) as reader:
        writer.start()
        writer.write(OutgoingRecord(topic, b"%d" % number, b"") for number in range(40))
        reader.start()
        assert not reader.caught_up
        read = 0
        while not reader.caught_up:
            read += len(reader.poll(1.0, max_records=7))
        assert read == 40
        writer.write([OutgoingRecord(topic, b"later", b"")])
        assert reader.caught_up
        assert len(reader.poll(5.0)) == 1


def test_the_commands(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(console.out, "width", 200)
    run = CliRunner().invoke
    added = run(app, ["backgrounds", "add", "beach", COFFEE])
    assert added.exit_code == 0, added.output
    assert added.stdout.startswith("beach: 600×400, file://")
    entry = list_entries(settings.kafka)["beach"]
    listed = run(app, ["backgrounds", "list"]).stdout
    assert all(text in listed for text in ("beach", "600×400", f"{entry.bytes:,}", entry.sha256[:12]))
    misspelt = run(app, ["backgrounds", "remove", "beech"])
    assert misspelt.exit_code == 1
    assert "invalid_bg_image: " in misspelt.stderr
    assert "did you mean `beach`" in misspelt.stderr
    removed = run(app, ["backgrounds", "remove", "beach"])
    assert removed.exit_code == 0
    assert entry.uri in removed.stdout
    assert list_entries(settings.kafka) == {}
