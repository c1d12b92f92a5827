"""What all errors have in common."""

from __future__ import annotations

from typing import ClassVar


class CutstreamError(Exception):
    """The base of all errors. `code` is the result's error code, the metrics' label and the dead letter's header.

    `retryable` tells the requester whether the same request may succeed later. A worker that ends because of the error
    exits with `exit_status`. docs/errors.md is generated from the docstrings: the first paragraph says when the error
    occurs, the second what to do.
    """

    code: ClassVar[str] = "internal"
    exit_status: ClassVar[int] = 1
    retryable: bool = False
