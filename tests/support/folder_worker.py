"""A worker without pictures, in a thread: it reads requests and writes a file and a result for each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from cutstream.clients.kafka import OutgoingRecord, Record, RecordWriter, TopicReader
from cutstream.clients.objects.files import path_of, uri_of
from cutstream.contract.messages import ErrorDetail, Request, Result, SourceRecord, StoredObject, decode_request, encode
from cutstream.settings import KafkaSettings


def is_bad(request: Request) -> bool:
    return "/bad" in request.image  # not in the digits of an id


class FolderWorker:
    """A context manager. `requests` counts the requests by id and replay; those that `fails` accepts fail."""

    def __init__(self, settings: KafkaSettings, out: Path, fails: Callable[[Request], bool] = is_bad) -> None:
        self._settings = settings
        self._out = out
        self._fails = fails
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._reader = TopicReader(settings, settings.requests_topic, idle_wait_s=0.05)
        self.requests: Counter[tuple[str, int]] = Counter()
        self.images: list[str] = []

    def __enter__(self) -> FolderWorker:
        self._reader.start()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self._reader.close()

    def _work(self) -> None:
        writer = RecordWriter(self._settings)
        while not self._stop.is_set():
            if records := self._reader.poll(0.05):
                writer.write([self._answer(record) for record in records])
        writer.close()

    def _answer(self, record: Record) -> OutgoingRecord:
        request = decode_request(record.value)
        self.requests[request.id or "", request.replay] += 1
        self.images.append(request.image)
        source = SourceRecord(topic=record.partition.topic, partition=0, offset=record.offset, timestamp_ms=0)
        if self._fails(request):
            error = ErrorDetail(code="invalid_file_type", message="no image", stage="decode", retryable=False)
            result = Result(id=request.id or "", status="failed", source=source, error=error, replay=request.replay)
        else:
            objects = (self._store(request),)
            result = Result(id=request.id or "", status="ok", source=source, objects=objects, replay=request.replay)
        return OutgoingRecord(self._settings.results_topic, record.key, encode(result))

    def _store(self, request: Request) -> StoredObject:
        data = f"cutout of {Path(path_of(request.image)).read_bytes()!r}".encode()
        folder = Path(path_of(request.destination)) if request.destination else self._out
        digest = sha256(data).hexdigest()
        path = folder / (request.id or "") / f"cutout-{digest[:12]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return StoredObject(
            output="cutout",
            uri=uri_of(str(path)),
            bytes=len(data),
            sha256=digest,
            width=1,
            height=1,
            media_type="image/png",
        )
