"""A client whose broker is away for a while."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from cutstream import Client
from cutstream.client import Handle
from cutstream.clients.kafka import OutgoingRecord, RecordWriter, ensure_topics
from cutstream.contract.envelope import result_headers
from cutstream.contract.messages import ErrorDetail, Result, SourceRecord, encode
from cutstream.errors import BrokerUnavailable
from cutstream.settings import KafkaSettings, StackSettings
from deploy.local.kafka import kafka_address, kafka_server
from deploy.local.process import Supervisor
from tests.support.ports import free_stack_ports

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


def answer(settings: KafkaSettings, handles: list[Handle]) -> None:
    """Write a result for each, as a worker does."""
    error = ErrorDetail(code="unknown_foreground", message="nothing", stage="compose", retryable=False)
    source = SourceRecord(topic="t", partition=0, offset=0, timestamp_ms=0)
    results = [Result(id=handle.id, status="failed", source=source, error=error) for handle in handles]
    with closing(RecordWriter(settings)) as writer:
        writer.write(
            OutgoingRecord(
                settings.results_topic, result.id.encode(), encode(result), result_headers(result, time.time())
            )
            for result in results
        )


def submit_late(client: Client) -> Handle:
    """Submit until the broker takes it: a client waits 25 s, and a busy machine may need longer to start one."""
    while True:
        with suppress(BrokerUnavailable):
            return client.submit("s3://photos/late.jpg")


@pytest.fixture
def unclosed_sockets() -> Iterator[None]:
    """Collect here, and not in other tests, the sockets of refused connections, which kafka-python does not close.

    Log records would keep them: they hold the errors.
    """
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    gc.collect()


@pytest.mark.usefixtures("unclosed_sockets")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_result_is_missed_and_no_request_is_lost(tmp_path: Path, jars: Path) -> None:
    stack = StackSettings(state=tmp_path, private=False, jars=jars, **free_stack_ports())
    kafka = KafkaSettings(bootstrap_servers=kafka_address(stack), partitions=2)
    with Supervisor(60) as supervisor:
        supervisor.start(kafka_server(stack))
        ensure_topics(kafka)
        with Client(f"kafka://{kafka_address(stack)}", timeout_s=90) as client:
            handles = client.submit_many(f"s3://photos/{number}.jpg" for number in range(5))
            answer(kafka, handles[:2])
            assert [handle.result().status for handle in handles[:2]] == ["failed"] * 2
            supervisor.stop("kafka")
            submitting = threading.Thread(target=lambda: handles.append(submit_late(client)))
            submitting.start()
            supervisor.start(kafka_server(stack))
            submitting.join()
            answer(kafka, handles[2:])
            assert {result.photo[-8:] for result in client.results(handles[2:])} == {
                *("os/2.jpg", "os/3.jpg", "os/4.jpg"),
                "late.jpg",
            }
            assert client.in_flight == []
