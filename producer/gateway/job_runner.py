"""What happens to jobs behind the scenes: their requests are written, results are stored, and listeners are told.

A request is written once. After a write whose outcome is unknown, be it that Kafka was away or that the gateway was
killed, the topic is read first to see which requests it has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from weakref import WeakValueDictionary

from cutstream.clients.kafka import OutgoingRecord
from cutstream.clients.objects.own_objects import OwnObjects
from cutstream.clock import Clock
from cutstream.contract.cancellations import Cancellation, key_of
from cutstream.contract.cancellations import encode as encode_cancellation
from cutstream.contract.messages import ErrorDetail, Result, SourceRecord, decode_request
from cutstream.errors import Cancelled, CutstreamError
from cutstream.settings import KafkaSettings
from producer.gateway.job_records import Job, Unwritten
from producer.gateway.job_store import JobStore
from producer.gateway.settling import find_written
from producer.gateway.stream import Stream
from producer.gateway.uploads import Uploads

log = logging.getLogger(__name__)

JOB_LABEL = "gateway-job"
ID_LABEL = "gateway-id"  # the id that the client gave a photo
_AT_ONCE = 500
_RETRY_S = 5.0
_READY_S = 0.2
_MARGIN_S = 60.0  # the clock that stamps records is this machine's, and may have been set meanwhile
_CANCELLED_FOR = timedelta(days=7)


class JobRunner:
    """Runs jobs.

    `run`, `accept`, `cancel`, `cancel_photo` and `changed` are for the event loop; `load` and `on_results` for the
    reader.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        store: JobStore,
        stream: Stream,
        uploads: Uploads,
        outputs: OwnObjects,
        clock: Clock,
    ) -> None:
        self._kafka = kafka
        self._store = store
        self._stream = stream
        self._uploads = uploads
        self._outputs = outputs
        self._clock = clock
        self._open: set[str] = set()
        self._called_off: set[str] = set()  # open photos that were called off one by one
        self._fresh: set[str] = set()  # of jobs that this process has taken: nobody else can have written them
        self._writing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._changed: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()  # of those who listen
        self._loop: asyncio.AbstractEventLoop | None = None
        self.webhooks_due = asyncio.Event()
        self.closing = False

    # -- for the reader's thread

    def load(self) -> None:
        """Read which photos are open. Call it before the stream starts."""
        self._open = self._store.open_ids()
        self._called_off = self._store.called_off()

    def knows(self, id: str) -> bool:
        return id in self._open

    @property
    def open_photos(self) -> int:
        return len(self._open)

    def on_results(self, results: Sequence[Result], positions: Mapping[int, int]) -> None:
        """Store results of jobs. Blocks."""
        ours = [result for result in results if result.id in self._open]
        if not results and self._open:  # it begins to read: jobs may have been taken before Kafka could be reached
            self._store.note_positions(positions)
        if not ours:
            return
        jobs, uploads = self._store.finish(ours, positions, self._clock.wall())
        self._open.difference_update(result.id for result in ours)
        for result in ours:
            if result.id in self._called_off:
                self._withdraw(result.id)
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and nobody listens any more
                self._loop.call_soon_threadsafe(self._tell, jobs)
        self._uploads.remove(uploads)

    # -- for the event loop

    async def run(self) -> None:
        """Write what is unwritten, for as long as the gateway runs."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                await self._write_all()
                await self._wake.wait()
            except CutstreamError as exc:
                log.warning("requests of jobs cannot be written now: %s", exc)
                await asyncio.sleep(_RETRY_S)
            self._wake.clear()

    def accept(self, ids: Sequence[str]) -> None:
        """Take on the photos of a job that has been stored."""
        self._open.update(ids)
        self._fresh.update(ids)
        self._wake.set()

    async def cancel(self, job: Job) -> None:
        """Call a job off: each photo that is not finished ends as `cancelled`."""
        await asyncio.to_thread(self._store.cancel, job.id)
        async with self._writing:  # a cancellation is for requests that were written before it
            await asyncio.wrap_future(self._stream.write([self._cancellation(None, {JOB_LABEL: job.id})]))
        self._wake.set()

    async def cancel_photo(self, id: str) -> None:
        """Call one photo off, by the id of its request: it ends as `cancelled` if it is not finished before."""
        await asyncio.to_thread(self._store.cancel_photo, id)
        self._called_off.add(id)
        async with self._writing:
            await asyncio.wrap_future(self._stream.write([self._cancellation(id, {})]))
        if id not in self._open:  # its result has come meanwhile
            self._withdraw(id)
        self._wake.set()

    def changed(self, job: str) -> asyncio.Event:
        """Return an event that is set when a photo of the job gets its result, or the gateway ends."""
        return self._changed.setdefault(job, asyncio.Event())

    def close(self) -> None:
        """Wake everybody who waits for a change."""
        self.closing = True
        for event in list(self._changed.values()):
            event.set()

    def _tell(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            if event := self._changed.pop(job, None):
                event.set()
        self.webhooks_due.set()

    async def _write_all(self) -> None:
        while not self._stream.ready:  # a result that comes before results are read would be missed
            await asyncio.sleep(_READY_S)
        while unwritten := await asyncio.to_thread(self._store.unwritten, _AT_ONCE):
            async with self._writing:
                await self._write(unwritten)

    async def _write(self, unwritten: Sequence[Unwritten]) -> None:
        doubtful = [photo for photo in unwritten if photo.id not in self._fresh]
        written = await asyncio.to_thread(self._find_written, doubtful) if doubtful else set()
        called_off = [photo for photo in unwritten if photo.cancelled and photo.id not in written]
        records = [
            OutgoingRecord(self._topic(photo.urgent), photo.id.encode(), photo.request)
            for photo in unwritten
            if photo.id not in written and not photo.cancelled
        ]
        if records:
            self._fresh.difference_update(photo.id for photo in unwritten)  # until it is known how this ends
            await asyncio.wrap_future(self._stream.write(records))
        await asyncio.to_thread(self._store.note_written, [photo.id for photo in unwritten])
        self._fresh.difference_update(photo.id for photo in unwritten)
        if called_off:
            results = [_cancelled(photo) for photo in called_off]
            await asyncio.to_thread(self.on_results, results, {})

    def _find_written(self, doubtful: Sequence[Unwritten]) -> set[str]:
        found: set[str] = set()
        for urgent in (True, False):
            of_topic = [photo for photo in doubtful if photo.urgent == urgent]
            if of_topic:
                since_ms = int((min(photo.created for photo in of_topic) - _MARGIN_S) * 1000)
                ids = [photo.id for photo in of_topic]
                found |= find_written(self._kafka, self._topic(urgent), ids, since_ms)
        return found

    def _topic(self, urgent: bool) -> str:
        return self._kafka.urgent_topic if urgent else self._kafka.requests_topic

    def _cancellation(self, id: str | None, labels: Mapping[str, str]) -> OutgoingRecord:
        now = datetime.fromtimestamp(self._clock.wall(), timezone.utc)
        cancellation = Cancellation(id=id, labels=dict(labels), cancelled=now, expires=now + _CANCELLED_FOR)
        return OutgoingRecord(
            self._kafka.cancellations_topic, key_of(id, labels).encode(), encode_cancellation(cancellation)
        )

    def _withdraw(self, id: str) -> None:
        """Take back the cancellation of a photo that has ended: every worker keeps each in memory."""
        self._called_off.discard(id)
        self._stream.write([OutgoingRecord(self._kafka.cancellations_topic, key_of(id, {}).encode(), None)])

    # -- cleaning up

    def clean_up(self, results_older_than_s: float) -> None:
        """Remove jobs that finished so long ago, with what they have stored. Blocks."""
        while jobs := self._store.expired(self._clock.wall() - results_older_than_s):
            for job in jobs:
                self.remove(job)

    def remove(self, job: Job) -> None:
        """Remove a job with what it has stored. Blocks."""
        after = 0
        while photos := self._store.photos(job.id, after):
            for photo in photos:
                for stored in photo.result.objects if photo.result else ():
                    try:
                        self._outputs.remove(stored.uri)
                    except (CutstreamError, OSError) as exc:
                        log.warning("an output cannot be removed and stays: %s", exc)
            after = photos[-1].number
        if job.cancelled:
            self._stream.write(
                [OutgoingRecord(self._kafka.cancellations_topic, key_of(None, {JOB_LABEL: job.id}).encode(), None)]
            )
        self._store.remove(job.id)


def _cancelled(photo: Unwritten) -> Result:
    """Return the result of a request that is never written, because its job was called off before."""
    request = decode_request(photo.request)
    return Result(
        id=photo.id,
        status="cancelled",
        source=SourceRecord(topic="", partition=0, offset=0, timestamp_ms=int(photo.created * 1000)),
        error=ErrorDetail.of(Cancelled("the job was called off before the request was written"), "request"),
        labels=request.labels,
    )
