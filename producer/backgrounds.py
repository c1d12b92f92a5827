"""Add pictures to the background catalogue, remove them, and list its entries."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from hashlib import sha256

from cutstream.clients.objects import files
from cutstream.clients.objects.store import ObjectStore
from cutstream.clock import Clock
from cutstream.constraints import nearest
from cutstream.contract.backgrounds import Entry, apply, check_name, encode
from cutstream.errors import UnknownBackground
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from cutstream.settings import KafkaSettings, Settings
from producer.entries import read_entries, write_entries

_EXTENSIONS = {"jpeg": "jpg"}  # any other extension is the name of its format


def add(settings: Settings, name: str, source: str, clock: Clock) -> Entry:
    """Store a picture and give it a name; a name that exists stands for the new picture from now on.

    `source` is a file of this machine, or an address that a request could name as its image. The picture is decoded as
    a check, and it is durable before the record that names it is written. Raises InvalidOption for an invalid name,
    NoTopic, and the errors of a source that is refused, missing or unreadable.
    """
    check_name(name)
    objects = ObjectStore(settings.objects, settings.limits)
    limit = settings.limits.max_source_bytes
    data = objects.fetch(source) if "://" in source else files.read(os.path.realpath(source), limit)
    header = read_header(data, settings.limits.max_source_pixels)
    image = decode(data, header)
    list_entries(settings.kafka)  # raises NoTopic before the upload, which would be useless without the topic
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
    write_entries(settings.kafka, settings.kafka.backgrounds_topic, {name: encode(entry)})
    return entry


def remove(settings: KafkaSettings, name: str) -> Entry:
    """Remove a name; its picture stays in the store. Raises UnknownBackground."""
    entries = list_entries(settings)
    if name not in entries:
        raise UnknownBackground(f"{name!r} is not in the catalogue{nearest(name, entries)}")
    write_entries(settings, settings.backgrounds_topic, {name: None})
    return entries[name]


def list_entries(settings: KafkaSettings) -> dict[str, Entry]:
    """Return the current entry of each name, sorted by name. Raises NoTopic."""
    return read_entries(settings, settings.backgrounds_topic, apply)
