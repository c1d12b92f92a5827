"""The catalogue of networks: what each one is, what it takes and gives, and where its weights are published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from cutstream.errors import ConfigurationError, InvalidOption
from cutstream.settings import ModelSettings, about
from export.profiles import glue_file, network_file, networks_of

SHIPPED = Path(__file__).with_name("catalogue.toml")


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One published file of weights. A model may list several; any of them serves.

    `origin` is an address or a package (`export/weights/origins.py`). In a package, `paths` are the pieces of the
    file, in order.
    """

    file: str
    bytes: int
    sha256: str
    origin: str = ""
    paths: tuple[str, ...] = ()
    note: str = ""


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the catalogue: a network as published, and the glue that makes it a step. Fields are TOML keys.

    * `step`: the folder of `model_repository/` that the network can fill; by default the one with the model's name.
    * `normalise`, `activate`: the glue graphs before and after the network. An entry without glue ships with the
      product: its weights are a whole graph in git, in `model_repository/` or `export/glue/onnx/`.
    * `gives`: the outputs that `activate` takes; by default the first one.
    * `takes`: further float inputs of the network after the image, with their shapes. The step has them, too.
    * `constants`: inputs with values that never change.
    * `min_sure_share`: how sure the network is of any subject, if somebody has measured it: of the matte above 50, the
      share above 240. A photo with less has no subject. It counts where an ensemble's matte is the network's own.
    * `one_at_a_time`: the export accepts one image only, or more would not fit into memory.
    * `family`: the module and variant of `export/networks/`, as `module:variant`, from which `cutstream export` makes
      the ONNX file. It is for networks that nobody publishes as ONNX.
    """

    name: str
    title: str
    source: str
    licence: str
    width: int
    height: int
    normalisation: str
    outputs: str
    step: str = ""
    normalise: str = ""
    activate: str = ""
    gives: tuple[str, ...] = ()
    min_sure_share: float | None = None
    one_at_a_time: bool = False
    family: str = ""
    constants: dict[str, list[Any]] = {}
    takes: dict[str, tuple[int, ...]] = {}
    weights: tuple[Weights, ...] = ()

    @property
    def served_step(self) -> str:
        return self.step or self.name

    @property
    def shipped(self) -> bool:
        return not self.normalise


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    models: tuple[Model, ...]


def read_catalogue(settings: ModelSettings) -> tuple[Model, ...]:
    """Read the catalogue of the settings, or the shipped one. Raise ConfigurationError if it cannot be read."""
    path = settings.catalogue or SHIPPED
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Catalogue).models
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as exc:
        problem = f"{path} is not a catalogue like export/weights/catalogue.toml: {exc}"
        raise ConfigurationError(about("models", "catalogue", problem)) from exc


def find_model(name: str, settings: ModelSettings) -> Model:
    """Return the model of that name. Raises InvalidOption if the catalogue has none."""
    models = read_catalogue(settings)
    for model in models:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in models)
    raise InvalidOption(f"the catalogue has no model {name!r}; choose from {known}")


def require_family(model: Model) -> None:
    """Raise InvalidOption for a model that is published as ONNX and so has no torch family."""
    if not model.family:
        raise InvalidOption(
            f"{model.name} is published as ONNX and needs no export: fetch it with `cutstream models pull {model.name}`"
        )


def network_for(step: str, settings: ModelSettings) -> Model:
    """Return the model that fills the step: the one in CUTSTREAM_MODELS__NETWORK_OVERRIDES, or the catalogue's first.

    Raises ConfigurationError if no model can fill the step, or if the overrides name an unknown model.
    """
    candidates = [model for model in read_catalogue(settings) if model.served_step == step]
    if not candidates:
        raise ConfigurationError(f"the catalogue has no network for step {step!r} of model_repository/")
    try:
        overrides = [find_model(name, settings).name for name in settings.network_overrides]
    except InvalidOption as exc:
        raise ConfigurationError(about("models", "network_overrides", str(exc))) from exc
    return next((model for model in candidates if model.name in overrides), candidates[0])


def select_models(settings: ModelSettings, names: Sequence[str] = ()) -> list[Model]:
    """Return the named models, or, without names, those that the profiles of the settings need."""
    if names:
        return [find_model(name, settings) for name in names]
    return [network_for(step, settings) for step in networks_of(settings.profiles)]


def committed_file(model: Model) -> Path:
    """Return the path of a shipped model's graph in git."""
    return path if (path := glue_file(model.name)).is_file() else network_file(model.name)
