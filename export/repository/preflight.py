"""Find settings of the served models that cannot work on this machine, before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterator

from cutstream.constraints import nearest
from cutstream.errors import ConfigurationError, WeightsMissing
from cutstream.folders import why_unreadable, why_unwritable
from cutstream.settings import ModelSettings, Settings, about
from export.weights.catalogue import Model, read_catalogue, select_models
from export.weights.store import find_weights, require_weights


def model_problems(settings: Settings) -> Iterator[str]:
    """Yield a line for each setting with which the embedded Triton cannot serve. Another Triton has its own models."""
    if settings.triton.url:
        return
    models = settings.models
    yield from engine_problems(settings)
    if models.mirror and (problem := why_unreadable(models.mirror)):
        yield about("models", "mirror", f"{models.mirror} {problem}: name the folder that holds the weights")
    try:
        catalogue = read_catalogue(models)
    except ConfigurationError as exc:
        yield str(exc)
        return
    yield from _overrides(models, catalogue)
    if (problem := why_unwritable(models.store)) and _stores_weights(models):
        yield about("models", "store", f"{models.store} {problem}: name another folder")


def check_weights(settings: Settings) -> None:
    """Raise WeightsMissing, with a line for each model, if the embedded Triton lacks what the profiles need."""
    if settings.triton.url:
        return
    missing = []
    for model in select_models(settings.models):
        try:
            require_weights(model, settings.models)
            if settings.models.graph_precision != "fp32":
                _require_exported(model, settings.models)
        except WeightsMissing as exc:
            missing.append(str(exc))
    if missing:
        raise WeightsMissing("\n".join(missing))


def engine_problems(settings: Settings) -> Iterator[str]:
    """Yield a line for what the embedded server cannot run. It has no GPU."""
    if settings.triton.url:
        return
    if settings.models.engine == "tensorrt":
        yield (
            "CUTSTREAM_MODELS__ENGINE=tensorrt needs NVIDIA's Triton image: choose `openvino` or `onnxruntime` for the "
            "embedded server, or name a Triton of your own in CUTSTREAM_TRITON__URL"
        )
    if settings.models.engine == "onnxruntime" and settings.models.graph_precision == "bf16":
        yield (
            "CUTSTREAM_MODELS__GRAPH_PRECISION=bf16: ONNX Runtime has no bf16 convolutions for CPUs, but "
            "CUTSTREAM_MODELS__ENGINE=openvino runs them"
        )


def _stores_weights(models: ModelSettings) -> bool:
    """Tell whether weights have yet to be put into the store: it may be read-only once it holds them all."""
    try:
        found = [find_weights(model, models) for model in select_models(models)]
    except ConfigurationError:  # a wrong name, which is told as such
        return False
    return any(weights is None or weights.location == "mirror" for weights in found)


def _overrides(models: ModelSettings, catalogue: tuple[Model, ...]) -> Iterator[str]:
    steps = {model.name: model.served_step for model in catalogue}
    taken: dict[str, str] = {}
    for name in models.network_overrides:
        if name not in steps:
            hint = nearest(name, steps) or f"; choose from {', '.join(steps)}"
            yield about("models", "network_overrides", f"the catalogue has no network {name}{hint}")
        elif (other := taken.setdefault(steps[name], name)) != name:
            yield about(
                "models", "network_overrides", f"{other} and {name} both fill step {steps[name]}: name one of them"
            )


def _require_exported(model: Model, models: ModelSettings) -> None:
    from export.formats.served_graph import require_stored_graph  # ONNX, which only a stack of its own needs

    require_stored_graph(model, models.graph_precision, models)
