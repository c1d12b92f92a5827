"""This worker's copy of the background catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from consumer.resources.topic_copy import TopicCopy
from cutstream.constraints import nearest
from cutstream.contract.backgrounds import Entry, apply
from cutstream.errors import BrokerUnavailable, UnknownBackground
from cutstream.settings import KafkaSettings

_MAX_SHOWN = 100  # characters of an unknown name in a message


class BackgroundCatalogue:
    """Finds the entry of a name. Thread-safe. If the topic is missing or not readable, the catalogue is empty."""

    def __init__(self, settings: KafkaSettings, observe: Callable[[float], None] = lambda entries: None) -> None:
        self._copy: TopicCopy[Entry] = TopicCopy(
            settings,
            settings.backgrounds_topic,
            "background catalogue",
            apply,
            on_change=lambda entries: observe(len(entries)),
        )

    def start(self) -> None:
        """Start reading and return at once. It never fails: `ready` says when the topic has been read."""
        self._copy.start()

    @property
    def ready(self) -> bool:
        """True once everything the topic held at its opening has been read, or if it is missing or refused.

        False again while it has a record that cannot be read.
        """
        return self._entries() is not None and not self._copy.unreadable

    def entry(self, name: str) -> Entry:
        """Return the entry with this name. Raises UnknownBackground, or BrokerUnavailable before the topic was read."""
        entries = self._entries()
        if entries is None:
            raise BrokerUnavailable("the catalogue of backgrounds has not been read yet")
        if name not in entries:
            shown = name[:_MAX_SHOWN]
            hint = nearest(shown, entries) if entries else ", which is empty: `cutstream backgrounds add` fills it"
            raise UnknownBackground(f"background {shown!r} is not in the catalogue{hint}")
        return entries[name]

    def close(self) -> None:
        self._copy.close()

    def _entries(self) -> Mapping[str, Entry] | None:
        if self._copy.entries is None and self._copy.refusal is not None:
            return {}  # everything works but the catalogue's names
        return self._copy.entries
