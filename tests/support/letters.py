"""Dead letters for tests, as workers write them."""

from __future__ import annotations

from cutstream.clients.kafka import Headers, OutgoingRecord
from cutstream.contract.envelope import dead_letter_headers
from cutstream.contract.messages import ErrorDetail, SourceRecord
from cutstream.errors import CutstreamError, SourceFailed

NO_FILE = SourceFailed("no such file")


def letter_record(
    topic: str,
    id: str,
    value: bytes | None = None,
    *,
    offset: int = 0,
    error: CutstreamError = NO_FILE,
    headers: Headers | None = None,
    partition: int | None = None,
) -> OutgoingRecord:
    """Return the dead letter of a request, which lay at this offset of `requests`, partition 0."""
    source = SourceRecord(topic="requests", partition=0, offset=offset, timestamp_ms=5)
    value = value if value is not None else b'{"id": "%s", "image": "s3://photos/%s.jpg"}' % (id.encode(), id.encode())
    described = dead_letter_headers(headers or [], id, source, ErrorDetail.of(error, "fetch"), error)
    return OutgoingRecord(topic, b"key", value, described, partition)
