"""Cancellations, which are a compacted Kafka topic: the format of its records, and which requests they call off.

A cancellation names one request id, or labels that a request must all have. It applies to requests that were written
before it. The key of a record follows from what the cancellation names, so that the last record counts. A record
without a value withdraws the cancellation.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cutstream.contract.ids import AnyId
from cutstream.contract.messages import DECODE_ERRORS, Labels
from cutstream.contract.reading.validation import explain
from cutstream.errors import InvalidOption

log = logging.getLogger(__name__)

Time = Annotated[datetime, Meta(tz=True)]


class Cancellation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The requests to call off: the one with this id, or those with all of these labels.

    `cancelled` is when it was written. After `expires` it is ignored, and may be removed.
    """

    id: str | None = None
    labels: Labels = {}
    cancelled: Time
    expires: Time

    def __post_init__(self) -> None:
        if (self.id is None) == (not self.labels):
            raise ValueError("a cancellation names either an id or labels")


class _Names(msgspec.Struct):
    """The names that a request may have, for those of a cancellation to be checked against."""

    id: AnyId = "any"
    labels: Labels = {}


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Cancellation)


def check_request_names(ids: Iterable[str], labels: Mapping[str, str]) -> None:
    """Raise InvalidOption for an id or a label that no request can have, so that nothing would be called off."""
    for id in ids:
        _check_form({"id": id})
    _check_form({"labels": dict(labels)})


def key_of(id: str | None, labels: Mapping[str, str]) -> str:
    """Return the key of the cancellation of this id or of these labels."""
    return f"id:{id}" if id is not None else "labels:" + _encoder.encode(dict(sorted(labels.items()))).decode()


def encode(cancellation: Cancellation) -> bytes:
    """Encode a cancellation as the value of a record."""
    return _encoder.encode(cancellation)


def apply(cancellations: dict[str, Cancellation], key: bytes | None, value: bytes) -> None:
    """Apply a record of the topic to `cancellations`. A record that is not valid is logged and changes nothing."""
    try:
        name = (key or b"").decode()
        if value:
            cancellations[name] = _decoder.decode(value)
        else:
            cancellations.pop(name, None)
    except DECODE_ERRORS as exc:
        problem = explain(exc, Cancellation) if isinstance(exc, msgspec.ValidationError) else exc
        log.warning("cancellations: skipped the record with key %.100r: %s", key, problem)


class CancellationIndex:
    """Finds the cancellation of a request among many. Immutable."""

    def __init__(self, cancellations: Iterable[Cancellation] = ()) -> None:
        self._by_id: dict[str, Cancellation] = {}
        self._by_label: dict[tuple[str, str], list[Cancellation]] = {}
        for cancellation in cancellations:
            if cancellation.id is not None:
                self._by_id[cancellation.id] = cancellation
            else:  # one of its labels finds it
                self._by_label.setdefault(min(cancellation.labels.items()), []).append(cancellation)

    def __bool__(self) -> bool:
        return bool(self._by_id or self._by_label)

    def find(self, id: str, labels: Mapping[str, str], written_ms: int, now_s: float) -> Cancellation | None:
        """Return a cancellation that applies to the request with this id and these labels, or None.

        `written_ms` is when the request was first written, in milliseconds since the Unix epoch; `now_s` is in seconds.
        """
        for cancellation in self._candidates(id, labels):
            if written_ms < cancellation.cancelled.timestamp() * 1000 and now_s < cancellation.expires.timestamp():
                return cancellation
        return None

    def _candidates(self, id: str, labels: Mapping[str, str]) -> Iterable[Cancellation]:
        if id in self._by_id:
            yield self._by_id[id]
        for label in labels.items():
            for cancellation in self._by_label.get(label, ()):
                if cancellation.labels.items() <= labels.items():
                    yield cancellation


def _check_form(names: dict[str, Any]) -> None:
    """Check decoded text as if it had come in a request, where it must also be UTF-8."""
    try:
        msgspec.json.encode(names)
        msgspec.convert(names, _Names)
    except UnicodeEncodeError as exc:
        raise InvalidOption(f"no request has {exc.object!r}, which is not UTF-8") from exc
    except msgspec.ValidationError as exc:
        raise InvalidOption(f"no request has this: {explain(exc, _Names, names)}") from exc
