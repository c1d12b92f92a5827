"""The Kafka side of the gateway: requests go out, results come in, each on a thread of its own.

The reader reads all results of the stream, from where it stood when the gateway started, and hands on those that
somebody here knows. It begins before the first request is written, so that no result is missed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic

from cutstream.clients.kafka import GroupLag, OutgoingRecord, Record, RecordWriter, TopicReader
from cutstream.contract.messages import DECODE_ERRORS, Result, decode_result
from cutstream.errors import ConfigurationError, CutstreamError
from cutstream.settings import KafkaSettings
from producer.gateway.load import Load

log = logging.getLogger(__name__)

_POLL_S = 0.2
_PAUSE_S = 1.0
_LAG_S = 1.0
_SILENT_S = 8.0  # a broker that is restarted, or replaced, is back earlier
_MOST_AT_ONCE = 500

OnResults = Callable[[Sequence[Result], Mapping[int, int]], None]


@dataclass(frozen=True)
class _Write:
    records: Sequence[OutgoingRecord]
    done: Future[None]


class Stream:
    """Writes records, and reads results for as long as it runs.

    `on_results` is called on the reader's thread with the results that `is_known` picked by their ids, and with the
    offset of each partition from which to read on after a restart, whenever these have moved.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        load: Load,
        is_known: Callable[[str], bool],
        on_results: OnResults,
    ) -> None:
        self._settings = settings
        self._load = load
        self._is_known = is_known
        self._on_results = on_results
        self._positions: Mapping[int, int] = {}
        self._reading = threading.Event()
        self._silent = threading.Event()
        self._heard_s = monotonic()
        self._stop = threading.Event()
        self._writes: SimpleQueue[_Write | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=target, name=f"gateway-{target.__name__.strip('_')}", daemon=True)
            for target in (self._write, self._read, self._measure)
        ]
        self.problem = "Kafka has not been reached yet"

    @property
    def positions(self) -> Mapping[int, int]:
        """For each partition number of the results, the offset before which everything has been handed on."""
        return self._positions

    @property
    def ready(self) -> bool:
        """True while results are read, and Kafka answers."""
        return self._reading.is_set() and not self._silent.is_set()

    def start(self, positions: Mapping[int, int]) -> None:
        """Begin. `positions` are offsets of an earlier run to read on from; without them it reads from the end."""
        self._positions = positions
        for thread in self._threads:
            thread.start()

    def wait_until_ready(self, timeout_s: float) -> bool:
        """Wait until results are read, and return whether they are."""
        return self._reading.wait(timeout_s)

    def write(self, records: Sequence[OutgoingRecord]) -> Future[None]:
        """Write records. The future is done when the brokers have acknowledged them; it may raise BrokerUnavailable."""
        write = _Write(records, Future())
        self._writes.put(write)
        return write.done

    def close(self) -> None:
        """Write what has been handed over, and stop."""
        self._stop.set()
        self._writes.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=10)

    # -- writing

    def _write(self) -> None:
        writer = RecordWriter(self._settings, linger_ms=0)
        while (first := self._writes.get()) is not None:
            batch = [first, *self._waiting_writes()]
            # Whoever waits may be cancelled. It is written nevertheless, and from here on nobody can cancel its future.
            told = [write for write in batch if write.done.set_running_or_notify_cancel()]
            try:
                writer.write(record for write in batch for record in write.records)
            except Exception as exc:
                if not isinstance(exc, CutstreamError):
                    log.exception("a record could not be written")
                for write in told:
                    write.done.set_exception(exc)
            else:
                for write in told:
                    write.done.set_result(None)
        writer.close()

    def _waiting_writes(self) -> list[_Write]:
        found: list[_Write] = []
        try:
            while len(found) < _MOST_AT_ONCE:
                write = self._writes.get_nowait()
                if write is None:
                    self._writes.put(None)
                    break
                found.append(write)
        except Empty:
            pass
        return found

    # -- reading

    def _read(self) -> None:
        while not self._stop.is_set():
            reader = TopicReader(self._settings, self._settings.results_topic, from_end=True, positions=self._positions)
            try:
                reader.start()
                self._follow(reader)
            except CutstreamError as exc:
                self._note_problem(str(exc))
                self._stop.wait(_PAUSE_S)
            except Exception as exc:  # a bug here must not leave all calls without an answer
                log.exception("unexpected error while reading results")
                self._note_problem(str(exc))
                self._stop.wait(_PAUSE_S)
            finally:
                self._reading.clear()
                reader.close()

    def _follow(self, reader: TopicReader) -> None:
        self._positions = reader.positions()
        self._on_results((), self._positions)
        self._reading.set()
        while not self._stop.is_set():
            if records := reader.poll(_POLL_S):
                self._note_answer()
                results = [result for record in records if (result := self._result_of(record)) is not None]
                self._load.note_results(len(records))
                positions = {**self._positions, **{r.partition.number: r.offset + 1 for r in records}}
                self._on_results(results, positions)
                self._positions = positions  # from here on, what is before them has been handed on
            if self.problem and not self._silent.is_set():
                log.info("reading results", extra={"topic": self._settings.results_topic})
                self.problem = ""

    def _note_answer(self) -> None:
        self._heard_s = monotonic()
        if self._silent.is_set():
            log.info("Kafka answers again")
            self.problem = ""
            self._silent.clear()

    def _note_silence(self, exc: CutstreamError) -> None:
        """Refuse calls while Kafka says nothing. A client that reads cannot tell this from a topic without records."""
        if monotonic() - self._heard_s > _SILENT_S:
            self._note_problem(str(exc))
            self._silent.set()

    def _note_problem(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("results cannot be read: %s", problem)
        self.problem = problem

    def _result_of(self, record: Record) -> Result | None:
        """Return the result if somebody here waits for it. Others, of which there may be many, are not even decoded."""
        named = next((value for name, value in record.headers if name == "ce_id"), None)
        if named is not None and not self._is_known(named.decode(errors="replace")):
            return None
        try:
            result = decode_result(record.value)
        except DECODE_ERRORS:
            return None
        return result if self._is_known(result.id) else None

    # -- measuring

    def _measure(self) -> None:
        s = self._settings
        urgent, others = s.urgent_topic, (s.requests_topic, s.retry_topic)
        lag = GroupLag(s, [urgent, *others])
        told = ""
        while not self._stop.wait(_LAG_S):
            try:
                found = lag.measure()
                self._load.note_lag(found[urgent], sum(found[topic] for topic in others))
                self._note_answer()
                told = ""
            except CutstreamError as exc:
                if not isinstance(exc, ConfigurationError):
                    self._note_silence(exc)
                    continue
                self._note_answer()
                if str(exc) != told:
                    log.warning("the lag is not known, so no call is refused for it: %s", exc)
                    told = str(exc)
            except Exception:  # without the lag, calls are still answered
                log.exception("unexpected error while measuring the lag")
                self._stop.wait(_LAG_S * 30)
        lag.close()
