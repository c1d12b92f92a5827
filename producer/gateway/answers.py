"""Hand an output on to a client: as it is, or in JSON."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import TypeAlias

from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from cutstream.clients.objects.own_objects import ObjectMissing, Opened, OwnObjects
from cutstream.contract.messages import Result, StoredObject
from cutstream.errors import CutstreamError
from producer.gateway.errors import CallRefused

log = logging.getLogger(__name__)

_AT_ONCE_BYTES = 1024 * 1024


class OutputUnreadable(CallRefused):
    """An output cannot be read. `is_missing` says that its store has no such object."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            HTTPStatus.BAD_GATEWAY,
            "result_unreadable",
            "The result cannot be read from its store",
            str(cause),
            {"Retry-After": "5"},
        )
        self.is_missing = isinstance(cause, ObjectMissing)


Early: TypeAlias = bytes | OutputUnreadable | None
"""An output that was read ahead, or why it could not be. None: it is too large for that."""


def can_read_ahead(result: Result) -> bool:
    """Tell whether a result has a first output, and one that is not large."""
    return result.status == "ok" and bool(result.objects) and result.objects[0].bytes <= _AT_ONCE_BYTES


def read_ahead(outputs: OwnObjects, result: Result) -> Early:
    """Read the first output of a result that can be read ahead. Blocks."""
    try:
        return _read(outputs, result.objects[0], _AT_ONCE_BYTES)[1]
    except OutputUnreadable as exc:
        return exc


async def send_output(
    outputs: OwnObjects,
    stored: StoredObject,
    headers: Mapping[str, str],
    on_sent: Callable[[], None],
    early: Early = None,
) -> Response:
    """Return an answer with an output's bytes. A large one is not held in memory. `on_sent` is called in the end.

    Raises OutputUnreadable.
    """
    if isinstance(early, bytes):
        on_sent()
        return Response(early, media_type=stored.media_type, headers=dict(headers))
    if early is not None:
        raise early
    opened, data = await asyncio.to_thread(_read, outputs, stored, _AT_ONCE_BYTES)
    if data is not None:
        on_sent()
        return Response(data, media_type=stored.media_type, headers=dict(headers))

    async def chunks() -> AsyncIterator[bytes]:
        try:
            async for chunk in iterate_in_threadpool(opened.chunks):
                yield chunk
        finally:
            on_sent()

    sized = {**headers, "Content-Length": str(opened.size)}
    return StreamingResponse(chunks(), media_type=stored.media_type, headers=sized)


async def read_output(outputs: OwnObjects, stored: StoredObject) -> str:
    """Return an output's bytes in base64. Raises OutputUnreadable."""
    _, data = await asyncio.to_thread(_read, outputs, stored, None)
    return (await asyncio.to_thread(base64.b64encode, data or b"")).decode()


def picture_headers(result: Result, stored: StoredObject) -> dict[str, str]:
    """Return remove.bg's headers about a picture. The subject's box is in px of the upright source."""
    box = result.bbox
    places = (
        {} if box is None else {name: getattr(box, f"foreground_{name}") for name in ("top", "left", "width", "height")}
    )
    return {
        "X-Width": str(stored.width),
        "X-Height": str(stored.height),
        **{f"X-Foreground-{name.capitalize()}": str(value) for name, value in places.items()},
        "X-Request-Id": result.id,
        **({"X-Profile": result.profile} if result.profile else {}),
        **({"X-Uncertainty-Score": f"{result.uncertainty:.4f}"} if result.uncertainty is not None else {}),
    }


def _read(outputs: OwnObjects, stored: StoredObject, at_once: int | None) -> tuple[Opened, bytes | None]:
    """Open an output, and read it if it has at most `at_once` bytes. Blocks. Raises OutputUnreadable."""
    try:
        opened = outputs.open(stored.uri)
        small = at_once is None or opened.size <= at_once
        return opened, b"".join(opened.chunks) if small else None
    except (CutstreamError, OSError) as exc:
        # The workers' destination is another one than this gateway's settings say, or it is away.
        log.warning("a result cannot be read (CUTSTREAM_OBJECTS__DESTINATION must be that of the workers): %s", exc)
        raise OutputUnreadable(exc) from exc
