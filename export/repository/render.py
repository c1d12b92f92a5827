"""Renders what Triton serves: the committed `model_repository/` plus the engine, the instances and the networks."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from cutstream.errors import ConfigurationError
from cutstream.settings import ModelSettings, Settings
from export.formats.machine import machine
from export.formats.tensorrt_plan import require_plan
from export.repository.glue_settings import tuned
from export.repository.profiles import config, ensemble_of, networks_of, size_of, steps_in, steps_of
from export.repository.served_graph import graph_of, require_written, source_digest
from export.weights.catalogue import Model, net_for, require, sha256


def render(settings: Settings) -> Path:
    """Brings `settings.stack.model_repository` up to date and returns it.

    For the embedded Triton, or, where the settings name a Triton of your own, for that one. What is right already is
    left alone. Raises WeightsMissing and ConfigurationError; never asks the network.
    """
    _refuse(settings)
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
    """Returns the digest of weights, glue and wiring, or of the file that `cutstream export` made of them, which the
    rendered configuration carries for results to name.
    """
    rendered, network = served / step / "config.pbtxt", served / step / "1" / _file(settings)
    exported = _exported(step, model, settings)
    weights = require(model, settings)
    digest = sha256(exported) if exported else source_digest(model, weights, *size_of(step))
    if not (network.is_file() and rendered.is_file() and digest in rendered.read_text()):
        _write(network, exported.read_bytes() if exported else _graph(model, weights, *size_of(step)))
        for other in network.parent.iterdir():
            if other != network:
                other.unlink()
    # Last, because its digest says that the network beside it is whole.
    _write(rendered, _with_parameters(_for_engine(_for_batches(config(step), [model]), settings), digest=digest))
    return digest


def _file(settings: ModelSettings) -> str:
    return "model.plan" if settings.engine == "tensorrt" else "model.onnx"


def _exported(step: str, model: Model, settings: ModelSettings) -> Path | None:
    if settings.engine == "tensorrt":
        return require_plan(model, settings.graph_precision, settings, machine())
    if settings.graph_precision != "fp32":
        return require_written(model, settings.graph_precision, settings)
    return None


def _render_glue(step: str, settings: Settings, served: Path) -> str:
    graph = tuned(step, *size_of(step), settings.glue).SerializeToString(deterministic=True)
    _write(served / step / "1" / "model.onnx", graph)
    digest = hashlib.sha256(graph).hexdigest()
    models = settings.models
    if models.engine == "tensorrt":  # glue stays ONNX
        models = models.model_copy(update={"engine": "onnxruntime"})
    _write(served / step / "config.pbtxt", _with_parameters(_for_engine(config(step), models), digest=digest))
    return digest


def _graph(model: Model, weights: Path, height: int, width: int) -> bytes:
    if model.shipped:
        return weights.read_bytes()
    return bytes(graph_of(model, weights, height, width).SerializeToString(deterministic=True))


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
    """Of a network; TensorRT's backend goes by the older word `platform`."""
    tensorrt = settings.engine == "tensorrt"
    engine = 'platform: "tensorrt_plan"' if tensorrt else f'backend: "{settings.engine}"'
    text = re.sub(r'^backend: "\w+"', engine, text, flags=re.MULTILINE)
    return re.sub(r"\{ count: \d+", f"{{ count: {settings.instances}", text)


def _refuse(settings: Settings) -> None:
    """What the embedded server, which has no GPU, cannot run."""
    if settings.triton.url:
        return
    if settings.models.engine == "tensorrt":
        raise ConfigurationError(
            "CUTSTREAM_MODELS__ENGINE=tensorrt needs NVIDIA's Triton image: the embedded server runs "
            "`openvino` or `onnxruntime`, or name a Triton of your own in CUTSTREAM_TRITON__URL"
        )
    if settings.models.engine == "onnxruntime" and settings.models.graph_precision == "bf16":
        raise ConfigurationError(
            "CUTSTREAM_MODELS__GRAPH_PRECISION=bf16: ONNX Runtime has no convolutions in bf16 for CPUs; "
            "CUTSTREAM_MODELS__ENGINE=openvino runs them"
        )


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
