"""Files of weights on this machine: find them, fetch them into the store, verify them.

Weights come from git, from the store, from the mirror folder (by SHA-256), and last from the network.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from cutstream.errors import WeightsMissing
from cutstream.profiles import known_profiles
from cutstream.settings import ModelSettings
from export.profiles import networks_of
from export.weights.catalogue import Model, Weights, committed_file, read_catalogue, select_models
from export.weights.origins import CHUNK, read_chunks


@dataclass(frozen=True)
class LocalWeights:
    """Weights on this machine. In the mirror, the file may have any name."""

    location: Literal["git", "store", "mirror"]
    path: Path
    weights: Weights

    def stored_in(self, store: Path) -> Path:
        """Return where `ensure_weights` has them, or would put them."""
        return _stored_path(self.weights, store) if self.location == "mirror" else self.path


@dataclass(frozen=True)
class ModelStatus:
    """One row of `cutstream models list`. `local` is None if this machine has no weights of the model.

    `bytes` is the size of the weights, on this machine or to be downloaded. None: nobody publishes them as they are.
    """

    name: str
    title: str
    licence: str
    source: str
    profiles: tuple[str, ...]
    local: LocalWeights | None
    bytes: int | None = None

    @property
    def present(self) -> bool:
        return self.local is not None


def model_statuses(settings: ModelSettings) -> list[ModelStatus]:
    return [_status(model, settings) for model in read_catalogue(settings)]


def pull(settings: ModelSettings, names: Sequence[str] = ()) -> Iterator[Path]:
    """Put the weights of each selected model into the store, from the mirror if it has them, else from the network.

    Yields the paths. Weights that the store already has stay as they are. Raises WeightsMissing.
    """
    for model in select_models(settings, names):
        yield ensure_weights(model, settings) if find_weights(model, settings) else _fetch(model, settings)


def verify(settings: ModelSettings, names: Sequence[str] = ()) -> Iterator[Path]:
    """Compare the stored weights of each selected model with their digests.

    Yields the paths. Raises WeightsMissing where weights are absent or damaged.
    """
    for model in select_models(settings, names):
        yield _verify(model, settings)


def find_weights(model: Model, settings: ModelSettings) -> LocalWeights | None:
    """Find the model's weights on this machine. Stored files are not read here; `ensure_weights` does that."""
    return next(_local_weights(model, settings), None)


def require_weights(model: Model, settings: ModelSettings) -> LocalWeights:
    """Find the model's weights on this machine, and copy nothing. Raises WeightsMissing."""
    local = find_weights(model, settings)
    if local is None:
        raise WeightsMissing(_missing(model, settings))
    return local


def ensure_weights(model: Model, settings: ModelSettings) -> Path:
    """Return the path of the weights, after copying them from the mirror if the store lacks them.

    Never uses the network. Raises WeightsMissing, also for stored weights that were changed: to hash them takes less
    than to read them into a graph.
    """
    local = require_weights(model, settings)
    if local.location == "git":
        return local.path
    if local.location == "store":
        return _checked(local, model)
    with local.path.open("rb") as source:
        return _save(iter(partial(source.read, CHUNK), b""), local.weights, settings.store)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def exported_file(name: str, digest: str) -> str:
    """Return the name under which the store keeps the ONNX file exported from a torch family."""
    return f"{name}.{digest}.onnx"


def _status(model: Model, settings: ModelSettings) -> ModelStatus:
    profiles = tuple(profile for profile in known_profiles() if model.served_step in networks_of([profile]))
    local = find_weights(model, settings)
    size = local.weights.bytes if local else model.weights[0].bytes if model.weights else None
    return ModelStatus(model.name, model.title, model.licence, model.source, profiles, local, size)


def _local_weights(model: Model, settings: ModelSettings) -> Iterator[LocalWeights]:
    if model.shipped and (path := committed_file(model)).is_file():
        yield LocalWeights("git", path, model.weights[0])
    for weights in model.weights:
        if (path := _stored_path(weights, settings.store)).is_file():
            yield LocalWeights("store", path, weights)
    if model.family:
        for path in settings.store.glob(exported_file(model.name, "*")):
            digest = path.suffixes[-2].removeprefix(".")
            yield LocalWeights("store", path, Weights(file=path.name, bytes=path.stat().st_size, sha256=digest))
    # Compare sizes first: hashing every file of a large mirror would take too long.
    mirrored = sorted(settings.mirror.rglob("*")) if settings.mirror else []
    for weights in model.weights:
        for path in mirrored:
            if path.is_file() and path.stat().st_size == weights.bytes and sha256(path) == weights.sha256:
                yield LocalWeights("mirror", path, weights)


def _stored_path(weights: Weights, store: Path) -> Path:
    return store / f"{weights.sha256}.onnx"


def _fetch(model: Model, settings: ModelSettings) -> Path:
    failures = []
    for weights in model.weights:
        if weights.origin:
            try:
                return _download(weights, settings.store)
            except (OSError, WeightsMissing) as exc:
                failures.append(f"{weights.origin}: {exc}")
    raise WeightsMissing("\n".join([_missing(model, settings), *failures]))


def _verify(model: Model, settings: ModelSettings) -> Path:
    stored = next((local for local in _local_weights(model, settings) if local.location != "mirror"), None)
    if stored is None:
        raise WeightsMissing(_missing(model, settings))
    return _checked(stored, model)


def _checked(local: LocalWeights, model: Model) -> Path:
    if sha256(local.path) == local.weights.sha256:
        return local.path
    if local.location == "git":
        raise WeightsMissing(
            f"{local.path} is not the file that the catalogue names: run `git checkout {local.path}`, or, after "
            "training, put the new size and SHA-256 into the catalogue"
        )
    raise WeightsMissing(f"{local.path} is damaged: delete it and run `{_command(model)}`")


def _download(weights: Weights, store: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="cutstream-") as folder:
        return _save(read_chunks(weights.origin, weights.paths, Path(folder)), weights, store)


def _save(chunks: Iterable[bytes], weights: Weights, store: Path) -> Path:
    """Copy the data into the store. The file gets its final name only after its digest has been checked."""
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store) as folder:
        part = Path(folder) / weights.file
        with part.open("wb") as copy:
            for chunk in chunks:
                copy.write(chunk)
                if copy.tell() > weights.bytes:
                    break  # the digest check below refuses it; a wrong server must not fill the disk first
        if (actual := sha256(part)) != weights.sha256:
            raise WeightsMissing(f"{weights.file} came with SHA-256 {actual}, expected {weights.sha256}")
        return part.replace(_stored_path(weights, store))


def _missing(model: Model, settings: ModelSettings) -> str:
    if model.shipped:
        path = committed_file(model)
        return f"{path} is missing from the checkout: `git checkout {path}` restores it"
    if model.family:
        return (
            f"{model.title} has no exported graph in {settings.store}: run `{_command(model)}` with the checkpoint "
            f"that {model.source} publishes.{_alternatives(model, settings)}"
        )
    acceptable = " or ".join(f"{weights.file} (SHA-256 {weights.sha256})" for weights in model.weights)
    mirror = f"{settings.mirror} does not hold them" if settings.mirror else "CUTSTREAM_MODELS__MIRROR is not set"
    return (
        f"{model.title} has no weights in {settings.store}, and {mirror}. "
        f"`cutstream models pull {model.name}` downloads them; without a network, put {acceptable} "
        f"into a folder and set CUTSTREAM_MODELS__MIRROR to it.{_alternatives(model, settings)}"
    )


def _command(model: Model) -> str:
    return f"cutstream export {model.name} --weights FILE" if model.family else f"cutstream models pull {model.name}"


def _alternatives(model: Model, settings: ModelSettings) -> str:
    others = [
        other.name
        for other in read_catalogue(settings)
        if other.served_step == model.served_step and other.name != model.name
    ]
    if not others:
        return ""
    return (
        f" Or set CUTSTREAM_MODELS__NETWORK_OVERRIDES to another network for step {model.served_step}: "
        f"{', '.join(others)}."
    )
