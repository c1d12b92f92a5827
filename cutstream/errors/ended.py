"""Ends of a request that are nobody's fault: no dead letter."""

from __future__ import annotations

from cutstream.errors.base import CutstreamError


class Expired(CutstreamError):
    """The request's `deadline` passed before its outputs were finished, or passes before the next attempt to fetch its
    source.

    Allow more time, or add workers. There is no dead letter.
    """

    code = "expired"

    def __init__(self, message: str, cause: str | None = None) -> None:
        """`cause` is the code of the error that another attempt would have been for, if that is why it ends."""
        super().__init__(message)
        self.cause = cause


class Cancelled(CutstreamError):
    """The request was called off with `cutstream cancel` before its outputs were finished.

    Do nothing. There is no dead letter. If it was called off by mistake, send it again; a cancellation applies only to
    requests written before it.
    """

    code = "cancelled"
