"""Every named error, with the policy on the class.

CutstreamError
├── Retryable                   the world is not ready: the item waits and is tried again
│   ├── TritonUnavailable         ours: without end, nothing is ever dead-lettered for it
│   ├── StoreUnavailable          ours
│   ├── BrokerUnavailable         ours
│   └── SourceUnavailable         the request's own source: a bounded number of attempts, then SourceFailed
├── Poison                      this request can never succeed: one `failed` result and a dead letter
│   ├── InvalidRequest            not JSON, unknown or ill-typed field
│   ├── InvalidProfile            a profile that this deployment does not serve
│   ├── InvalidOption             a well-typed value that makes no sense (`option` names it)
│   ├── RefusedAddress            source outside the allowed schemes, hosts, buckets or roots
│   ├── SourceFailed              missing object, 404, or attempts used up
│   ├── FileTooLarge              more bytes than allowed
│   ├── UnsupportedImage          not one of the accepted formats
│   ├── ResolutionTooHigh         more pixels than allowed, known before decoding
│   ├── UnreadableImage           empty, truncated, corrupt, or the decoder crashed or hung
│   ├── RegionOutOfBounds         `roi` lies outside the picture
│   ├── UnknownForeground         nothing found to cut out, where that is an error
│   ├── InferenceFailed           Triton fails on this very photo, also when it is sent alone
│   └── Unexpected                a bug met while working on this request
├── Expired                     the request's deadline has passed: one `expired` result
└── Fatal                       we are wrong: abort the transaction, stop, exit non-zero
    ├── ConfigurationError        a setting
    ├── ModelMismatch             the served model's tensors are not the product's
    ├── Fenced                    another worker took this transactional id
    ├── StackError                an embedded server of the local stack did not start, or died
    └── PoisonLimit               too many failures in a row to be the requests' fault

Codes follow remove.bg where it has one (docs/errors.md).
"""

from __future__ import annotations

from typing import ClassVar


class CutstreamError(Exception):
    """`code` is the result's error code, the metric's label and the dead letter's header at once."""

    code: ClassVar[str] = "internal"


class Retryable(CutstreamError):
    """Ours unless a subclass says otherwise; `retry_after_s` is a hint, not a promise."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TritonUnavailable(Retryable):
    code = "triton_unavailable"


class StoreUnavailable(Retryable):
    code = "store_unavailable"


class BrokerUnavailable(Retryable):
    code = "broker_unavailable"


class SourceUnavailable(Retryable):
    """The request's own source is not reachable now (timeout, refused connection, 429, 5xx)."""

    code = "failed_image_download"


class Poison(CutstreamError):
    code = "unexpected"


class InvalidRequest(Poison):
    code = "invalid_request"


class InvalidProfile(Poison):
    code = "invalid_profile"


class InvalidOption(Poison):
    code = "invalid_option"


class RefusedAddress(Poison):
    code = "invalid_image_url"


class SourceFailed(Poison):
    code = "failed_image_download"


class FileTooLarge(Poison):
    code = "file_too_large"


class UnsupportedImage(Poison):
    code = "invalid_file_type"


class ResolutionTooHigh(Poison):
    code = "resolution_too_high"


class UnreadableImage(Poison):
    code = "failed_to_read_image"


class RegionOutOfBounds(Poison):
    code = "roi_exceeds_bounds"


class UnknownForeground(Poison):
    code = "unknown_foreground"


class InferenceFailed(Poison):
    code = "inference_failed"


class Unexpected(Poison):
    code = "unexpected"


class Expired(CutstreamError):
    code = "expired"


class Fatal(CutstreamError):
    code = "fatal"


class ConfigurationError(Fatal):
    code = "configuration"


class ModelMismatch(Fatal):
    code = "model_mismatch"


class Fenced(Fatal):
    code = "fenced"


class StackError(Fatal):
    code = "stack"


class PoisonLimit(Fatal):
    code = "poison_limit"
