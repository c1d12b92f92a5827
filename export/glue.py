"""The steps around a net, as torch modules: u8 pixels in, the net's own input, its raw output, u8 matte out.

`python -m export.glue` writes them to `export/graphs/` as ONNX graphs of a few KB, which are committed, so that
torch is needed only to change them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

from export.join import glue_graph

OPSET = 18


class U2netNormalise(nn.Module):
    """u8 N×H×W×3 RGB → f32 N×3×H×W: divided by the picture's own maximum, then ImageNet mean and deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]))
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]))

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.float()
        brightest = pixels.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1.0)  # a black picture stays black
        return ((pixels / brightest - self.mean) / self.deviation).permute(0, 3, 1, 2)


class U2netMatte(nn.Module):
    """f32 N×1×H×W in 0..1 → u8 N×H×W: each picture stretched from its own minimum to its maximum, rounded."""

    def forward(self, saliency: Tensor) -> Tensor:
        saliency = saliency.squeeze(1)
        low = saliency.amin(dim=(1, 2), keepdim=True)
        high = saliency.amax(dim=(1, 2), keepdim=True)
        stretched = (saliency - low) / (high - low).clamp(min=1e-6)  # a constant map is all background
        return (stretched * 255.0).round().to(torch.uint8)


class IsnetNormalise(nn.Module):
    """u8 N×H×W×3 RGB → f32 N×3×H×W in -0.5..0.5."""

    def forward(self, image: Tensor) -> Tensor:
        return ((image.float() - 128.0) / 256.0).permute(0, 3, 1, 2)


class AlphaMatte(nn.Module):
    """f32 N×1×H×W in 0..1, where a net may stray a little beyond → u8 N×H×W, rounded."""

    def forward(self, alpha: Tensor) -> Tensor:
        return (alpha.squeeze(1).clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


@dataclass(frozen=True)
class Glue:
    name: str
    module: nn.Module
    example: Tensor
    input: str
    output: str


def glues() -> Iterator[Glue]:
    image = torch.zeros(2, 320, 320, 3, dtype=torch.uint8)
    saliency = torch.zeros(2, 1, 320, 320)
    yield Glue("u2net_normalise", U2netNormalise(), image, "image", "normalised")
    yield Glue("u2net_matte", U2netMatte(), saliency, "saliency", "matte")
    yield Glue("isnet_normalise", IsnetNormalise(), image, "image", "normalised")
    yield Glue("alpha_matte", AlphaMatte(), saliency, "alpha", "matte")


def graph(glue: Glue) -> bytes:
    """The ONNX file of one step; equal bytes for equal modules, whoever exports them."""
    program = torch.onnx.export(
        glue.module.eval(),
        (glue.example,),
        input_names=[glue.input],
        output_names=[glue.output],
        opset_version=OPSET,
        dynamic_shapes=(_any_size(glue.example),),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    return bytes(without_provenance(program.model_proto).SerializeToString(deterministic=True))


def _any_size(example: Tensor) -> dict[int, str]:
    """Pictures are N×H×W×3, maps N×1×H×W; `join` gives them the net's size."""
    height = 1 if example.dtype == torch.uint8 else 2
    return {0: "batch", height: "height", height + 1: "width"}


def without_provenance(model: onnx.ModelProto) -> onnx.ModelProto:
    for field in ("producer_name", "producer_version", "doc_string", "metadata_props"):
        model.ClearField(field)
    model.graph.name = "glue"
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    model.graph.ClearField("value_info")
    return model


def main() -> None:
    for glue in glues():
        glue_graph(glue.name).write_bytes(graph(glue))


if __name__ == "__main__":
    main()
