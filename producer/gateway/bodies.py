"""Read the bodies of calls: JSON, forms and multipart, within limits. Files go to disk while they come in.

Whatever a stranger sends is bounded: bytes in all, bytes in memory, parts, the length of names and values, and the
depth of JSON.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from producer.gateway.errors import CallRefused, ClientGone, bad_request, too_many
from producer.gateway.keys import Client
from producer.gateway.uploads import Incoming, Uploads

MAX_FIELDS = 64
MAX_NAME_BYTES = 200
MAX_VALUE_BYTES = 64 * 1024
MAX_JSON_DEPTH = 32
_MUCH_BYTES = 4 * 1024 * 1024
_DATA_URL = re.compile(r"\s*data:[^,]{0,200},", re.ASCII)

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # strangers would fill the log with malformed bodies

Values: TypeAlias = dict[str, Any]


@dataclass
class Body:
    """What a call has brought: `values` by name, and `files` that are being received, by the name of their part."""

    values: Values = field(default_factory=dict)
    files: dict[str, list[Incoming]] = field(default_factory=dict)

    def discard(self) -> None:
        """Remove the files that nobody has taken."""
        for incoming in (one for several in self.files.values() for one in several):
            incoming.discard()
        self.files.clear()


class Memory:
    """The bytes that bodies may hold in memory, all calls together. Used on one event loop."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def take(self, count: int) -> None:
        """Reserve memory. Raises CallRefused if there is not enough."""
        if count > self._left:
            raise too_many("Too many large bodies at once", 5, limit="memory")
        self._left -= count

    def give_back(self, count: int) -> None:
        self._left += count


class Bodies:
    """Reads bodies of at most `most_bytes`, which have to come in within `timeout_s`."""

    def __init__(self, uploads: Uploads, memory: Memory, most_bytes: int, timeout_s: float) -> None:
        self._uploads = uploads
        self._memory = memory
        self._most_bytes = most_bytes
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def read(
        self,
        request: Request,
        client: Client,
        files: Collection[str],
        most_files: int = 2,
        most_bytes: int | None = None,
    ) -> AsyncIterator[Body]:
        """Read a call's body as what its Content-Type says. Files that are left in it are removed afterwards.

        `files` are the names of the parts that hold a photo. `most_bytes` replaces the limit of all bodies. Raises
        CallRefused and ClientGone.
        """
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        most_bytes = most_bytes or self._most_bytes
        _check_encoding(request)
        _check_length(request, most_bytes)
        body = Body()
        held = 0

        def hold(count: int) -> None:
            nonlocal held
            self._memory.take(count)
            held += count

        try:
            if kind == b"multipart/form-data":
                form = _Multipart(
                    options.get(b"boundary", b""),
                    body,
                    lambda: self._uploads.begin(client.max_bytes),
                    files,
                    most_files,
                    hold,
                )
                await self._read_multipart(request, form, most_bytes)
            else:
                data = bytearray()
                async for chunk in self._chunks(request, min(most_bytes, self._most_bytes)):
                    hold(len(chunk))
                    data += chunk
                body.values = await asyncio.to_thread(_parse, kind, bytes(data))
            yield body
        except ClientDisconnect as exc:
            raise ClientGone("the client closed its connection while it sent its request") from exc
        finally:
            self._memory.give_back(held)
            body.discard()

    async def _read_multipart(self, request: Request, form: _Multipart, most_bytes: int) -> None:
        try:
            async for chunk in self._chunks(request, most_bytes):
                form.feed(chunk)
                for incoming in form.full():
                    await self._uploads.receive(incoming, b"")
                if ended := form.ended():
                    await self._uploads.park(ended)
            form.end()
        except (MultipartParseError, UnicodeDecodeError) as exc:
            raise bad_request("invalid_body", "The multipart body cannot be read", str(exc)[:200]) from exc

    async def _chunks(self, request: Request, most_bytes: int) -> AsyncIterator[bytes]:
        """Yield the bytes of a body. Raises CallRefused once there are too many or they are late, and ClientDisconnect.

        The time limit is for all of them together, from now on: dripping bytes buys no more.
        """
        total, ends_s = 0, monotonic() + self._timeout_s
        chunks = request.stream()
        while True:
            try:
                chunk = await asyncio.wait_for(anext(chunks), max(0.0, ends_s - monotonic()))
            except StopAsyncIteration:
                return
            except asyncio.TimeoutError:
                raise _too_late(self._timeout_s) from None
            total += len(chunk)
            if total > most_bytes:
                raise _too_large(most_bytes)
            if chunk:
                yield chunk

    async def store_base64(self, text: object, client: Client) -> Incoming:
        """Decode a photo in base64, with or without a `data:` prefix, into an upload. Raises CallRefused."""
        if not isinstance(text, str):
            raise bad_request("failed_to_read_image", "image_file_b64 must be text in base64")
        incoming = self._uploads.begin(client.max_bytes)
        data = await asyncio.to_thread(_decode_base64, text)
        await self._uploads.receive(incoming, data)
        return incoming


class _Multipart:
    """Feeds a body to the parser and sorts its parts into values and files."""

    def __init__(
        self,
        boundary: bytes,
        body: Body,
        begin: Callable[[], Incoming],
        files: Collection[str],
        most_files: int,
        hold: Callable[[int], None],
    ) -> None:
        if not 0 < len(boundary) <= 70:  # as RFC 2046 has it
            raise bad_request("invalid_body", "The multipart body has no valid boundary")
        self._body = body
        self._hold = hold
        self._begin = begin
        self._files = files
        self._most_files = most_files
        self._fields = 0
        self._ended = False
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self._name = ""
        self._value = bytearray()
        self._incoming: Incoming | None = None
        self._ended_files: list[Incoming] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        self._parser.write(data)

    def end(self) -> None:
        """Raise CallRefused for a body that ends within a part."""
        self._parser.finalize()
        if not self._ended:
            raise bad_request("invalid_body", "The multipart body is not complete")

    def ended(self) -> list[Incoming]:
        """Return the files that have come in completely, once they hold much memory together."""
        if sum(incoming.held for incoming in self._ended_files) < _MUCH_BYTES:
            return []
        ended, self._ended_files = self._ended_files, []
        return ended

    def full(self) -> list[Incoming]:
        return [self._incoming] if self._incoming is not None and self._incoming.is_full else []

    def _part_begin(self) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS + self._most_files:
            raise bad_request("invalid_body", f"More than {MAX_FIELDS} fields")
        self._header = (bytearray(), bytearray())
        self._disposition = b""

    def _header_end(self) -> None:
        name, value = bytes(self._header[0]).lower(), bytes(self._header[1])
        if name == b"content-disposition":
            self._disposition = value
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"")
        if not name or len(name) > MAX_NAME_BYTES:
            raise bad_request("invalid_body", "A part of the multipart body has no name")
        self._name = name.decode()
        self._value = bytearray()
        self._incoming = None
        if self._name in self._files:
            known = self._body.files.setdefault(self._name, [])
            if sum(map(len, self._body.files.values())) >= self._most_files:
                raise bad_request("multiple_sources", f"More than {self._most_files} files")
            self._incoming = self._begin()
            self._incoming.name = options.get(b"filename", b"").decode(errors="replace")[:MAX_NAME_BYTES]
            known.append(self._incoming)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._incoming is not None:
            self._incoming.add(memoryview(data)[start:end])
            return
        self._hold(end - start)
        self._value += data[start:end]
        if len(self._value) > MAX_VALUE_BYTES and not self._name.endswith("_b64"):
            raise bad_request("invalid_body", f"The field {self._name!r} is too long")

    def _part_end(self) -> None:
        if self._incoming is None:
            self._body.values[self._name] = self._value.decode()
        elif not self._incoming.size and not self._incoming.name:  # a form's file input that was left empty
            self._body.files[self._name].remove(self._incoming)
        else:
            self._ended_files.append(self._incoming)
        self._incoming = None

    def _end(self) -> None:
        self._ended = True


def _check_encoding(request: Request) -> None:
    """Refuse a compressed body by its header. It would otherwise be said to be malformed."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        raise CallRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "invalid_body",
            "The body is compressed",
            "send it without Content-Encoding",
            {"Accept-Encoding": "identity"},
        )


def _check_length(request: Request, most_bytes: int) -> None:
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and (len(length) >= 20 or int(length) > most_bytes):
        raise _too_large(most_bytes)


def _parse(kind: bytes, data: bytes) -> Values:
    if kind == b"application/x-www-form-urlencoded":
        try:
            pairs = parse_qsl(data.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except (ValueError, UnicodeDecodeError) as exc:
            raise bad_request("invalid_body", "The form cannot be read", str(exc)[:200]) from exc
        return _checked(dict(pairs))
    if kind == b"text/csv":
        return {"csv": data}
    if kind == b"application/json" or kind.endswith(b"+json"):
        return _checked(parse_json(data))
    raise CallRefused(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "invalid_body",
        "Send multipart/form-data, application/x-www-form-urlencoded or application/json",
    )


def parse_json(data: bytes) -> Values:
    """Parse a JSON object of bounded depth. Raises CallRefused."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise bad_request("invalid_body", "The body is not JSON", str(exc)[:200]) from exc
    if not isinstance(found, dict):
        raise bad_request("invalid_body", "The body must be a JSON object")
    _check_depth(found, MAX_JSON_DEPTH)
    return found


def _check_depth(value: object, left: int) -> None:
    if left < 0:
        raise bad_request("invalid_body", f"The JSON is nested more than {MAX_JSON_DEPTH} deep")
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        if isinstance(part, (dict, list)):
            _check_depth(part, left - 1)


def _checked(values: Values) -> Values:
    for name, value in values.items():
        if len(name) > MAX_NAME_BYTES:
            raise bad_request("invalid_body", "A field's name is too long")
        if isinstance(value, str) and len(value) > MAX_VALUE_BYTES and not name.endswith("_b64"):
            raise bad_request("invalid_body", f"The field {name!r} is too long")
    return values


def _decode_base64(text: str) -> bytes:
    found = _DATA_URL.match(text)
    plain = text[found.end() :] if found else text
    # A form turns + into a space if its sender has not encoded it, and many break lines.
    plain = "".join(plain.replace(" ", "+").split())
    plain = plain.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise bad_request("failed_to_read_image", "image_file_b64 is not base64") from exc


def _too_late(timeout_s: float) -> CallRefused:
    return CallRefused(
        HTTPStatus.REQUEST_TIMEOUT,
        "request_timeout",
        "The body did not come in time",
        f"it has to be here {timeout_s:g} s after the head of its request",
        {"Connection": "close"},
    )


def _too_large(most_bytes: int) -> CallRefused:
    return CallRefused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "file_too_large",
        "File too large",
        f"the body exceeds {most_bytes / 1e6:g} MB",
    )
