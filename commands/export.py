from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from commands.console import named_errors, require_packages


def export_model(
    name: Annotated[str, typer.Argument(help="A model of the catalogue (`cutstream models list`).")],
    weights: Annotated[
        Path | None, typer.Option(exists=True, help="The checkpoint of a net of torch: .safetensors or a state dict.")
    ] = None,
    to: Annotated[Literal["onnx", "tensorrt"], typer.Option(help="tensorrt builds a plan, on the GPU it is for.")] = (
        "onnx"
    ),
    precision: Annotated[
        Literal["fp32", "fp16", "bf16", "int8"], typer.Option(help="What the network computes in.")
    ] = "fp32",
    photos: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of real photos, on which it is judged; int8 needs it."),
    ] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="Another place for the file than the store.")] = None,
) -> None:
    """Write the graph that is served for a model: simplified, in a precision, compared with f32, or as a TensorRT plan.

    A net of torch is made an ONNX file and compared with torch first. Without a checkpoint its weights are random: good
    for trying the way, not for pictures. docs/exporting.md explains precisions and plans.
    """
    from cutstream.settings import load

    with named_errors():
        require_packages("export", "ml_dtypes", "onnx", "onnxruntime", "skimage")
        from export.formats.served_graph import stored_path
        from export.weights.catalogue import find_model, require_family
        from export.weights.store import find_weights

        settings = load().models
        model = find_model(name, settings)
        if weights or (model.family and not find_weights(model, settings)):
            require_family(model)
            require_packages("export", "onnxscript", "torch", "transformers", target="setup-export")
            from export.formats.torch_to_onnx import export

            typer.echo(export(model, weights, settings))
            if (to, precision, out_file) == ("onnx", "fp32", None):
                return
        graph = out_file if out_file and to == "onnx" else stored_path(model, precision, settings)
        if to == "tensorrt":
            from export.formats.machine import detect_machine, import_tensorrt

            trt, here = import_tensorrt(), detect_machine()  # fail early: what follows takes minutes
        from export.formats.write_graph import write

        written = write(model, precision, photos, settings, graph)
        typer.echo(graph)
        typer.echo(written.summary())
        if to == "tensorrt":
            from export.formats.tensorrt_plan import write_plan

            plan = out_file or stored_path(model, precision, settings, ".plan")
            write_plan(trt, model, precision, settings, here, graph, plan)
            typer.echo(plan)
