"""The steps around nets and between them, as torch modules; `python -m export.glue` writes them to `export/glue/onnx/`.

The graphs are ONNX files of a few KB, which are committed, so that torch is needed only to change them.
"""
