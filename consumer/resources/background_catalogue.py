"""This worker's copy of the background catalogue: it reads the topic whole at start and then follows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import closing

from cutstream.clients.kafka import TopicReader
from cutstream.constraints import nearest
from cutstream.contract.backgrounds import Entry, apply
from cutstream.errors import BrokerUnavailable, ConfigurationError, CutstreamError, UnknownBackground
from cutstream.settings import KafkaSettings

log = logging.getLogger(__name__)

_POLL_S = 1.0
_IDLE_WAIT_S = 5.0  # how long the broker waits with its answer while nothing is added
_RETRY_S = 5.0
_CLOSE_S = 5.0
_MAX_SHOWN = 100  # characters of an unknown name in a message


class BackgroundCatalogue:
    """Thread-safe. A thread of its own reads the topic; while that fails, the entries known so far stay valid."""

    def __init__(self, settings: KafkaSettings, observe: Callable[[float], None] = lambda entries: None) -> None:
        self._settings = settings
        self._observe = observe
        self._entries: Mapping[str, Entry] | None = None  # replaced as a whole: readers need no lock
        self._last_problem = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backgrounds", daemon=True)

    def start(self) -> None:
        """Start reading and return at once. It never fails: `ready` says when the topic has been read."""
        self._thread.start()

    @property
    def ready(self) -> bool:
        """True once everything the topic held at its opening has been read, or if there is no such topic."""
        return self._entries is not None

    def entry(self, name: str) -> Entry:
        """Return the entry with this name. Raises UnknownBackground, or BrokerUnavailable before the topic was read."""
        entries = self._entries
        if entries is None:
            raise BrokerUnavailable("the catalogue of backgrounds has not been read yet")
        if name not in entries:
            shown = name[:_MAX_SHOWN]
            hint = nearest(shown, entries) if entries else ", which is empty: `cutstream backgrounds add` fills it"
            raise UnknownBackground(f"background {shown!r} is not in the catalogue{hint}")
        return entries[name]

    def close(self) -> None:
        self._stop.set()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._read_topic()
            except ConfigurationError as exc:
                # The topic is missing or not readable for this client: everything works but catalogue names.
                self._publish(self._entries or {})
                self._report(exc)
            except CutstreamError as exc:
                self._report(exc)
            except Exception:
                log.exception("background catalogue: reading it failed")
            self._stop.wait(_RETRY_S)

    def _read_topic(self) -> None:
        """Read until asked to stop, or until an error. Starting over also finds a topic that was created anew."""
        entries: dict[str, Entry] = {}
        complete = False
        with closing(TopicReader(self._settings, self._settings.backgrounds_topic, idle_wait_s=_IDLE_WAIT_S)) as reader:
            reader.start()
            while not self._stop.is_set():
                records = reader.poll(_POLL_S)
                for record in records:
                    apply(entries, record.key, record.value)
                # Not sooner: while the history is read again, names have their old entries.
                if reader.caught_up and (records or not complete):
                    complete, self._last_problem = True, ""
                    self._publish(dict(entries))

    def _publish(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._observe(len(entries))

    def _report(self, problem: CutstreamError) -> None:
        """Log a problem once, however often it repeats."""
        if str(problem) != self._last_problem:
            log.warning("background catalogue: %s", problem)
        self._last_problem = str(problem)
