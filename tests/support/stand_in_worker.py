"""A stand-in for the workers, on a thread: it reads requests from real topics and answers each with a small picture.

It takes no part in exactly-once delivery; what it writes is what a client of results sees.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256

from cutstream.clients.kafka import OutgoingRecord, Record, RecordWriter, TopicReader
from cutstream.clients.objects import files
from cutstream.contract.envelope import result_headers
from cutstream.contract.messages import (
    BoundingBox,
    ErrorDetail,
    Request,
    Result,
    SourceRecord,
    StoredObject,
    decode_request,
    encode,
)
from cutstream.settings import KafkaSettings, ObjectSettings

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(200)

Answer = Callable[[Request], Result | None]


class StandInWorker:
    """Answers requests of the urgent and the normal topic from where they end now. `answer` may be replaced."""

    def __init__(self, kafka: KafkaSettings, objects: ObjectSettings) -> None:
        self._kafka = kafka
        self._destination = objects.destination
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(topic,), daemon=True)
            for topic in (kafka.urgent_topic, kafka.requests_topic)
        ]
        self._started = [threading.Event() for _ in self._threads]
        self.requests: list[Request] = []
        self.topics: list[str] = []
        self.answer: Answer = self.succeed
        self.holding = threading.Event()  # set: nothing is answered

    def __enter__(self) -> StandInWorker:
        for thread in self._threads:
            thread.start()
        for started in self._started:
            assert started.wait(30)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def succeed(self, request: Request) -> Result:
        """Store a picture for each output and return the result that names it."""
        stored = []
        for output in request.outputs:
            uri = f"{self._destination}/{request.id}/{output}-{sha256(PICTURE).hexdigest()[:12]}.png"
            files.write(files.path_of(uri), PICTURE)
            stored.append(
                StoredObject(
                    output=output,
                    uri=uri,
                    bytes=len(PICTURE),
                    sha256=sha256(PICTURE).hexdigest(),
                    width=20,
                    height=10,
                    media_type="image/png",
                )
            )
        box = BoundingBox(foreground_left=1, foreground_top=2, foreground_width=3, foreground_height=4)
        return self.result(request, status="ok", objects=tuple(stored), bbox=box, profile="fast", uncertainty=0.25)

    def fail(self, code: str, message: str = "it says why") -> Answer:
        error = ErrorDetail(code=code, message=message, stage="decode", retryable=False)
        return lambda request: self.result(request, status="failed", error=error)

    def result(self, request: Request, **fields: object) -> Result:
        source = SourceRecord(topic="t", partition=0, offset=0, timestamp_ms=0)
        return Result(id=request.id or "", source=source, labels=request.labels, **fields)  # type: ignore[arg-type]

    def write(self, result: Result) -> None:
        """Write a result, as another worker would."""
        with closing(RecordWriter(self._kafka)) as writer:
            writer.start()
            writer.write([self._record(result, None)])

    def _run(self, topic: str) -> None:
        with (
            closing(TopicReader(self._kafka, topic, from_end=True, idle_wait_s=0.05)) as reader,
            closing(RecordWriter(self._kafka, linger_ms=0)) as writer,
        ):
            reader.start()
            writer.start()
            self._started[[self._kafka.urgent_topic, self._kafka.requests_topic].index(topic)].set()
            while not self._stop.is_set():
                for record in reader.poll(0.05):
                    self._handle(record, writer)

    def _handle(self, record: Record, writer: RecordWriter) -> None:
        request = decode_request(record.value)
        self.topics.append(record.partition.topic)
        self.requests.append(request)
        while self.holding.is_set() and not self._stop.is_set():
            time.sleep(0.02)
        if (result := self.answer(request)) is not None:
            writer.write([self._record(result, record.key)])

    def _record(self, result: Result, key: bytes | None) -> OutgoingRecord:
        return OutgoingRecord(self._kafka.results_topic, key, encode(result), result_headers(result, time.time()))
