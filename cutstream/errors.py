"""Every named error, with the policy on the class.

CutstreamError
├── Retryable                   the world is not ready: the item waits and is tried again
│   ├── TritonUnavailable         ours: without end, nothing is ever dead-lettered for it
│   ├── StoreUnavailable          ours
│   ├── BrokerUnavailable         ours
│   ├── DeviceOutOfMemory         ours: the GPU's memory is full for now
│   ├── BackgroundsFull           ours: background pictures in use leave no room for another
│   └── SourceUnavailable         the request's own source: a bounded number of attempts, then SourceFailed
│       └── BackgroundUnavailable   the request's own background: likewise, then BackgroundFailed
├── Poison                      this request can never succeed: one `failed` result and a dead letter
│   ├── InvalidRequest            not JSON, unknown or ill-typed field
│   ├── InvalidProfile            a profile that this deployment does not serve
│   ├── InvalidOption             a well-typed value that makes no sense (`option` names it)
│   ├── RefusedAddress            source or destination outside the allowed schemes, hosts, buckets or roots
│   ├── SourceFailed              missing object, 404, or attempts used up
│   │   └── BackgroundFailed        the same of the background
│   ├── FileTooLarge              more bytes than allowed
│   ├── UnsupportedImage          not one of the accepted formats
│   ├── ResolutionTooHigh         more pixels than allowed, known before decoding
│   ├── UnreadableImage           empty, truncated, corrupt, or the decoder crashed or hung
│   ├── UnknownBackground         a name that is not in the catalogue of backgrounds
│   ├── RefusedBackground         background outside the allowed schemes, hosts, buckets or roots
│   ├── UnusableBackground        background too large, of another format, or not readable
│   ├── RegionOutOfBounds         `roi` lies outside the picture
│   ├── UnknownForeground         nothing found to cut out
│   ├── InferenceFailed           Triton fails on this very photo, also when it is sent alone
│   └── Unexpected                a bug met while working on this request
├── Expired                     the request's deadline has passed: one `expired` result
└── Fatal                       we are wrong: abort the transaction, stop, exit non-zero
    ├── ConfigurationError        a setting
    ├── ModelMismatch             the served model's tensors are not the product's
    ├── WeightsMissing            a model's weights are not at hand; the message says what gets them
    ├── DeviceLost                the GPU, or a kernel on it, failed
    ├── Fenced                    another worker took this transactional id
    ├── StackError                an embedded server of the local stack did not start, or died
    └── PoisonLimit               too many failures in a row to be the requests' fault

Codes follow remove.bg where it has one (docs/errors.md).
"""

from __future__ import annotations

from typing import ClassVar


class CutstreamError(Exception):
    """`code` is the result's error code, the metric's label and the dead letter's header at once.

    `retryable` tells the requester whether the same request may succeed when sent again. docs/errors.md is made from
    the docstrings: when it is raised, then what to do.
    """

    code: ClassVar[str] = "internal"
    retryable: bool = False


class Retryable(CutstreamError):
    """The world is not ready: the request waits and is tried again.

    Ours, and so without end, unless a subclass says otherwise; `retry_after_s` is a hint, not a promise.
    """

    retryable = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TritonUnavailable(Retryable):
    """Triton is away, starting, or does not answer in time.

    Nothing is lost: requests wait. Look at Triton's own log and at `/readyz`.
    """

    code = "triton_unavailable"


class StoreUnavailable(Retryable):
    """The destination's store is away, or refuses for now.

    Nothing is lost: requests wait. Check the store and the credentials in the settings.
    """

    code = "store_unavailable"


class BrokerUnavailable(Retryable):
    """No broker answers.

    Nothing is lost: the worker waits. Check the brokers and `CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS`.
    """

    code = "broker_unavailable"


class DeviceOutOfMemory(Retryable):
    """The GPU's memory is full for now.

    Nothing is lost: requests wait. Where it stays, lower `CUTSTREAM_WORKER__MEMORY_BYTES` or
    `CUTSTREAM_WORKER__WINDOW`, or look who else uses the device.
    """

    code = "device_out_of_memory"


class BackgroundsFull(Retryable):
    """The background pictures of requests under way fill `CUTSTREAM_WORKER__BACKGROUND_BYTES`.

    Nothing is lost: requests wait. Where it stays, raise it, or lower `CUTSTREAM_WORKER__WINDOW`.
    """

    code = "backgrounds_full"


class SourceUnavailable(Retryable):
    """The request's own source is not reachable now (timeout, refused connection, 429, 5xx).

    Tried again up to `CUTSTREAM_LIMITS__SOURCE_ATTEMPTS` times; then the request fails with SourceFailed.
    """

    code = "failed_image_download"

    def given_up(self, attempts: int) -> Poison:
        """What the request fails with once its attempts are used up."""
        return SourceFailed(f"{self} ({attempts} attempts)", retryable=True)


class BackgroundUnavailable(SourceUnavailable):
    """The address of the request's background is not reachable now (timeout, refused connection, 429, 5xx).

    Tried again up to `CUTSTREAM_LIMITS__SOURCE_ATTEMPTS` times; then the request fails with BackgroundFailed.
    """

    code = "failed_bg_download"

    def given_up(self, attempts: int) -> Poison:
        return BackgroundFailed(f"{self} ({attempts} attempts)", retryable=True)


class Poison(CutstreamError):
    """This request can never succeed: it gets one `failed` result and a dead letter.

    Correct the cause and replay the dead letter.
    """

    code = "unexpected"


class InvalidRequest(Poison):
    """The request is not JSON, not a CloudEvent though it says so, or has an unknown or ill-typed field.

    Correct the field that the message names; `docs/schemas/request.json` has them all.
    """

    code = "invalid_request"


class InvalidProfile(Poison):
    """The request names a profile that this deployment does not serve.

    Name one of those in the message, or add it to `CUTSTREAM_MODELS__PROFILES`.
    """

    code = "invalid_profile"


class InvalidOption(Poison):
    """A well-typed value makes no sense, alone or together with another.

    Correct the option that the message names.
    """

    code = "invalid_option"


class RefusedAddress(Poison):
    """The source or destination lies outside the allowed schemes, hosts, buckets or roots.

    Move the object, or widen the `CUTSTREAM_OBJECTS__*` setting that the message names.
    """

    code = "invalid_image_url"


class SourceFailed(Poison):
    """There is nothing at the source's address (404, missing file or object), or all attempts were used up.

    Check the address. Where `retryable` is true the source was away: send the request again later.
    """

    code = "failed_image_download"

    def __init__(self, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class BackgroundFailed(SourceFailed):
    """There is nothing where the request's background should be (404, missing file or object), or all attempts were
    used up.

    Check the address, or add the catalogue's picture again. Where `retryable` is true the background was away: send the
    request again later.
    """

    code = "failed_bg_download"


class FileTooLarge(Poison):
    """The source has more bytes than `CUTSTREAM_LIMITS__MAX_SOURCE_BYTES`.

    Send a smaller file, or raise the limit.
    """

    code = "file_too_large"


class UnsupportedImage(Poison):
    """The source is not one of the accepted formats, whatever its name says.

    Convert it; the message lists the formats.
    """

    code = "invalid_file_type"


class ResolutionTooHigh(Poison):
    """The source has more pixels than `CUTSTREAM_LIMITS__MAX_SOURCE_PIXELS`; known before decoding.

    Send a smaller picture, or raise the limit together with `CUTSTREAM_WORKER__MEMORY_BYTES`.
    """

    code = "resolution_too_high"


class UnreadableImage(Poison):
    """The source is empty, truncated or corrupt, or its decoder crashed or hung.

    Open the file elsewhere; if that works, keep it and report it.
    """

    code = "failed_to_read_image"


class UnknownBackground(Poison):
    """`background.image` is no address, and no name in the catalogue of backgrounds.

    Correct the name; `cutstream backgrounds list` has them all, `cutstream backgrounds add` adds one.
    """

    code = "invalid_bg_image"


class RefusedBackground(Poison):
    """The background's address lies outside the allowed schemes, hosts, buckets or roots: those of sources.

    Move the picture, add it to the catalogue, or widen the `CUTSTREAM_OBJECTS__*` setting that the message names.
    """

    code = "invalid_bg_image_url"


class UnusableBackground(Poison):
    """The background, not the photo, is too large, of no accepted format, or not readable; limits are those of sources.

    Send another picture; the message says what is wrong with this one.
    """

    code = "invalid_bg_image"


class RegionOutOfBounds(Poison):
    """`roi` lies outside the picture.

    Correct `roi`; it refers to the upright picture, after the EXIF orientation.
    """

    code = "roi_exceeds_bounds"


class UnknownForeground(Poison):
    """Nothing was found to cut out, or nothing within `roi`.

    Try another profile, or correct `roi`.
    """

    code = "unknown_foreground"


class InferenceFailed(Poison):
    """Triton fails on this very photo, also when it is sent alone.

    Look at Triton's log; then replay the dead letter, or use another profile.
    """

    code = "inference_failed"


class Unexpected(Poison):
    """A bug met while working on this request.

    Report it with the worker's log of this request, which has the stack; then replay the dead letter.
    """

    code = "unexpected"


class Expired(CutstreamError):
    """The request's `deadline` passed before its picture was finished.

    Allow more time, or add workers. There is no dead letter.
    """

    code = "expired"


class Fatal(CutstreamError):
    """The worker is wrong: it aborts its transaction, stops and exits non-zero.

    Nothing is committed, so nothing is lost; correct the cause and restart.
    """

    code = "fatal"


class ConfigurationError(Fatal):
    """A setting is missing, wrong, unknown, or contradicts another.

    Correct the variable that the message names; see settings.md.
    """

    code = "configuration"


class ModelMismatch(Fatal):
    """The served model's tensors are not what the worker expects.

    Serve this release's own `model_repository/`.
    """

    code = "model_mismatch"


class WeightsMissing(Fatal):
    """A model's weights are not at hand.

    Run the command in the message, or set `CUTSTREAM_MODELS__MIRROR`.
    """

    code = "weights_missing"


class DeviceLost(Fatal):
    """The GPU is gone, or a kernel on it failed; after either, its context is of no more use.

    Look at the system's log (Xid lines of `dmesg`) and at `nvidia-smi`; `CUTSTREAM_WORKER__DEVICE=cpu` goes on without.
    """

    code = "device_lost"


class Fenced(Fatal):
    """Another worker took over this worker's transactional id.

    Give each worker its own `CUTSTREAM_KAFKA__TRANSACTIONAL_ID`, or none.
    """

    code = "fenced"


class StackError(Fatal):
    """An embedded server of the local stack did not start, or died.

    Read the end of its log, which the message quotes.
    """

    code = "stack"


class PoisonLimit(Fatal):
    """`CUTSTREAM_WORKER__MAX_CONSECUTIVE_FAILURES` requests in a row failed: too many to be the requests' fault.

    Look at the last results' codes, correct what they have in common, restart.
    """

    code = "poison_limit"
