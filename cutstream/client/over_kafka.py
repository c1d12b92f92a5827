"""Requests go out and results come in over Kafka, each on a thread of its own."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from queue import Empty, SimpleQueue

import msgspec

from cutstream.client.errors import ClientClosed, OutputUnavailable
from cutstream.client.inbox import Inbox
from cutstream.client.reachable import Reachable
from cutstream.client.requests import Source
from cutstream.clients.kafka import OutgoingRecord, Record, RecordWriter, TopicReader
from cutstream.clients.objects import files
from cutstream.clients.objects.buckets import Buckets
from cutstream.clock import SystemClock
from cutstream.contract import cancellations
from cutstream.contract.messages import DECODE_ERRORS, Request, Result, StoredObject, decode_result, encode
from cutstream.errors import BrokerUnavailable, CutstreamError, RefusedAddress, SourceFailed, SourceUnavailable
from cutstream.settings import Settings

log = logging.getLogger(__name__)

_POLL_S = 0.2
_PAUSE_S = 1.0
_MOST_AT_ONCE = 500
_CLOSE_S = 30.0  # what is being written has its acknowledgement or an error by then
_CANCELLED_FOR = timedelta(days=7)  # longer than requests wait


@dataclass(frozen=True)
class _Write:
    record: OutgoingRecord
    done: Future[None]
    id: str = ""  # of the request, if it is one


class KafkaTransport:
    """Writes to the topics of the settings, and follows the results topic from where it ends at the start.

    It begins to read before it writes. While the brokers are away it goes on trying, and has missed nothing afterwards.
    `local_stack` says that these settings reach the local stack.
    """

    def __init__(self, settings: Settings, local_stack: bool = False) -> None:
        self.settings = settings
        self.local_stack = local_stack
        self._topics = settings.kafka
        self._clock = SystemClock()
        self._buckets = Buckets(settings.objects, settings.limits.download_timeout_s)
        self._writes: SimpleQueue[_Write | None] = SimpleQueue()
        self._stop = threading.Event()
        self._handing_over = threading.Lock()  # nothing may come behind the end of what is written
        self._threads: list[threading.Thread] = []

    def start(self, inbox: Inbox) -> None:
        reader = TopicReader(self._topics, self._topics.results_topic, from_end=True)
        writer = RecordWriter(self._topics, linger_ms=0)  # what waits is written together anyway
        try:
            reader.start()
            writer.start()
        except BaseException:
            writer.close()
            reader.close()
            raise
        self._reachable = Reachable(self.settings, self.local_stack)
        self._inbox = inbox
        self._threads = [
            threading.Thread(target=self._read, args=(reader,), name="cutstream-results", daemon=True),
            threading.Thread(target=self._write, args=(writer,), name="cutstream-requests", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def send(self, request: Request, source: Source, urgent: bool) -> Future[None]:
        id = request.id or ""
        image = self._reachable.address_of(source, id)
        topic = self._topics.urgent_topic if urgent else self._topics.requests_topic
        record = OutgoingRecord(topic, id.encode(), encode(msgspec.structs.replace(request, image=image)))
        return self._hand_over(_Write(record, Future(), id))

    def cancel(self, ids: Sequence[str]) -> None:
        # It applies to what was written before, by a clock that counts milliseconds.
        now = datetime.fromtimestamp(self._clock.wall(), timezone.utc) + timedelta(milliseconds=1)
        written = []
        for id in ids:
            call_off = cancellations.Cancellation(id=id, cancelled=now, expires=now + _CANCELLED_FOR)
            key = cancellations.key_of(id, {}).encode()
            record = OutgoingRecord(self._topics.cancellations_topic, key, cancellations.encode(call_off))
            written.append(self._hand_over(_Write(record, Future())))
        for done in written:
            done.result()

    def read(self, output: StoredObject) -> bytes:
        try:
            if output.uri.startswith("file://"):
                return files.read(os.path.realpath(files.path_of(output.uri)), output.bytes)
            return self._buckets.get(output.uri, output.bytes)
        except (SourceFailed, SourceUnavailable, RefusedAddress) as exc:
            raise OutputUnavailable(f"the {output.output} cannot be read from here: {exc}") from exc
        except CutstreamError as exc:  # it has more bytes than its result says
            raise OutputUnavailable(f"the {output.output} is not what its result says: {exc}") from exc

    def close(self) -> None:
        with self._handing_over:
            self._stop.set()
            self._writes.put(None)
        for thread in self._threads:
            thread.join(_CLOSE_S)

    # -- writing

    def _hand_over(self, write: _Write) -> Future[None]:
        with self._handing_over:
            if self._stop.is_set():
                raise ClientClosed("the client is closed")
            self._writes.put(write)
        return write.done

    def _write(self, writer: RecordWriter) -> None:
        try:
            while (first := self._writes.get()) is not None:
                self._write_together(writer, [first, *self._waiting()])
        finally:
            writer.close()

    def _waiting(self) -> list[_Write]:
        """Return what was handed over while earlier records were written: one acknowledgement serves them all."""
        found: list[_Write] = []
        with suppress(Empty):
            while len(found) < _MOST_AT_ONCE:
                if (write := self._writes.get_nowait()) is None:
                    self._writes.put(None)
                    break
                found.append(write)
        return found

    def _write_together(self, writer: RecordWriter, writes: Sequence[_Write]) -> None:
        try:
            writer.write(write.record for write in writes)
        except Exception as exc:
            if not isinstance(exc, CutstreamError):
                log.exception("a request could not be written")
            for write in writes:
                if write.id:
                    self._reachable.release(write.id)
                    self._inbox.fail(write.id, exc)
                write.done.set_exception(exc)
        else:
            for write in writes:
                write.done.set_result(None)

    # -- reading

    def _read(self, reader: TopicReader) -> None:
        problem = ""
        try:
            while not self._stop.is_set():
                try:
                    records = reader.poll(_POLL_S)
                    problem = ""
                except BrokerUnavailable as exc:  # its positions stay
                    if str(exc) != problem:
                        log.warning("results cannot be read now: %s", exc)
                    problem = str(exc)
                    self._stop.wait(_PAUSE_S)
                    continue
                for record in records:
                    if (result := self._result_of(record)) is not None:
                        self._reachable.release(result.id)
                        self._inbox.deliver(result.id, result)
        except Exception as exc:  # none will come any more, which whoever waits must know
            if not isinstance(exc, CutstreamError):
                log.exception("results cannot be read")
            self._inbox.close(exc)
        finally:
            reader.close()

    def _result_of(self, record: Record) -> Result | None:
        """Return the result of a request of ours. Others, of which there may be many, are not even decoded."""
        named = next((value for name, value in reversed(record.headers) if name == "ce_id"), None)
        if named is not None and named.decode(errors="replace") not in self._inbox:
            return None
        try:
            result = decode_result(record.value)
        except DECODE_ERRORS:
            return None
        return result if result.id in self._inbox else None
