"""Export a model as an ONNX graph or a TensorRT plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from commands.console import echo, named_errors, require_packages


def export_model(
    name: Annotated[str, typer.Argument(help="A model that `cutstream models list` shows.")],
    weights: Annotated[
        Path | None, typer.Option(exists=True, help="Checkpoint of a PyTorch network: .safetensors or a state dict.")
    ] = None,
    to: Annotated[
        Literal["onnx", "tensorrt", "tensorrt_rtx"],
        typer.Option(
            help="The format. A TensorRT plan has to be built on the GPU that will run it; an engine of TensorRT for "
            "RTX needs no GPU."
        ),
    ] = "onnx",
    precision: Annotated[
        Literal["fp32", "fp16", "bf16", "int8"], typer.Option(help="The number format that the network computes in.")
    ] = "fp32",
    photos: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of real photos to compare results on. Required for int8."
        ),
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Path of the file. Defaults to a path in the store.")
    ] = None,
) -> None:
    """Write the graph or the TensorRT plan that Triton serves for a model, and compare it with the fp32 network.

    A PyTorch network is converted to ONNX and compared with PyTorch first.
    Without a checkpoint its weights are random, which is only good for a trial.
    docs/exporting.md explains precisions and plans.
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

            echo(export(model, weights, settings))
            if (to, precision, out_file) == ("onnx", "fp32", None):
                return
        graph = out_file if out_file and to == "onnx" else stored_path(model, precision, settings)
        if to == "tensorrt":
            from export.formats.machine import detect_machine, import_tensorrt

            trt, here = import_tensorrt(), detect_machine()  # fail early: what follows takes minutes
        if to == "tensorrt_rtx":
            from export.formats.machine import import_tensorrt_rtx

            rtx = import_tensorrt_rtx()
        from export.formats.write_graph import write

        written = write(model, precision, photos, settings, graph)
        echo(graph)
        echo(written.summary())
        if to == "tensorrt":
            from export.formats.tensorrt_plan import write_plan

            plan = out_file or stored_path(model, precision, settings, ".plan")
            write_plan(trt, model, precision, settings, here, graph, plan)
            echo(plan)
        if to == "tensorrt_rtx":
            from export.formats.tensorrt_rtx import write_engine

            engine = out_file or stored_path(model, precision, settings, ".rtx")
            built = write_engine(rtx, model, precision, graph, engine)
            echo(engine)
            echo(built.summary())
