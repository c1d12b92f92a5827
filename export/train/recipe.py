"""The parameters of a training. cutnet is trained by `recipe.toml`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cutstream.errors import ConfigurationError

SHIPPED = Path(__file__).with_name("recipe.toml")


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The photos of `folder` whose names begin with one of `subsets`, and how they are used.

    * `share`: how often they are drawn, relative to the other sources.
    * `closer`: the share of draws with a close crop, down to a head.
    * `living`: people or animals. In a photo of things, they are the subject and the things are background.
    * `masks`: false if the masks show something else than the subject; then only the teacher's mattes are used.
    """

    name: str
    folder: str
    subsets: tuple[str, ...] = ("",)
    share: float
    closer: float = 0.15
    living: bool = False
    masks: bool = True


class Phase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the training at one input size, px, a multiple of 32."""

    size: int
    samples: int
    batch: int


class TrainingRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All parameters of a training.

    The learning rate rises over `warm_up` samples and then falls to 0 along half a cosine. `composites` and
    `panoramas` are the shares of samples that combine several photos, on top of or beside each other; `empty` is the
    share of those without a subject.
    """

    seed: int
    learning_rate: float
    encoder_rate: float
    weight_decay: float
    warm_up: int
    average: float
    composites: float
    panoramas: float
    empty: float = 0.0
    sources: list[Source]
    phases: list[Phase]

    @property
    def samples(self) -> int:
        return sum(phase.samples for phase in self.phases)


def read_recipe(file: Path) -> TrainingRecipe:
    """Read a recipe. Raise ConfigurationError with the name of the wrong field."""
    try:
        return msgspec.toml.decode(file.read_bytes(), type=TrainingRecipe)
    except (OSError, msgspec.DecodeError) as exc:
        raise ConfigurationError(f"recipe {file}: {exc}") from exc
