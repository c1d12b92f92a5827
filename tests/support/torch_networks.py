"""Torch families at a size for tests. torch takes 10 s to export one: a run of the tests does that once for each."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

import torch
from torch import nn

from cutstream.settings import ModelSettings
from export.formats.torch_to_onnx import DEFAULT_OUTPUTS, to_onnx
from export.networks import build
from export.weights.catalogue import Model, Weights
from export.weights.store import exported_file
from tests.support.models import as_toml, detector

# The input of each family's network: channels, height, width.
TINY = {
    "u2net": (3, 320, 320),
    "isnet": (3, 256, 256),
    "depth_anything": (3, 518, 518),
    "deeplab": (3, 513, 513),
    "vitmatte": (4, 512, 512),
    "segmentation": (3, 64, 64),
    "deeplab_atrous": (3, 65, 65),
    "deep_matting": (4, 512, 512),
    "modnet": (3, 64, 64),
    "rvm": (3, 128, 128),
    "mask_rcnn": (3, 128, 128),
    "sam2": (3, 128, 128),
    "sam2_everything": (3, 128, 128),
}
# Further inputs.
TAKES: dict[str, dict[str, tuple[int, ...]]] = {"sam2": {"boxes": (8, 4)}}
# The step that it fills in tests, and its glue before and after.
GLUE = {
    "u2net": ("u2netp", "u2net_normalise", "u2net_matte"),
    "isnet": ("isnet", "isnet_normalise", "alpha_matte"),
    "depth_anything": ("depth", "imagenet_normalise", "nearness"),
    "deeplab": ("semantics", "signed_normalise", "class_foreground"),
    "vitmatte": ("matting", "trimap_normalise", "alpha_matte"),
    "segmentation": ("semantics", "imagenet_normalise", "class_foreground"),
    "deeplab_atrous": ("semantics", "imagenet_normalise", "class_foreground"),
    "deep_matting": ("matting", "trimap_normalise", "alpha_matte"),
    "modnet": ("portrait", "signed_normalise", "alpha_matte"),
    "rvm": ("portrait", "unit_normalise", "alpha_matte"),
    "mask_rcnn": ("people", "imagenet_normalise", "alpha_matte"),
    "sam2": ("prompted_masks", "imagenet_normalise", "alpha_matte"),
    "sam2_everything": ("everything", "imagenet_normalise", "subject_of_everything"),
}
# The outputs that go into the glue, if there are several.
GIVES: dict[str, tuple[str, ...]] = {"sam2_everything": ("logits", "guesses")}
# Parts of a detector that keep their random weights: larger ones would move every box out of the image.
DETECTING = ("fpn", "rpn", "roi_heads")


def shapes_of(family: str) -> dict[str, tuple[int, ...]]:
    return {"normalised": TINY[family], **TAKES.get(family, {})}


def settled(family: str) -> nn.Module:
    """Return a family's network with the same weights in every process, and an output that depends on the image."""
    with torch.random.fork_rng():
        torch.manual_seed(0)  # for biases, which stay as they are
        network = settle(build(f"{family}:tiny", None), shapes_of(family))
    if family == "sam2_everything":
        _make_confident(network.network)
    return network


def settle(network: nn.Module, shapes: dict[str, tuple[int, ...]]) -> nn.Module:
    """Set random weights large enough for an output that depends on the image."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1 and not any(part in name for part in DETECTING):
            fan_in = parameter[0].numel()
            parameter.data = torch.randn(parameter.shape, generator=generator) * (2 / fan_in) ** 0.5
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # average over everything seen
    network.train()
    with torch.no_grad():
        for _ in range(2):
            network(*(torch.rand(2, *shape, generator=generator) * 2 - 1 for shape in shapes.values()))
    return network.eval()


def _make_confident(network: nn.Module) -> None:
    """Make SAM 2 sure of its masks: with random weights it finds nothing."""
    decoder = network.mask_decoder
    decoder.iou_prediction_head.proj_out.bias.data += 2.0
    for perceptron in decoder.output_hypernetworks_mlps:
        for parameter in perceptron.proj_out.parameters():
            parameter.data *= 30.0


def exported(family: str, run: Path) -> Path:
    """Return the ONNX file of `settled(family)`. `run` is the folder of this run of the tests, in all its processes."""
    file = run / f"tiny-{family}.onnx"
    with (run / f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            part = file.with_suffix(f".{os.getpid()}")
            part.write_bytes(to_onnx(settled(family), shapes_of(family), GIVES.get(family, DEFAULT_OUTPUTS)))
            part.replace(file)
    return file


def put_into_store(family: str, run: Path, settings: ModelSettings) -> Path:
    """Put a family's exported network where `cutstream export` puts it, and return the file."""
    data = exported(family, run).read_bytes()
    settings.store.mkdir(parents=True, exist_ok=True)
    file = settings.store / exported_file(f"tiny_{family}", hashlib.sha256(data).hexdigest())
    file.write_bytes(data)
    return file


def tiny_models(folder: Path) -> ModelSettings:
    """Settings with a catalogue of all families, as `tiny_<family>`, and of `tiny_detector`, and an empty store."""
    models = [
        Model(
            name=f"tiny_{family}",
            title=f"tiny {family}",
            source="this test",
            licence="none",
            width=TINY[family][2],
            height=TINY[family][1],
            normalisation="",
            outputs="",
            step=step,
            normalise=normalise,
            activate=activate,
            takes=TAKES.get(family, {}),
            gives=GIVES.get(family, ()),
            family=f"{family}:tiny",
        )
        for family, (step, normalise, activate) in GLUE.items()
    ]
    models.append(_detector(folder / "mirror"))
    (folder / "catalogue.toml").write_text("\n".join(as_toml(model) for model in models))
    return ModelSettings(
        catalogue=folder / "catalogue.toml",
        mirror=folder / "mirror",
        store=folder / "store",
        profiles=("hair",),
        default_profile="hair",
    )


def _detector(mirror: Path) -> Model:
    """A detector that always finds a person on the left."""
    data = detector((200, 320), (240, 480)).SerializeToString(deterministic=True)
    mirror.mkdir(parents=True, exist_ok=True)
    (mirror / "detector.onnx").write_bytes(data)
    return Model(
        name="tiny_detector",
        title="tiny detector",
        source="this test",
        licence="none",
        width=640,
        height=640,
        normalisation="",
        outputs="",
        step="boxes",
        normalise="unit_normalise",
        activate="people_boxes",
        weights=(Weights(file="detector.onnx", bytes=len(data), sha256=hashlib.sha256(data).hexdigest()),),
    )
