"""The catalogue of backgrounds as this worker knows it: its topic, read whole at start and then followed."""

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
_QUIET_S = 5.0  # between the broker's answers while nothing is added
_AGAIN_S = 5.0
_CLOSE_S = 5.0
_SHOWN = 100  # characters of a name that is none


class Catalogue:
    """Thread-safe; the reading has a thread of its own. While the topic cannot be read, what was known stays known."""

    def __init__(self, settings: KafkaSettings, observe: Callable[[float], None] = lambda known: None) -> None:
        self._settings = settings
        self._observe = observe
        self._entries: Mapping[str, Entry] | None = None  # replaced as a whole, so that readers need no lock
        self._trouble = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backgrounds", daemon=True)

    def start(self) -> None:
        """Returns at once, and never fails: `ready` tells when the topic has been read."""
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether all that the topic held when it was opened is known, or that there is no such topic."""
        return self._entries is not None

    def entry(self, name: str) -> Entry:
        """Raises UnknownBackground, and BrokerUnavailable while nothing can be said yet."""
        entries = self._entries
        if entries is None:
            raise BrokerUnavailable("the catalogue of backgrounds has not been read yet")
        if name not in entries:
            shown = name[:_SHOWN]
            hint = nearest(shown, entries) if entries else ", which is empty: `cutstream backgrounds add` fills it"
            raise UnknownBackground(f"background {shown!r} is not in the catalogue{hint}")
        return entries[name]

    def close(self) -> None:
        self._stop.set()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except ConfigurationError as exc:
                # Of an older deployment, or not for this client to read: all but names of backgrounds works without.
                self._publish(self._entries or {})
                self._report(exc)
            except CutstreamError as exc:
                self._report(exc)
            except Exception:
                log.exception("background catalogue: reading it failed")
            self._stop.wait(_AGAIN_S)

    def _follow(self) -> None:
        """Until asked to stop, or in trouble; then it is begun anew, which also finds a topic that was made anew."""
        entries: dict[str, Entry] = {}
        complete = False
        with closing(TopicReader(self._settings, self._settings.backgrounds_topic, idle_wait_s=_QUIET_S)) as reader:
            reader.start()
            while not self._stop.is_set():
                records = reader.poll(_POLL_S)
                for record in records:
                    apply(entries, record.key, record.value)
                # Not sooner: while its history is read again, a name would go back to what it once was.
                if reader.caught_up and (records or not complete):
                    complete, self._trouble = True, ""
                    self._publish(dict(entries))

    def _publish(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._observe(len(entries))

    def _report(self, trouble: CutstreamError) -> None:
        """Once, however often it is met in a row."""
        if str(trouble) != self._trouble:
            log.warning("background catalogue: %s", trouble)
        self._trouble = str(trouble)
