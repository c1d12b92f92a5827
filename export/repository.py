"""Renders what Triton serves: the committed `model_repository/` plus the engine, the instances and the networks."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import msgspec

from cutstream.errors import ConfigurationError
from cutstream.settings import ModelSettings, Settings
from export.catalogue import Model, find_model, require, sha256
from export.join import glue_graph, join
from export.profiles import config, ensemble_of, networks_of, steps_of


def render(settings: Settings) -> Path:
    """Brings `settings.stack.model_repository` up to date and returns it.

    What is right already is left alone. Raises WeightsMissing and ConfigurationError; never asks the network.
    """
    served = settings.stack.model_repository
    ensembles = [ensemble_of(profile) for profile in settings.models.profiles]
    networks = networks_of(settings.models.profiles)
    digests = {name: _render_network(name, settings.models, served) for name in networks}
    for ensemble in ensembles:
        _render_ensemble(ensemble, [digests[step] for step in steps_of(ensemble)], served)
    for folder in served.iterdir():
        if folder.name not in {*ensembles, *networks}:
            shutil.rmtree(folder)
    return served


def _render_network(name: str, settings: ModelSettings, served: Path) -> str:
    """Returns the digest of weights, glue and wiring, which the rendered configuration carries for results to name."""
    model = find_model(name, settings)
    weights = require(model, settings)
    digest = _digest(model, weights)
    rendered, network = served / name / "config.pbtxt", served / name / "1" / "model.onnx"
    if not (network.is_file() and rendered.is_file() and digest in rendered.read_text()):
        _write(network, _graph(model, weights))
    # Last, because its digest says that the network beside it is whole.
    _write(rendered, _with_digest(_for_engine(config(name), settings), digest))
    return digest


def _digest(model: Model, weights: Path) -> str:
    if model.shipped:
        return sha256(weights)
    glue = [glue_graph(name).read_bytes() for name in (model.normalise, model.activate)]
    wiring = msgspec.json.encode((model.gives, model.constants))
    return hashlib.sha256(b"".join([weights.stem.encode(), *glue, wiring])).hexdigest()


def _graph(model: Model, weights: Path) -> bytes:
    if model.shipped:
        return weights.read_bytes()
    return bytes(join(model, weights).SerializeToString(deterministic=True))


def _render_ensemble(name: str, digests: list[str], served: Path) -> None:
    (served / name / "1").mkdir(parents=True, exist_ok=True)  # an ensemble has a version, but no file
    _write(served / name / "config.pbtxt", _with_digest(config(name), "+".join(digests)))


def _for_engine(text: str, settings: ModelSettings) -> str:
    if settings.engine == "tensorrt":
        raise ConfigurationError(
            "CUTSTREAM_MODELS__ENGINE=tensorrt needs NVIDIA's Triton image: the embedded server runs "
            "`openvino` or `onnxruntime`, or name a Triton of your own in CUTSTREAM_TRITON__URL"
        )
    text = re.sub(r'^backend: "\w+"', f'backend: "{settings.engine}"', text, flags=re.MULTILINE)
    return re.sub(r"\{ count: \d+", f"{{ count: {settings.instances}", text)


def _with_digest(text: str, digest: str) -> bytes:
    return f'{text}parameters {{ key: "digest" value {{ string_value: "{digest}" }} }}\n'.encode()


def _write(path: Path, data: bytes) -> None:
    """Leaves an equal file alone, and a running server never sees half of one."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
