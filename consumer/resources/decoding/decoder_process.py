"""The main program of a decoder process: receive a request, decode into the shared slot, describe what lies there.

It imports the decoders and little else of the worker, so that it starts quickly and stays small.
"""

from __future__ import annotations

import gc
import logging
import mmap
import re
import signal
import socket
import sys
import time
import warnings
from dataclasses import dataclass

import msgspec
import numpy as np

from consumer.resources.allocator import keep_freed_memory, trim_memory
from consumer.resources.decoding.known_pictures import check_decoders
from consumer.resources.decoding.protocol import (
    Colours,
    Converted,
    Decoded,
    Ready,
    Refused,
    Request,
    describe,
    out_of_memory,
    receive_request,
    refuse,
    send,
)
from consumer.resources.decoding.restrictions import MemoryLimit, private_bytes, restrict
from consumer.resources.decoding.system_calls import forbid_system_calls
from cutstream.causes import causes
from cutstream.errors import Poison, UnreadableImage
from cutstream.images import Image
from cutstream.images.colour import from_srgb
from cutstream.images.decode import decode
from cutstream.images.decoders.failures import DecoderOutOfMemory
from cutstream.images.memory import PROCESS_BYTES

ORPHAN_TIMEOUTS = 2  # the parent kills after one time-out; without a parent the process ends itself after two
KEPT_BYTES = 64_000_000  # a process that holds more when a file is done gives it back to the system, or is replaced
KEPT_SPACE_BYTES = 256_000_000  # the same for address space, of which the allocator keeps up to 100 MB unused
_CONVERTED_PIXELS = 65_536

_NO_MEMORY = re.compile(r"(out of|insufficient) memory|(unable|cannot) (to )?allocate", re.IGNORECASE)


def main() -> None:
    connection_fd, slot_fd, slot_bytes, most_bytes = (int(argument) for argument in sys.argv[1:5])
    timeout_s = float(sys.argv[5])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides, by closing the connection
    warnings.simplefilter("ignore")  # damage that matters raises an error
    logging.disable()  # Pillow's remarks on lesser damage do not belong in the log
    keep_freed_memory()
    restrict()
    check_decoders()
    gc.freeze()  # nothing that is loaded now has to be looked at again
    with socket.socket(fileno=connection_fd) as connection, mmap.mmap(slot_fd, slot_bytes) as slot:
        limit = MemoryLimit(PROCESS_BYTES, KEPT_SPACE_BYTES, most_bytes)
        wear = Wear(limit, private_bytes())
        unfiltered = forbid_system_calls()
        check_decoders()  # once more: the first time loaded what the libraries load when they are used
        try:
            send(connection, Ready(time.process_time(), unfiltered))
            while True:
                request = receive_request(connection)
                signal.setitimer(signal.ITIMER_REAL, ORPHAN_TIMEOUTS * timeout_s)
                send(connection, _serve(slot, request, limit, wear))
                signal.setitimer(signal.ITIMER_REAL, 0)
        except (EOFError, ConnectionError):  # the parent closed the pool, or is gone
            return


@dataclass(frozen=True)
class Wear:
    """What the process still holds when a file is done.

    libvips' threads hold buffers of rows after a failure for lack of memory, hundreds of megabytes if rows are long.
    Nothing makes them give these back soon.
    """

    limit: MemoryLimit
    private_at_start: int

    def trimmed(self) -> bool:
        """Give back what is free. Return whether too much is still held, so that the process has to be replaced."""
        if self._is_small():
            return False
        gc.collect()  # an exception may hold arrays in a cycle
        trim_memory()
        return not self._is_small()

    def _is_small(self) -> bool:
        held = min(private_bytes() - self.private_at_start, self.limit.kept)  # kernels count what is resident loosely
        return held <= KEPT_BYTES and self.limit.kept <= KEPT_SPACE_BYTES


def _serve(slot: mmap.mmap, request: Request, limit: MemoryLimit, wear: Wear) -> Decoded | Converted | Refused:
    reply = _carry_out(slot, request, limit)  # the picture's own memory is free again from here on
    return msgspec.structs.replace(reply, worn=wear.trimmed())


def _carry_out(slot: mmap.mmap, request: Request, limit: MemoryLimit) -> Decoded | Converted | Refused:
    try:
        with limit.of(request.memory_bytes):
            if isinstance(request, Colours):
                return Converted(time.process_time(), False, _convert(slot, request))
            image = decode(slot[: request.size], request.header)
    except Exception as error:
        return refuse(_named(error, request), time.process_time())
    _fill(slot, image)
    return describe(image, time.process_time())


def _convert(slot: mmap.mmap, colours: Colours) -> bool:
    """Convert colours in place, a few at a time. Return whether the profile can be written to."""
    size = 3 * colours.pixels
    icc = slot[size : size + colours.icc_bytes]
    pixels = np.frombuffer(slot, np.uint8, size).reshape(1, -1, 3)
    for at in range(0, colours.pixels, _CONVERTED_PIXELS):
        block = pixels[:, at : at + _CONVERTED_PIXELS]
        converted = from_srgb(block, icc)
        if converted is None:
            return False
        block[...] = converted
    return True


def _named(error: Exception, request: Request) -> Poison:
    """Return the error with which the photo fails. A decoder goes on after every exception."""
    name = request.name
    if any(map(_lacks_memory, causes(error))):
        return UnreadableImage(out_of_memory(name, request.memory_bytes))
    if isinstance(error, Poison):
        return error
    return UnreadableImage(f"the {name} is truncated or damaged: {type(error).__name__}: {error}")


def _lacks_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | DecoderOutOfMemory) or _NO_MEMORY.search(str(error)) is not None


def _fill(slot: mmap.mmap, image: Image) -> None:
    planes = [image.pixels] if image.alpha is None else [image.pixels, image.alpha]
    at = 0
    for plane in planes:
        np.frombuffer(slot, np.uint8, plane.size, at).reshape(plane.shape)[...] = plane
        at += plane.size
    if image.icc:
        slot[at : at + len(image.icc)] = image.icc


if __name__ == "__main__":
    main()
