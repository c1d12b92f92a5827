"""A worker's copy of a compacted topic: it reads the topic whole at start and then follows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Generic, TypeVar

from cutstream.clients.kafka import TopicReader, UnreadableRecords
from cutstream.errors import BrokerUnavailable, ConfigurationError, CutstreamError
from cutstream.settings import KafkaSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

_POLL_S = 1.0
_IDLE_WAIT_S = 5.0  # how long the broker waits with its answer while nothing is added
_RETRY_S = 5.0
_LONGEST_RETRY_S = 60.0  # before a record that cannot be read, each pause is twice the one before
_CLOSE_S = 5.0


class TopicCopy(Generic[T]):
    """The current entries of a compacted topic. Thread-safe.

    A thread of its own reads the topic; while that fails, the entries known so far stay in use. `name` names the thread
    and begins its messages in the log. `apply` applies one record, by key and value, to a dictionary of entries.
    `on_change` is called by the thread with all entries after each change.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        name: str,
        apply: Callable[[dict[str, T], bytes | None, bytes], None],
        on_change: Callable[[Mapping[str, T]], None] = lambda entries: None,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._name = name
        self._apply = apply
        self._on_change = on_change
        self._entries: Mapping[str, T] | None = None  # replaced as a whole: readers need no lock
        self._refusal: ConfigurationError | None = None
        self._unreadable = False
        self._answered = threading.Event()
        self._last_problem = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start reading and return at once. It never fails: `entries` says when the topic has been read."""
        self._thread.start()

    @property
    def entries(self) -> Mapping[str, T] | None:
        """The current entries, or None until everything that the topic held at its opening has been read."""
        return self._entries

    @property
    def unreadable(self) -> bool:
        """True while the topic has a record that cannot be read, so that nobody knows what is behind it."""
        return self._unreadable

    @property
    def refusal(self) -> ConfigurationError | None:
        """The reason why the topic cannot be read, if waiting does not cure it: it is missing, or access is denied."""
        return self._refusal

    def wait(self, timeout_s: float) -> None:
        """Return when there are entries or a refusal, or after the time."""
        self._answered.wait(timeout_s)

    def close(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        pause_s = _RETRY_S
        while not self._stop.is_set():
            try:
                self._read_topic()
            except UnreadableRecords as exc:
                pause_s = min(2 * pause_s, _LONGEST_RETRY_S) if self._unreadable else _RETRY_S
                self._unreadable = True
                log.error(
                    "%s: %s; what follows is unknown, and tried again in %g s. If this goes on, make the topic anew "
                    "(docs/runbook.md#a-record-cannot-be-read)",
                    self._name,
                    exc,
                    pause_s,
                )
            except ConfigurationError as exc:
                self._unreadable = False
                self._refusal = exc
                self._answered.set()
                self._report(exc)
            except CutstreamError as exc:
                self._report(exc)
            except Exception:
                log.exception("%s: reading it failed", self._name)
            self._stop.wait(pause_s if self._unreadable else _RETRY_S)

    def _read_topic(self) -> None:
        """Read until asked to stop, or until an error. Starting over also finds a topic that was created anew."""
        entries: dict[str, T] = {}
        complete = False
        with closing(TopicReader(self._settings, self._topic, idle_wait_s=_IDLE_WAIT_S)) as reader:
            reader.start()
            while not self._stop.is_set():
                is_empty = not complete and reader.caught_up  # a worker does not wait for its first record
                records = reader.poll(0.0 if is_empty else _POLL_S)
                for record in records:
                    self._apply(entries, record.key, record.value)
                # Not sooner: while the history is read again, names have their old entries.
                caught_up = reader.caught_up
                if complete and not caught_up:  # a position that goes back is that of another topic of this name
                    raise BrokerUnavailable(f"topic {self._topic!r} was made anew and is read again")
                if caught_up and (records or not complete):
                    complete, self._last_problem, self._unreadable = True, "", False
                    self._publish(dict(entries))

    def _publish(self, entries: Mapping[str, T]) -> None:
        self._on_change(entries)
        self._entries = entries
        self._answered.set()

    def _report(self, problem: CutstreamError) -> None:
        """Log a problem once, however often it repeats."""
        if str(problem) != self._last_problem:
            log.warning("%s: %s", self._name, problem)
        self._last_problem = str(problem)
