"""What a client of the stream raises, besides the errors of cutstream.errors."""

from __future__ import annotations

from cutstream.contract.messages import Result
from cutstream.errors import CutstreamError, InvalidOption


class PhotoFailed(CutstreamError):
    """A photo has no outputs: its request failed, has expired, or was cancelled.

    `code`, `stage` and `retryable` are those of its result, which is in `details`.
    """

    code = "photo_failed"

    def __init__(self, id: str, details: Result) -> None:
        error = details.error
        assert error is not None, "only a result without outputs has an error"
        super().__init__(f"{id}: {error.code}: {error.message}")
        self.code = error.code  # type: ignore[misc]  # the one class whose code is not its own
        self.retryable = error.retryable
        self.stage = error.stage
        self.details = details


class NoResult(CutstreamError, TimeoutError):
    """No result came in time. The request may still be in work, unless the message says that it was called off."""

    code = "no_result"


class PhotoUnreadable(InvalidOption):
    """A photo is no file of this machine, cannot be read, or is nothing that names a photo. Nothing was sent."""

    code = "photo_unreadable"


class NotReachable(CutstreamError):
    """The workers cannot read a photo from where it is. Nothing was sent."""

    code = "photo_not_reachable"


class OutputUnavailable(CutstreamError):
    """An output cannot be read from here, or is not what its result says."""

    code = "output_unavailable"


class OutputNotSaved(CutstreamError, OSError):
    """An output cannot be written to the file or folder that was named. What was there before is untouched."""

    code = "output_not_saved"


class ClientClosed(CutstreamError):
    """The client was closed. Its requests in flight are still processed, but it receives no results any more."""

    code = "client_closed"


class ClientForked(CutstreamError):
    """The client was made in another process, from which this one was forked. Each process needs its own."""

    code = "client_forked"


class GatewayRefused(CutstreamError):
    """The HTTP service refuses a call. `code` and `status` are those of its answer (docs/http.md)."""

    code = "refused"

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"the HTTP service refuses this ({status}, {code}): {message}")
        self.status = status
        self.code = code  # type: ignore[misc]  # as in PhotoFailed
