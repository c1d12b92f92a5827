"""What the worker and a decoder process say to each other: one msgpack message each way for every photo.

A decoder reads bytes from strangers, and a file may take it over. So the worker reads nothing from it that could
execute, and nothing without a limit: a reply is one packet of known types whose numbers are checked. File, pixels and
colour profile never travel here; they lie in the shared slot.
"""

from __future__ import annotations

import socket
from typing import Annotated, TypeAlias

import msgspec

from cutstream.errors import Poison, ResolutionTooHigh, UnreadableImage, UnsupportedImage
from cutstream.images import Image, ImageWarning
from cutstream.images.decoders.raster import MAX_PROFILE_BYTES
from cutstream.images.header import Header

PACKET_BYTES = 65_536
_MOST_DPI = 1e30  # far beyond what a file can say, and such that its inches become metres
MAX_WARNINGS = 16
MAX_MESSAGE_CHARACTERS = 500

_ERRORS: dict[str, type[Poison]] = {
    error.__name__: error for error in (UnreadableImage, UnsupportedImage, ResolutionTooHigh)
}

_Length: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**31)]


class File(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To be decoded: the file in the first `size` bytes of the slot. That may take `memory_bytes`."""

    header: Header
    size: int
    memory_bytes: int

    @property
    def name(self) -> str:
        return self.header.format


class Colours(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """To be converted, where they lie: `pixels` × 3 bytes of sRGB in the slot, to the colour profile behind them."""

    pixels: int
    icc_bytes: int
    memory_bytes: int

    @property
    def name(self) -> str:
        return "colour profile"


class Ready(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The process has started and can decode. `cpu_s` is the processor time that it has used since its start.

    `unfiltered` says why it may still make all system calls; it is empty where it may not.
    """

    cpu_s: float
    unfiltered: str


class Decoded(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The slot holds height × width × 3 bytes of pixels, then height × width of alpha, if any, then the profile.

    A process that is `worn` asks to be replaced: it cannot give back what a file took.
    """

    cpu_s: float
    worn: bool
    height: _Length
    width: _Length
    has_alpha: bool
    icc_bytes: Annotated[int, msgspec.Meta(ge=0, le=MAX_PROFILE_BYTES)]
    dpi: tuple[float, float] | None
    warnings: Annotated[tuple[ImageWarning, ...], msgspec.Meta(max_length=MAX_WARNINGS)]

    @property
    def area(self) -> int:
        return self.height * self.width


class Refused(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The file cannot be decoded. `error` is the name of a class; `worn` is as in `Decoded`."""

    cpu_s: float
    worn: bool
    error: str
    message: Annotated[str, msgspec.Meta(max_length=MAX_MESSAGE_CHARACTERS)]

    def to_error(self) -> Poison:
        return _ERRORS.get(self.error, UnreadableImage)(self.message)


class Converted(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Whether the colours are converted: not every profile can be written to. `worn` is as in `Decoded`."""

    cpu_s: float
    worn: bool
    done: bool


Request: TypeAlias = File | Colours
Reply: TypeAlias = Ready | Decoded | Converted | Refused

_encoder = msgspec.msgpack.Encoder()
_request_decoder = msgspec.msgpack.Decoder(Request)
_reply_decoder = msgspec.msgpack.Decoder(Reply)


class BadReply(Exception):
    """A decoder answers with something that is no answer to its request."""


def connect() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection that keeps packets whole, so that nobody ever waits for the rest of one."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(connection: socket.socket, message: Request | Reply) -> None:
    connection.send(_encoder.encode(message))


def receive_request(connection: socket.socket) -> Request:
    """Raises EOFError when the worker has closed the connection, or is gone."""
    packet = connection.recv(PACKET_BYTES)
    if not packet:
        raise EOFError
    request: Request = _request_decoder.decode(packet)
    return request


def receive_reply(connection: socket.socket, timeout_s: float) -> Reply:
    """Raises TimeoutError, EOFError or ConnectionError when the process has ended, or BadReply."""
    connection.settimeout(timeout_s)
    packet = connection.recv(PACKET_BYTES)
    if not packet:
        raise EOFError
    try:
        reply: Reply = _reply_decoder.decode(packet)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadReply(f"{error}") from error
    if isinstance(reply, Decoded) and reply.dpi and not all(0 < x < _MOST_DPI for x in reply.dpi):
        raise BadReply(f"a resolution of {reply.dpi}")
    return reply


def describe(image: Image, cpu_s: float) -> Decoded:
    """Describe a decoded image, whose arrays and profile lie in the slot, within the limits of a reply."""
    notes = [ImageWarning(warning.code, shortened(warning.message)) for warning in image.warnings[:MAX_WARNINGS]]
    icc_bytes = len(image.icc or b"")
    return Decoded(cpu_s, False, image.height, image.width, image.alpha is not None, icc_bytes, image.dpi, tuple(notes))


def refuse(error: Poison, cpu_s: float) -> Refused:
    name = next((name for name, known in _ERRORS.items() if type(error) is known), UnreadableImage.__name__)
    return Refused(cpu_s, False, name, shortened(str(error)))


def out_of_memory(name: str, memory_bytes: int) -> str:
    return (
        f"decoding this {name} takes more memory than a picture of its size needs ({memory_bytes / 1e6:.0f} MB): "
        "save it again with another program"
    )


def shortened(message: str) -> str:
    """Return at most MAX_MESSAGE_CHARACTERS of a message. What cannot be encoded becomes a question mark."""
    return message[:MAX_MESSAGE_CHARACTERS].encode(errors="replace").decode()
