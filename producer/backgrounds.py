"""Pictures into the catalogue of backgrounds, out of it, and what it holds."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import datetime, timezone
from hashlib import sha256

from cutstream.clients.kafka import OutgoingRecord, RecordWriter, TopicReader
from cutstream.clients.objects import files
from cutstream.clients.objects.store import ObjectStore
from cutstream.clock import Clock
from cutstream.constraints import nearest
from cutstream.contract.backgrounds import Entry, apply, check_name, encode, is_address
from cutstream.errors import UnknownBackground
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from cutstream.settings import KafkaSettings, Settings

_POLL_S = 0.2
_EXTENSIONS = {"jpeg": "jpg"}  # others are called as their format


def add(settings: Settings, name: str, source: str, clock: Clock) -> Entry:
    """Under a name that is taken, from now on instead of the picture it had. Raises what a source can raise, too.

    `source` is a file of this machine, or an address that requests may name as well. The picture is decoded here, and
    durable before the record that names it is written.
    """
    check_name(name)
    objects = ObjectStore(settings.objects, settings.limits)
    limit = settings.limits.max_source_bytes
    data = objects.fetch(source) if is_address(source) else files.read(os.path.realpath(source), limit)
    header = read_header(data, settings.limits.max_source_pixels)
    image = decode(data, header)
    known(settings.kafka)  # before the upload: without the topic it would be for nothing
    digest = sha256(data).hexdigest()
    extension = _EXTENSIONS.get(header.format, header.format)
    entry = Entry(
        uri=objects.resolve(None, f"backgrounds/{name}-{digest[:12]}.{extension}"),
        sha256=digest,
        bytes=len(data),
        width=image.width,
        height=image.height,
        added=datetime.fromtimestamp(int(clock.wall()), timezone.utc),
    )
    objects.put(entry.uri, data, f"image/{header.format}")
    _write(settings.kafka, name, encode(entry))
    return entry


def remove(settings: KafkaSettings, name: str) -> Entry:
    """The name only; its picture stays where it is. Raises UnknownBackground."""
    entries = known(settings)
    if name not in entries:
        raise UnknownBackground(f"{name!r} is not in the catalogue{nearest(name, entries)}")
    _write(settings, name, None)
    return entries[name]


def known(settings: KafkaSettings) -> dict[str, Entry]:
    """All names with what they stand for now, in order of their names. Raises NoTopic."""
    entries: dict[str, Entry] = {}
    with closing(TopicReader(settings, settings.backgrounds_topic)) as reader:
        reader.start()
        while not reader.caught_up:
            for record in reader.poll(_POLL_S):
                apply(entries, record.key, record.value)
    return dict(sorted(entries.items()))


def _write(settings: KafkaSettings, name: str, value: bytes | None) -> None:
    with closing(RecordWriter(settings)) as writer:
        writer.start()
        writer.write([OutgoingRecord(settings.backgrounds_topic, name.encode(), value)])
