"""Damage files at random, the same way for the same seed: as disks, networks, programs and strangers do."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.corpus.originals import BUILDERS, original
from tests.corpus.parts import Part, parts

EXTREMES = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
ENDS = {"jpeg": b"\xff\xd9", "png": b"\0\0\0\0IEND\xaeB`\x82", "gif": b"\0;", "jpeg2000": b"\xff\xd9"}
CUTS = frozenset({"cut", "cut_with_end"})


@dataclass(frozen=True)
class Mutant:
    """`--seed SEED --only NUMBER` makes the same one again. `kinds` names what was done, in order."""

    seed: int
    number: int
    name: str
    kinds: tuple[str, ...]
    data: bytes

    @property
    def format(self) -> str:
        return self.name.split("/")[0]

    @property
    def was_only_cut(self) -> bool:
        return set(self.kinds) <= CUTS


def mutant(seed: int, number: int) -> Mutant:
    random = Random(f"{seed}/{number}")
    name = list(BUILDERS)[number % len(BUILDERS)]  # all in turn
    data = original(name)
    kinds: list[str] = []
    wanted = 1 if random.random() < 0.7 else random.randint(2, 4)
    while len(kinds) < wanted:
        kind = random.choice(list(MUTATIONS))
        damaged = MUTATIONS[kind](data, name, random)
        if damaged and damaged != data:
            kinds.append(kind)
            data = damaged
    if random.random() < 0.5 and name.startswith("png/") and kinds:
        data = with_checksums(data)
        kinds.append("checksums")
    return Mutant(seed, number, name, tuple(kinds), data)


def _format(name: str) -> str:
    return name.split("/")[0]


def _flips(data: bytes, name: str, random: Random) -> bytes:
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    return bytes(out)


def _bytes(data: bytes, name: str, random: Random) -> bytes:
    out = bytearray(data)
    for _ in range(random.choice((1, 3, 10))):
        out[random.randrange(len(out))] = random.randrange(256)
    return bytes(out)


def _flips_in_head(data: bytes, name: str, random: Random) -> bytes:
    out = bytearray(data)
    for _ in range(random.choice((1, 2, 4))):
        out[random.randrange(min(400, len(out)))] = random.randrange(256)
    return bytes(out)


def _run(data: bytes, name: str, random: Random) -> bytes:
    size = random.choice((4, 16, 100, 512, 4096, 20_000))
    at = random.randrange(len(data))
    filling = random.choice((b"\0", b"\xff", bytes([random.randrange(256)])))
    return data[:at] + filling * min(size, len(data) - at) + data[at + size :]


def _cut(data: bytes, name: str, random: Random) -> bytes:
    return data[: max(1, _place_of_cut(data, random))]


def _cut_with_end(data: bytes, name: str, random: Random) -> bytes:
    return _cut(data, name, random) + ENDS.get(_format(name), b"")


def _place_of_cut(data: bytes, random: Random) -> int:
    return random.choice(
        (random.randrange(len(data)), int(len(data) * random.uniform(0.9, 1)), len(data) - random.randint(1, 40))
    )


def _insert(data: bytes, name: str, random: Random) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + random.randbytes(random.choice((1, 2, 4, 50, 1000))) + data[at:]


def _remove(data: bytes, name: str, random: Random) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + data[at + random.choice((1, 2, 4, 50, 1000)) :]


def _length(data: bytes, name: str, random: Random) -> bytes:
    """Change the length field of a part: by a little, or to an extreme."""
    with_length = [part for part in _parts(data, name) if part.length_bytes]
    if not with_length:
        return data
    part = random.choice(with_length)
    old = int.from_bytes(data[part.length_at : part.length_at + part.length_bytes], "big")
    new = random.choice((old + random.randint(-9, 9), random.choice(EXTREMES))) % 256**part.length_bytes
    return data[: part.length_at] + new.to_bytes(part.length_bytes, "big") + data[part.length_at + part.length_bytes :]


def _shuffle(data: bytes, name: str, random: Random) -> bytes:
    """Swap two parts, repeat one, or leave one out."""
    found = _parts(data, name)
    if len(found) < 2:
        return data
    one, two = sorted(random.sample(found, 2))
    first, second = data[one.start : one.end], data[two.start : two.end]
    match random.choice(("swap", "repeat", "drop")):
        case "swap" if one.end <= two.start:
            return data[: one.start] + second + data[one.end : two.start] + first + data[two.end :]
        case "repeat":
            return data[: one.end] + first * random.choice((1, 3, 200)) + data[one.end :]
        case _:
            return data[: one.start] + data[one.end :]


def _part_bytes(data: bytes, name: str, random: Random) -> bytes:
    """Damage the first bytes of a part, where its fields are."""
    found = _parts(data, name)
    if not found:
        return data
    part = random.choice(found)
    at = random.randrange(part.start, min(part.end, part.start + 24, len(data)))
    return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]


def _extreme(data: bytes, name: str, random: Random) -> bytes:
    """Set a field near the start to an extreme, in either byte order."""
    size = random.choice((1, 2, 4))
    at = random.randrange(min(120, len(data) - size))
    value = random.choice(EXTREMES) % 256**size
    return data[:at] + value.to_bytes(size, random.choice(("big", "little"))) + data[at + size :]


def _splice(data: bytes, name: str, random: Random) -> bytes:
    """Continue with another file of the format."""
    others = [other for other in BUILDERS if _format(other) == _format(name)]
    other = original(random.choice(others))
    at = random.randrange(len(data))
    return data[:at] + other[min(len(other) - 1, max(0, at + random.randint(-20, 20))) :]


def _parts(data: bytes, name: str) -> list[Part]:
    return parts(data, _format(name))


def with_checksums(data: bytes) -> bytes:
    """Mend the checksums of PNG chunks, so that damage reaches what lies behind them."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        end = at + 8 + int.from_bytes(out[at : at + 4], "big")
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(bytes(out[at + 4 : end])).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


MUTATIONS: dict[str, Callable[[bytes, str, Random], bytes]] = {
    "flips": _flips,
    "bytes": _bytes,
    "flips_in_head": _flips_in_head,
    "run": _run,
    "cut": _cut,
    "cut_with_end": _cut_with_end,
    "insert": _insert,
    "remove": _remove,
    "length": _length,
    "shuffle": _shuffle,
    "part_bytes": _part_bytes,
    "extreme": _extreme,
    "splice": _splice,
}
