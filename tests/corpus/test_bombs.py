"""Every bomb is decoded or refused by name, in time and within the memory reserved for it, and the decoder lives on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.corpus.bombs import violations
from tests.corpus.decoding import MeasuredDecoder, measured_decoder
from tests.support.pictures.bombs import Bomb, bombs

BOMBS = list(bombs())


@pytest.fixture(scope="module")
def decoder() -> Iterator[MeasuredDecoder]:
    with measured_decoder() as decoder:
        yield decoder


@pytest.mark.parametrize("bomb", BOMBS, ids=[bomb.name for bomb in BOMBS])
def test_a_bomb_harms_nobody(decoder: MeasuredDecoder, bomb: Bomb) -> None:
    outcome = decoder.decode(bomb.build())
    assert violations(bomb, outcome) == (), outcome.message
    assert decoder.restarts == 0
