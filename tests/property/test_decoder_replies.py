"""Whatever a decoder process says, the worker gets a picture of the expected size or one named error."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.resources.decoding import protocol
from consumer.resources.decoding.decoder import Decoder, Limits
from consumer.resources.decoding.output import LineAllowance
from consumer.resources.decoding.protocol import BadReply, Decoded, Refused
from cutstream.clock import ManualClock
from cutstream.errors import Poison
from cutstream.images.decoders.raster import MAX_PROFILE_BYTES
from cutstream.images.header import Header

HEADER = Header("png", 40, 30)
GOOD = ["Decoded", 0.1, False, 30, 40, True, 0, [72.0, 72.0], [{"code": "damaged_data", "message": "cut"}]]

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
keys = st.text(max_size=3) | st.integers(0, 9)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4))


@st.composite
def nearly_good(draw: st.DrawFn) -> list[Any]:
    """A right reply in which a few fields are something else."""
    reply = list(GOOD)
    for at in draw(st.sets(st.integers(0, len(reply) - 1), max_size=3)):
        reply[at] = draw(values | st.sampled_from([0, 1, 2**31, MAX_PROFILE_BYTES, 1e308, "Refused", "Ready"]))
    return reply[: draw(st.integers(0, len(reply)))] if draw(st.booleans()) else reply


packets = st.binary(min_size=1) | (values | nearly_good()).map(msgspec.msgpack.encode)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """A decoder whose process is this test."""
    limits = Limits(4 * HEADER.pixels + MAX_PROFILE_BYTES, 1, 1.0)
    decoder = Decoder(limits, LineAllowance(ManualClock(), lambda lines: None))
    decoder._slot = decoder._make_slot()
    yield decoder
    decoder.close()


@given(packets)
@example(msgspec.msgpack.encode(GOOD))
@example(msgspec.msgpack.encode(["Refused", 0.0, False, "SystemExit", "no class of ours"]))
@example(msgspec.msgpack.encode([*GOOD[:7], [float("nan"), 1.0], []]))
@example(msgspec.msgpack.encode([*GOOD[:3], 2**31, 2**31, *GOOD[5:]]))
def test_a_reply_is_a_picture_that_fits_or_a_named_error(decoder: Decoder, packet: bytes) -> None:
    ours, theirs = protocol.connect()
    with ours, theirs:
        theirs.send(packet)
        try:
            image = decoder._image(protocol.receive_reply(ours, 1.0), HEADER)
        except (BadReply, Poison):
            return
    assert 0 < image.height * image.width <= HEADER.pixels
    assert image.pixels.shape == (image.height, image.width, 3)
    assert image.alpha is None or image.alpha.shape == image.pixels.shape[:2]
    assert len(image.icc or b"") <= MAX_PROFILE_BYTES
    assert image.dpi is None or all(0 < value < float("inf") for value in image.dpi)
    assert all(isinstance(warning.message, str) for warning in image.warnings)


def test_the_good_reply_is_one() -> None:
    reply = msgspec.msgpack.decode(msgspec.msgpack.encode(GOOD), type=Decoded | Refused)
    assert isinstance(reply, Decoded)


def test_descriptors_that_come_with_a_reply_are_not_taken(decoder: Decoder) -> None:
    ours, theirs = protocol.connect()
    with ours, theirs, open(os.devnull) as extra:
        before = os.listdir("/proc/self/fd")
        socket.send_fds(theirs, [msgspec.msgpack.encode(GOOD)], [extra.fileno()])
        decoder._image(protocol.receive_reply(ours, 1.0), HEADER)
        assert os.listdir("/proc/self/fd") == before
