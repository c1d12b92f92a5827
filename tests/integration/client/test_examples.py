"""The Kafka examples of docs/client.md run as they are shown, against the local stack's Kafka with its certificate."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutstream.clients.kafka import ensure_topics
from cutstream.settings import KafkaSettings, ObjectSettings, StackSettings, embedded_kafka
from deploy.local.kafka import kafka_server
from deploy.local.process import Supervisor
from tests.support.examples import OVER_KAFKA, command_of, examples, running
from tests.support.ports import free_stack_ports
from tests.support.stand_in_worker import StandInWorker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

_ADDRESS, _STATE = "127.0.0.1:19092", ".state/"
_RUN_S = 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, jars: Path) -> Iterator[StackSettings]:
    """The private Kafka of a local stack."""
    settings = StackSettings(state=tmp_path_factory.mktemp("stack"), jars=jars, **free_stack_ports())
    with Supervisor(60) as supervisor:
        supervisor.start(kafka_server(settings))
        ensure_topics(embedded_kafka(KafkaSettings(partitions=2), settings))
        yield settings


@pytest.fixture
def worker(stack: StackSettings, tmp_path: Path) -> Iterator[StandInWorker]:
    objects = ObjectSettings(destination=(tmp_path / "out").as_uri())
    with StandInWorker(embedded_kafka(KafkaSettings(), stack), objects) as standing_in:
        yield standing_in


@pytest.mark.parametrize("language", list(OVER_KAFKA))
def test_a_producer_and_a_consumer(
    language: str, stack: StackSettings, worker: StandInWorker, jars: Path, tmp_path: Path
) -> None:
    commands = []
    for name in OVER_KAFKA[language]:
        text = examples()[name].replace(_ADDRESS, f"127.0.0.1:{stack.kafka_port}")
        assert _STATE in text
        (tmp_path / name).write_text(text.replace(_STATE, f"{stack.state}/").replace('"shop"', f'"shop-{language}"'))
        commands.append(command_of(name, tmp_path, jars.resolve()))
    produce, consume = commands
    done = subprocess.run(produce, cwd=tmp_path, capture_output=True, text=True, timeout=_RUN_S)
    assert done.returncode == 0, done.stderr
    with running(consume, tmp_path) as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:  # the test's own time limit ends it
            printed += line
            if worker.requests and worker.requests[0].id in line:
                break
    (request,) = worker.requests
    assert request.image == "https://example.org/shoe.jpg"
    assert request.id in line, printed
    assert re.search(r"\bok\b", line)
    assert str(tmp_path / "out") in line
