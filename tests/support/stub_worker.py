"""A worker without pictures, `python -m tests.support.stub_worker`: it answers each request with the request's value.

Its loop, its Kafka clients and its settings are the product's, so that tests of faults need neither Triton nor photos.
"""

from __future__ import annotations

import faulthandler
import signal
import threading
import time

from consumer.delivery.outcomes import Answered, Outcome, TrackedRecord
from consumer.loop import Loop
from consumer.starting import start_with_broker
from consumer.window import Window
from cutstream import log
from cutstream.clients.kafka import OutgoingRecord, RequestReader, TransactionalCommitter
from cutstream.clock import SystemClock
from cutstream.metrics import Metrics
from cutstream.settings import Settings, load
from cutstream.signals import on_termination

WORK_S = 0.2


def main(settings: Settings) -> None:
    stop = threading.Event()
    on_termination(stop.set)

    def work(task: TrackedRecord) -> Outcome:
        time.sleep(WORK_S)
        record = task.record
        result = OutgoingRecord(settings.kafka.results_topic, record.key, record.value)
        return Answered(task.tracked, time.monotonic(), record.timestamp_ms, records=(result,))

    window: Window[TrackedRecord, Outcome] = Window(settings.worker.window, work)
    reader = RequestReader(settings.kafka, ((settings.kafka.requests_topic,),))
    committer = TransactionalCommitter(settings.kafka)
    if all(start_with_broker(client.start, stop) for client in (committer, reader)):
        window.start()
        retry_topic = settings.kafka.retry_topic
        Loop(reader, committer, window, settings.worker, Metrics(), SystemClock(), retry_topic=retry_topic).run(stop)
        reader.close()
        committer.close()


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)  # shows where every thread is
    log.configure()
    main(load())
