"""A decoder process that does what its file says: the file is a Python program.

So it can do everything that a decoder can do that a hostile file has taken over. The program finds `header`, `notes`
(texts that come back as the image's warnings), `slot` and `connection` (file descriptors) and `memory` (the slot);
`image` is what it decodes. Only modules that are loaded already can be imported.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest

from consumer.resources.decoding import decoder
from cutstream.images.header import Header

HEADER = Header("png", 40, 30)

PROGRAM = """
import fcntl, subprocess, sys
import numpy as np
from consumer.resources.decoding import decoder_process
from cutstream.images import Image, ImageWarning

real, carry_out, held = decoder_process.decode, decoder_process._carry_out, {}

def remember_slot(slot, request, limit):
    held["memory"] = slot
    return carry_out(slot, request, limit)

def obey(data, header):
    if header.format != "png":
        return real(data, header)
    image = Image(np.full((header.height, header.width, 3), 7, np.uint8), format="png")
    scope = {"header": header, "image": image, "notes": [], "Image": Image, "np": np,
             "connection": int(sys.argv[1]), "slot": int(sys.argv[2])} | held
    exec(data, scope)
    image = scope["image"]
    notes = tuple(ImageWarning("damaged_data", str(note)) for note in scope["notes"])
    return Image(image.pixels, image.alpha, image.format, image.icc, image.dpi, image.warnings + notes)

decoder_process.decode, decoder_process._carry_out = obey, remember_slot
decoder_process.main()
"""


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every decoder process that starts from now on obey."""
    run(monkeypatch, PROGRAM)


def run(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let every decoder process that starts from now on run this Python program."""
    monkeypatch.setattr(decoder, "COMMAND", (sys.executable, "-c", program))


def wait_until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
