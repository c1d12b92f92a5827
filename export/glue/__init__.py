"""The steps around networks and between them.

* The modules `pre_and_postprocessing`, `between_networks`, `people`, `subject_of_everything` and `closed_form` define
  the steps as torch modules; `graphs` exports them, and `python -m export.glue` writes them to `export/glue/onnx/`.
  The graphs are ONNX files of a few KB in git, so only changing them needs torch.
* The modules `load`, `join` and `configure` use the committed graphs and need only onnx.
"""
