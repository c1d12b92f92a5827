"""Parsers of image headers, one module for each container. They read bytes of strangers inside the worker's process.

Rules that each of them keeps:

* Pure Python and NumPy, no image library, no recursion.
* Every loop has a budget of steps. What is left to C (a search, a comparison) passes over each byte once.
* Nothing is allocated that is larger than the file.
* Parts that only describe the picture are skipped, damaged or not.
"""
