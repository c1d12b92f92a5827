"""Render the model repository that Triton serves.

It consists of the committed `model_repository/` plus the engine, the instances and the networks of the settings.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec

from cutstream.errors import ConfigurationError
from cutstream.settings import ModelSettings, Settings
from export.formats.machine import detect_machine
from export.formats.receipt import add_receipt
from export.formats.served_graph import build_graph, report_path, require_stored_graph, source_digest
from export.formats.tensorrt_plan import require_plan
from export.glue.configure import configure_glue
from export.profiles import config, ensemble_of, networks_of, size_of, steps_in, steps_of
from export.repository.preflight import engine_problems
from export.weights.catalogue import Model, network_for
from export.weights.store import ensure_weights, sha256


class Rendered(NamedTuple):
    """A step: the digest that results name, and the digest of its graph, which is on its receipts."""

    digest: str
    graph: str


class _Report(msgspec.Struct):
    graph: str


def render(settings: Settings) -> Path:
    """Bring the folder `settings.stack.model_repository` up to date and return it.

    It is for the embedded Triton, or for a Triton of your own if the settings name one. Files that are up to date stay
    untouched, and so does what another program has put there. Never uses the network. Raises WeightsMissing and
    ConfigurationError.
    """
    if problems := list(engine_problems(settings)):
        raise ConfigurationError("\n".join(problems))
    served = settings.stack.model_repository
    models = settings.models
    ensembles = [ensemble_of(profile) for profile in models.profiles]
    networks = {step: network_for(step, models) for step in networks_of(models.profiles)}
    rendered = {
        step: _render_network(step, networks[step], models, served)
        if step in networks
        else _render_glue(step, settings, served)
        for step in steps_in(models.profiles)
    }
    for ensemble in ensembles:
        steps = steps_of(ensemble)
        _render_ensemble(
            ensemble, [rendered[step] for step in steps], [networks[step] for step in steps if step in networks], served
        )
    for folder in served.iterdir():
        if folder.name not in {*ensembles, *rendered} and _is_rendered(folder):
            shutil.rmtree(folder)
    return served


def _render_network(step: str, model: Model, settings: ModelSettings, served: Path) -> Rendered:
    """Render a network's folder.

    Its digest is that of the weights, the glue and how they are connected, or of the exported file if one is served.
    The rendered configuration carries it.
    """
    rendered, network = served / step / "config.pbtxt", served / step / "1" / _network_file(settings)
    exported = _exported_file(model, settings)
    weights = ensure_weights(model, settings)
    digest = sha256(exported) if exported else source_digest(model, weights, *size_of(step))
    graph = msgspec.json.decode(report_path(exported).read_bytes(), type=_Report).graph if exported else digest
    text = _with_parameters(_for_engine(_for_batches(config(step), [model]), settings), digest=digest, graph=graph)
    if not (network.is_file() and rendered.is_file() and _parameters(text) == _parameters(rendered.read_bytes())):
        _write(network, exported.read_bytes() if exported else _graph(model, weights, digest, *size_of(step)))
        for other in network.parent.iterdir():
            if other != network:
                other.unlink()
    _write(rendered, text)  # last, because its digests mark the network beside it as complete
    return Rendered(digest, graph)


def _network_file(settings: ModelSettings) -> str:
    return "model.plan" if settings.engine == "tensorrt" else "model.onnx"


def _exported_file(model: Model, settings: ModelSettings) -> Path | None:
    if settings.engine == "tensorrt":
        return require_plan(model, settings.graph_precision, settings, detect_machine())
    if settings.graph_precision != "fp32":
        return require_stored_graph(model, settings.graph_precision, settings)
    return None


def _render_glue(step: str, settings: Settings, served: Path) -> Rendered:
    graph = configure_glue(step, *size_of(step), settings.glue)
    digest = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()
    _write(served / step / "1" / "model.onnx", add_receipt(graph, digest).SerializeToString(deterministic=True))
    models = settings.models
    if models.engine == "tensorrt":  # glue stays ONNX, which ONNX Runtime serves
        models = models.model_copy(update={"engine": "onnxruntime"})
    text = _with_parameters(_for_engine(config(step), models), digest=digest, graph=digest)
    _write(served / step / "config.pbtxt", text)
    return Rendered(digest, digest)


def _graph(model: Model, weights: Path, digest: str, height: int, width: int) -> bytes:
    graph = add_receipt(build_graph(model, weights, height, width), digest)
    return bytes(graph.SerializeToString(deterministic=True))


def _render_ensemble(name: str, steps: list[Rendered], networks: list[Model], served: Path) -> None:
    (served / name / "1").mkdir(parents=True, exist_ok=True)  # an ensemble has a version folder without files
    parameters = {
        "digest": "+".join(step.digest for step in steps),
        "graphs": "+".join(step.graph for step in steps),
        "networks": "+".join(network.name for network in networks),
    }
    if len(steps) == 1 and networks and networks[0].min_sure_share is not None:  # the matte is the network's own
        parameters["min_sure_share"] = str(networks[0].min_sure_share)
    text = _with_parameters(_for_batches(config(name), networks), **parameters)
    _write(served / name / "config.pbtxt", text)


def _for_batches(text: str, networks: list[Model]) -> str:
    if any(network.one_at_a_time for network in networks):
        return re.sub(r"max_batch_size: \d+", "max_batch_size: 1", text)
    return text


def _for_engine(text: str, settings: ModelSettings) -> str:
    """Set the engine and the instances. TensorRT plans use the older field `platform`."""
    tensorrt = settings.engine == "tensorrt"
    engine = 'platform: "tensorrt_plan"' if tensorrt else f'backend: "{settings.engine}"'
    text = re.sub(r'^backend: "\w+"', engine, text, flags=re.MULTILINE)
    return re.sub(r"\{ count: \d+", f"{{ count: {settings.instances}", text)


def _with_parameters(text: str, **parameters: str) -> bytes:
    lines = (f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in parameters.items())
    return "\n".join([text.rstrip("\n"), *lines, ""]).encode()


def _parameters(text: bytes) -> list[bytes]:
    return [line for line in text.splitlines() if line.startswith(b"parameters ")]


def _is_rendered(folder: Path) -> bool:
    """Tell whether an earlier call has made the folder. Another one may be of somebody's own model, and stays."""
    rendered = folder / "config.pbtxt"
    return rendered.is_file() and b'parameters { key: "digest" ' in rendered.read_bytes()


def _write(path: Path, data: bytes) -> None:
    """Write the file unless it is equal already. A running server never sees a partial file."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    part.write_bytes(data)
    part.replace(path)
