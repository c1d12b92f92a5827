"""Photos that cannot be read or sent: a result for each, so that they do not end a loop over many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cutstream.client.errors import GatewayRefused, NotReachable, PhotoUnreadable
from cutstream.client.job_answers import UNKNOWN_SOURCE
from cutstream.contract.messages import ErrorDetail, Result
from cutstream.errors import CutstreamError, RefusedAddress
from cutstream.printable import printable
from cutstream.redaction import redact

_OF_EVERY_CALL = frozenset({401, 402, 403, 405, 407})  # the key or the address of the service is at fault
_OF_THE_BODY = frozenset({413, 414, 415})  # whoever answers, such as a proxy in front of the service


def is_of_photo(error: CutstreamError) -> bool:
    """Tell whether an error is about one photo, so that others may still be sent."""
    if isinstance(error, GatewayRefused):
        if error.code == "unknown":  # it may be no answer of the service at all
            return error.status in _OF_THE_BODY
        return error.status not in _OF_EVERY_CALL
    return isinstance(error, (PhotoUnreadable, NotReachable, RefusedAddress))


def failed_result(id: str, photo: Any, labels: Mapping[str, str], error: CutstreamError) -> Result:
    """Return the result of a photo for which no worker has a request. Its stage is `request`."""
    image = None if isinstance(photo, (bytes, bytearray, memoryview)) else str(photo)
    if image is not None:
        image = printable(redact(image) if "://" in image else image)
    return Result(
        id=id,
        status="failed",
        source=UNKNOWN_SOURCE,
        image=image,
        labels=dict(labels),
        error=ErrorDetail.of(error, "request"),
    )
