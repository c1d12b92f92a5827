"""A worker that does nothing: it answers each request at once, or so many seconds later, with the same small picture.

`python -m benchmarks.instant_worker SECONDS`. It commits its offsets as the workers' group, so that no lag builds up.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from kafka import KafkaConsumer

from cutstream.clients.kafka import OutgoingRecord, RecordWriter
from cutstream.clients.kafka.connection import connection_options
from cutstream.clients.objects import files
from cutstream.contract.envelope import result_headers
from cutstream.contract.messages import Result, SourceRecord, StoredObject, decode_request, encode
from cutstream.settings import load

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(2000)
DIGEST = sha256(PICTURE).hexdigest()


def main(delay_s: float) -> None:
    settings = load()
    kafka, destination = settings.kafka, settings.objects.destination
    waiting: deque[tuple[float, OutgoingRecord]] = deque()
    consumer = KafkaConsumer(
        kafka.urgent_topic,
        kafka.requests_topic,
        group_id=kafka.group,
        auto_commit_interval_ms=500,
        fetch_max_wait_ms=20,
        **connection_options(kafka),
    )
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with closing(consumer), closing(RecordWriter(kafka, linger_ms=0)) as writer:
        writer.start()
        while True:
            batches = consumer.poll(timeout_ms=20)
            for record in (record for batch in batches.values() for record in batch):
                request = decode_request(record.value)
                uri = f"{destination}/{request.id}/cutout-{DIGEST[:12]}.png"
                path = Path(files.path_of(uri))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(PICTURE)  # without the syncs of a worker
                waiting.append((time.monotonic() + delay_s, _answer(kafka.results_topic, request.id or "", uri)))
            due = []
            while waiting and waiting[0][0] <= time.monotonic():
                due.append(waiting.popleft()[1])
            if due:
                writer.write(due)


def _answer(topic: str, id: str, uri: str) -> OutgoingRecord:
    stored = StoredObject(
        output="cutout", uri=uri, bytes=len(PICTURE), sha256=DIGEST, width=40, height=30, media_type="image/png"
    )
    source = SourceRecord(topic="", partition=0, offset=0, timestamp_ms=0)
    result = Result(id=id, status="ok", source=source, objects=(stored,))
    return OutgoingRecord(topic, id.encode(), encode(result), result_headers(result, time.time()))


if __name__ == "__main__":
    main(float(sys.argv[1]))
