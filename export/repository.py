"""Renders what Triton serves: the committed `model_repository/` plus the engine, the instances and the networks."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import msgspec

from cutstream.errors import ConfigurationError
from cutstream.settings import ModelSettings, Settings
from export.catalogue import Model, net_for, require, sha256
from export.join import join
from export.profiles import config, ensemble_of, glue_file, networks_of, size_of, steps_in, steps_of
from export.tune import tuned


def render(settings: Settings) -> Path:
    """Brings `settings.stack.model_repository` up to date and returns it.

    What is right already is left alone. Raises WeightsMissing and ConfigurationError; never asks the network.
    """
    served = settings.stack.model_repository
    models = settings.models
    ensembles = [ensemble_of(profile) for profile in models.profiles]
    networks = {step: net_for(step, models) for step in networks_of(models.profiles)}
    digests = {
        step: _render_network(step, networks[step], models, served)
        if step in networks
        else _render_glue(step, settings, served)
        for step in steps_in(models.profiles)
    }
    for ensemble in ensembles:
        steps = steps_of(ensemble)
        _render_ensemble(
            ensemble, [digests[step] for step in steps], [networks[step] for step in steps if step in networks], served
        )
    for folder in served.iterdir():
        if folder.name not in {*ensembles, *digests}:
            shutil.rmtree(folder)
    return served


def _render_network(step: str, model: Model, settings: ModelSettings, served: Path) -> str:
    """Returns the digest of weights, glue and wiring, which the rendered configuration carries for results to name."""
    weights = require(model, settings)
    digest = _digest(model, weights, *size_of(step))
    rendered, network = served / step / "config.pbtxt", served / step / "1" / "model.onnx"
    if not (network.is_file() and rendered.is_file() and digest in rendered.read_text()):
        _write(network, _graph(model, weights, *size_of(step)))
    # Last, because its digest says that the network beside it is whole.
    _write(rendered, _with_parameters(_for_engine(_for_batches(config(step), [model]), settings), digest=digest))
    return digest


def _render_glue(step: str, settings: Settings, served: Path) -> str:
    graph = tuned(step, *size_of(step), settings.glue).SerializeToString(deterministic=True)
    _write(served / step / "1" / "model.onnx", graph)
    digest = hashlib.sha256(graph).hexdigest()
    _write(served / step / "config.pbtxt", _with_parameters(_for_engine(config(step), settings.models), digest=digest))
    return digest


def _digest(model: Model, weights: Path, height: int, width: int) -> str:
    if model.shipped:
        return sha256(weights)
    names = (model.normalise, model.activate, "image_resize", "map_resize")
    glue = [glue_file(name).read_bytes() for name in names]
    wiring = msgspec.json.encode((model.gives, model.constants, model.height, model.width, height, width))
    return hashlib.sha256(b"".join([weights.stem.encode(), *glue, wiring])).hexdigest()


def _graph(model: Model, weights: Path, height: int, width: int) -> bytes:
    if model.shipped:
        return weights.read_bytes()
    return bytes(join(model, weights, height, width).SerializeToString(deterministic=True))


def _render_ensemble(name: str, digests: list[str], networks: list[Model], served: Path) -> None:
    (served / name / "1").mkdir(parents=True, exist_ok=True)  # an ensemble has a version, but no file
    names = "+".join(network.name for network in networks)
    text = _with_parameters(_for_batches(config(name), networks), digest="+".join(digests), networks=names)
    _write(served / name / "config.pbtxt", text)


def _for_batches(text: str, networks: list[Model]) -> str:
    if any(network.one_at_a_time for network in networks):
        return re.sub(r"max_batch_size: \d+", "max_batch_size: 1", text)
    return text


def _for_engine(text: str, settings: ModelSettings) -> str:
    if settings.engine == "tensorrt":
        raise ConfigurationError(
            "CUTSTREAM_MODELS__ENGINE=tensorrt needs NVIDIA's Triton image: the embedded server runs "
            "`openvino` or `onnxruntime`, or name a Triton of your own in CUTSTREAM_TRITON__URL"
        )
    text = re.sub(r'^backend: "\w+"', f'backend: "{settings.engine}"', text, flags=re.MULTILINE)
    return re.sub(r"\{ count: \d+", f"{{ count: {settings.instances}", text)


def _with_parameters(text: str, **parameters: str) -> bytes:
    lines = (f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in parameters.items())
    return "\n".join([text.rstrip("\n"), *lines, ""]).encode()


def _write(path: Path, data: bytes) -> None:
    """Leaves an equal file alone, and a running server never sees half of one."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
