"""What the gateway answers when a call fails: HTTP statuses, and remove.bg's codes where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal, TypeAlias

from cutstream.contract.messages import ErrorDetail, Result
from cutstream.errors import CutstreamError

# Codes of results whose cause lies in the deployment, not in what the client sent.
_OURS = frozenset({"inference_failed", "unexpected", "output_refused", "destination_unavailable", "internal"})

Limit: TypeAlias = Literal["key_rate", "key_calls", "calls", "wait", "photos", "memory", "stream"]
"""What refuses a call that is not wrong: limits of one key, of all calls, of their wait, of open photos and of memory
for bodies, or a stream that is away."""


class CallRefused(CutstreamError):
    """A call that ends without a picture. `title` is for people, `detail` says more where there is more to say.

    `headers` are added to the answer. `limit` names what was reached, for the metrics.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        headers: Mapping[str, str] | None = None,
        limit: Limit | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.error_code = code
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.limit = limit


class ClientGone(CutstreamError):
    """The client has closed its connection: nobody waits for an answer any more."""


def bad_request(code: str, title: str, detail: str = "") -> CallRefused:
    return CallRefused(HTTPStatus.BAD_REQUEST, code, title, detail)


def too_many(
    title: str, retry_after_s: float, headers: Mapping[str, str] | None = None, limit: Limit | None = None
) -> CallRefused:
    """Refuse a call that may succeed in `retry_after_s`, as remove.bg does."""
    waiting = {"Retry-After": str(max(1, round(retry_after_s + 0.5)))}
    return CallRefused(
        HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_exceeded", title, headers={**(headers or {}), **waiting}, limit=limit
    )


def unavailable(title: str, limit: Limit | None = None) -> CallRefused:
    return CallRefused(
        HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable", title, headers={"Retry-After": "5"}, limit=limit
    )


def missing_key() -> CallRefused:
    return CallRefused(
        HTTPStatus.FORBIDDEN,
        "auth_failed",
        "Missing API Key",
        "send your key in the header X-Api-Key",
    )


def invalid_key() -> CallRefused:
    return CallRefused(HTTPStatus.FORBIDDEN, "auth_failed", "Invalid API Key")


def refusal_of(result: Result) -> CallRefused:
    """Return the refusal that a result without outputs stands for."""
    error = result.error or ErrorDetail(code="internal", message="no outputs", stage="", retryable=True)
    match result.status:
        case "expired" if error.cause is not None and error.cause not in _OURS:
            # It has not been waited for: what the client named was not there, and no other attempt had time.
            return _failure(error.cause, error.message)
        case "expired":
            return CallRefused(
                HTTPStatus.GATEWAY_TIMEOUT, "expired", "No result in time", error.message, {"Retry-After": "5"}
            )
        case "cancelled":
            return CallRefused(HTTPStatus.SERVICE_UNAVAILABLE, "cancelled", "The request was called off", error.message)
        case _:
            return _failure(error.code, error.message)


def _failure(code: str, message: str) -> CallRefused:
    status = HTTPStatus.INTERNAL_SERVER_ERROR if code in _OURS else HTTPStatus.BAD_REQUEST
    return CallRefused(status, code, _TITLES.get(code, message), message)


_TITLES = {
    "failed_image_download": "Failed to download image from given image_url",
    "failed_bg_download": "Failed to download background image from given bg_image_url",
    "failed_to_read_image": "There was an error reading the image.",
    "file_too_large": "File too large",
    "invalid_file_type": "Invalid file type",
    "invalid_image_url": "Invalid image_url: Please provide a valid URL.",
    "invalid_bg_image_url": "Invalid bg_image_url: Please provide a valid URL.",
    "invalid_bg_image": "The background image cannot be used",
    "resolution_too_high": "Image resolution too high",
    "roi_exceeds_bounds": "ROI exceeds image bounds",
    "unknown_foreground": "Could not identify foreground in image",
}
