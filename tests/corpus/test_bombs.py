"""Every bomb is decoded or refused by name, in time and within the memory reserved for it, and the decoder lives on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.corpus.bombs import violations
from tests.corpus.decoding import MeasuredDecoder, measured_decoder
from tests.corpus.originals import BUILDERS, original
from tests.support.pictures.bmp import bmp
from tests.support.pictures.bombs import Bomb, bombs

BOMBS = list(bombs())


@pytest.fixture(scope="module")
def decoder() -> Iterator[MeasuredDecoder]:
    with measured_decoder() as decoder:
        yield decoder


def test_good_photos_are_read_after_pictures_that_left_a_decoder_large(decoder: MeasuredDecoder) -> None:
    # What a decoder had kept counted towards the next file, until libde265 found no room for the stack of a thread.
    for _ in range(3):
        assert decoder.decode(bmp(bytes(460_000), 24, size=(56_800, 320))).code == "failed_to_read_image"
        assert [decoder.decode(original(name)).code for name in BUILDERS] == ["ok"] * len(BUILDERS)
    assert decoder.restarts == 0


@pytest.mark.parametrize("bomb", BOMBS, ids=[bomb.name for bomb in BOMBS])
def test_a_bomb_harms_nobody(decoder: MeasuredDecoder, bomb: Bomb) -> None:
    outcome = decoder.decode(bomb.build())
    assert violations(bomb, outcome) == (), outcome.message
    assert decoder.restarts == 0
