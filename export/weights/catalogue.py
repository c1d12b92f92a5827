"""Where each net's weights come from, and getting them: from the mirror folder by SHA-256, then the network."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from cutstream.errors import ConfigurationError, WeightsMissing
from cutstream.settings import ModelSettings
from export.repository.profiles import all_profiles, glue_file, network_file, networks_of
from export.weights.origins import CHUNK, chunks

SHIPPED = Path(__file__).with_name("catalogue.toml")


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file that serves; several may be equally good.

    `origin` is where it is published (`export/weights/origins.py`): an address, or a package in which it is the file
    `paths`, or lies in pieces.
    """

    file: str
    bytes: int
    sha256: str
    origin: str = ""
    paths: tuple[str, ...] = ()
    note: str = ""


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A net as published. `normalise` and `activate` are the glue graphs that bring it to pixels in, and to what the
    product calls it out. `step` is the folder of `model_repository/` that it can fill, unset the one of its own name.

    `gives` names the outputs that `activate` takes, the first if empty; `constants` are inputs that never change;
    `takes`, by their shapes, are float inputs of the net behind the picture, which the step gets under these names;
    `one_at_a_time`: the export cannot take more pictures, or no machine has the memory for them. `family` is the module
    and variant of `export/networks/` that `cutstream export` makes the ONNX file with, where none is published. A net
    without glue is ours: its weights are a whole graph, which is in git: in `model_repository/`, or a step of
    `export/glue/onnx/`.
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
    one_at_a_time: bool = False
    family: str = ""
    constants: dict[str, list[Any]] = {}
    takes: dict[str, tuple[int, ...]] = {}
    weights: tuple[Weights, ...] = ()

    @property
    def fills(self) -> str:
        return self.step or self.name

    @property
    def shipped(self) -> bool:
        return not self.normalise


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    models: tuple[Model, ...]


@dataclass(frozen=True)
class Found:
    """Weights at hand: in git, in the store, or in the mirror under whatever name."""

    where: Literal["git", "store", "mirror"]
    path: Path
    weights: Weights


@dataclass(frozen=True)
class Entry:
    """One row of `cutstream models list`."""

    name: str
    title: str
    licence: str
    source: str
    profiles: tuple[str, ...]
    found: Found | None

    @property
    def present(self) -> bool:
        return self.found is not None


def catalogue(settings: ModelSettings) -> tuple[Model, ...]:
    path = settings.catalogue or SHIPPED
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Catalogue).models
    except (OSError, msgspec.MsgspecError) as exc:
        raise ConfigurationError(
            f"CUTSTREAM_MODELS__CATALOGUE: {path} is not a catalogue like export/weights/catalogue.toml: {exc}"
        ) from exc


def find_model(name: str, settings: ModelSettings) -> Model:
    models = catalogue(settings)
    for model in models:
        if model.name == name:
            return model
    raise ConfigurationError(f"no model is called {name!r}; the catalogue has {', '.join(m.name for m in models)}")


def require_family(model: Model) -> None:
    """Raises ConfigurationError for a model that is not made of a net of torch."""
    if not model.family:
        raise ConfigurationError(f"{model.name} is published as ONNX: `cutstream models pull {model.name}` gets it")


def net_for(step: str, settings: ModelSettings) -> Model:
    """The net of CUTSTREAM_MODELS__NETWORK_OVERRIDES that fills the step, else the first of the catalogue that does."""
    candidates = [model for model in catalogue(settings) if model.fills == step]
    if not candidates:
        raise ConfigurationError(f"the catalogue has no net for step {step!r} of model_repository/")
    named = [find_model(name, settings).name for name in settings.network_overrides]
    return next((model for model in candidates if model.name in named), candidates[0])


def status(settings: ModelSettings) -> list[Entry]:
    return [_entry(model, settings) for model in catalogue(settings)]


def chosen(settings: ModelSettings, names: Sequence[str] = ()) -> list[Model]:
    """The named models; without names, those that the settings' profiles need."""
    if names:
        return [find_model(name, settings) for name in names]
    return [net_for(step, settings) for step in networks_of(settings.profiles)]


def pull(settings: ModelSettings, names: Sequence[str] = ()) -> Iterator[Path]:
    """Puts each model's weights into the store: those already there, the mirror's, or the network's, in this order."""
    for model in chosen(settings, names):
        yield require(model, settings) if find_weights(model, settings) else _fetch(model, settings)


def verify(settings: ModelSettings, names: Sequence[str] = ()) -> Iterator[Path]:
    """Reads the stored weights anew; WeightsMissing where they are absent or damaged."""
    for model in chosen(settings, names):
        yield _verified(model, settings)


def find_weights(model: Model, settings: ModelSettings) -> Found | None:
    """The store's, as they were when they were put there (`verify` reads them anew), or the mirror's."""
    return next(_at_hand(model, settings), None)


def require(model: Model, settings: ModelSettings) -> Path:
    """The stored weights, taken over from the mirror if need be; never asks the network."""
    found = find_weights(model, settings)
    if found is None:
        raise WeightsMissing(_missing(model, settings))
    if found.where != "mirror":
        return found.path
    with found.path.open("rb") as source:
        return _keep(iter(partial(source.read, CHUNK), b""), found.weights, settings.store)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _entry(model: Model, settings: ModelSettings) -> Entry:
    profiles = tuple(profile for profile in all_profiles() if model.fills in networks_of([profile]))
    return Entry(model.name, model.title, model.licence, model.source, profiles, find_weights(model, settings))


def _at_hand(model: Model, settings: ModelSettings) -> Iterator[Found]:
    if model.shipped and (path := in_git(model)).is_file():
        yield Found("git", path, model.weights[0])
    for weights in model.weights:
        if (path := _place(weights, settings.store)).is_file():
            yield Found("store", path, weights)
    if model.family:
        for path in settings.store.glob(exported_file(model.name, "*")):
            digest = path.suffixes[-2].removeprefix(".")
            yield Found("store", path, Weights(file=path.name, bytes=path.stat().st_size, sha256=digest))
    # The size comes first, so that a large mirror is not read through.
    mirrored = sorted(settings.mirror.rglob("*")) if settings.mirror else []
    for weights in model.weights:
        for path in mirrored:
            if path.is_file() and path.stat().st_size == weights.bytes and sha256(path) == weights.sha256:
                yield Found("mirror", path, weights)


def in_git(model: Model) -> Path:
    """The whole graph of a shipped model."""
    return path if (path := glue_file(model.name)).is_file() else network_file(model.name)


def exported_file(name: str, digest: str) -> str:
    """In the store, of a net of a torch family."""
    return f"{name}.{digest}.onnx"


def _place(weights: Weights, store: Path) -> Path:
    return store / f"{weights.sha256}.onnx"


def _fetch(model: Model, settings: ModelSettings) -> Path:
    refusals = []
    for weights in model.weights:
        if weights.origin:
            try:
                return _download(weights, settings.store)
            except (OSError, WeightsMissing) as exc:
                refusals.append(f"{weights.origin}: {exc}")
    raise WeightsMissing("\n".join([_missing(model, settings), *refusals]))


def _verified(model: Model, settings: ModelSettings) -> Path:
    stored = next((found for found in _at_hand(model, settings) if found.where != "mirror"), None)
    if stored is None:
        raise WeightsMissing(_missing(model, settings))
    if sha256(stored.path) != stored.weights.sha256:
        if stored.where == "git":
            raise WeightsMissing(
                f"{stored.path} is not the file that the catalogue names: `git checkout {stored.path}`, or, after a "
                "training, put its size and SHA-256 into the catalogue"
            )
        raise WeightsMissing(f"{stored.path} is damaged: delete it and run `{_command(model)}`")
    return stored.path


def _download(weights: Weights, store: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="cutstream-") as folder:
        return _keep(chunks(weights.origin, weights.paths, Path(folder)), weights, store)


def _keep(data: Iterable[bytes], weights: Weights, store: Path) -> Path:
    """Copies into the store; the file gets its name only once every byte is known to be right."""
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store) as folder:
        part = Path(folder) / weights.file
        with part.open("wb") as copy:
            for chunk in data:
                copy.write(chunk)
                if copy.tell() > weights.bytes:
                    break  # the digest below refuses it; a wrong server shall not fill the disk first
        if (came := sha256(part)) != weights.sha256:
            raise WeightsMissing(f"{weights.file} came with SHA-256 {came}, not {weights.sha256}")
        return part.replace(_place(weights, store))


def _missing(model: Model, settings: ModelSettings) -> str:
    if model.shipped:
        return f"{in_git(model)} is missing from the checkout: `git checkout {in_git(model)}`"
    if model.family:
        return (
            f"{model.title} has no exported graph in {settings.store}: `{_command(model)}` makes it of the checkpoint "
            f"that {model.source} publishes.{_instead(model, settings)}"
        )
    acceptable = " or ".join(f"{weights.file} (SHA-256 {weights.sha256})" for weights in model.weights)
    mirror = f"{settings.mirror} does not hold them" if settings.mirror else "CUTSTREAM_MODELS__MIRROR is not set"
    return (
        f"{model.title} has no weights in {settings.store}, and {mirror}. "
        f"`cutstream models pull {model.name}` fetches them from the network; without one, put {acceptable} "
        f"into a folder and name it in CUTSTREAM_MODELS__MIRROR.{_instead(model, settings)}"
    )


def _command(model: Model) -> str:
    return f"cutstream export {model.name} --weights FILE" if model.family else f"cutstream models pull {model.name}"


def _instead(model: Model, settings: ModelSettings) -> str:
    others = [other.name for other in catalogue(settings) if other.fills == model.fills and other.name != model.name]
    return (
        f" CUTSTREAM_MODELS__NETWORK_OVERRIDES names another net for step {model.fills}: {', '.join(others)}."
        if others
        else ""
    )
