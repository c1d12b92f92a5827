"""What a training does, as data: `recipe.toml` is the one that cutnet is trained by."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cutstream.errors import ConfigurationError

SHIPPED = Path(__file__).with_name("recipe.toml")


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Photos of `folder`, or those whose names begin with one of `subsets`, and how often they are drawn.

    `share` is a weight against the other sources'. `closer` is the share of draws that come near, down to a head.
    `living`: people or animals. Placed into a photo of other sources they are its subject, and its things are not.
    `masks` = false: the masks there show something else than the subject, and only the teacher's mattes serve.
    """

    name: str
    folder: str
    subsets: tuple[str, ...] = ("",)
    share: float
    closer: float = 0.15
    living: bool = False
    masks: bool = True


class Phase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of training at one input size, px a side, a multiple of 32."""

    size: int
    samples: int
    batch: int


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The learning rate rises over `warm_up` samples and then falls to nothing along half a cosine.

    `composites` and `panoramas` are the shares of samples that are several photos put on or beside each other.
    """

    seed: int
    learning_rate: float
    encoder_rate: float
    weight_decay: float
    warm_up: int
    average: float
    composites: float
    panoramas: float
    sources: list[Source]
    phases: list[Phase]

    @property
    def samples(self) -> int:
        return sum(phase.samples for phase in self.phases)


def read(file: Path) -> Recipe:
    """Raises ConfigurationError that names the field."""
    try:
        return msgspec.toml.decode(file.read_bytes(), type=Recipe)
    except (OSError, msgspec.DecodeError) as exc:
        raise ConfigurationError(f"recipe {file}: {exc}") from exc
