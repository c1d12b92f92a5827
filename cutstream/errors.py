"""All named errors. The base class decides what the worker does.

CutstreamError
├── Retryable                   something is not ready: the request waits and is tried again
│   ├── TritonUnavailable         the Triton server: retried without limit, no dead letter
│   │   ├── WrongAnswer             an answer that does not belong to the images: likewise
│   │   └── ModelReloaded           an answer of another model than described: likewise
│   ├── StoreUnavailable          the destination's object store: retried without limit
│   ├── BrokerUnavailable         the Kafka brokers: retried without limit
│   ├── DeviceOutOfMemory         the GPU's memory is full at the moment: retried without limit
│   ├── BackgroundsFull           the background pictures in use fill their memory: retried without limit
│   └── SourceUnavailable         the request's own source: the retry topic, and in the end SourceFailed
│       └── BackgroundUnavailable   the request's own background: likewise, and in the end BackgroundFailed
├── Poison                      this request can never succeed: one `failed` result and a dead letter
│   ├── InvalidRequest            not JSON, or a field that is unknown or of the wrong type
│   ├── RequestTooLarge           a record with more bytes than any request needs
│   ├── InvalidProfile            a profile that this deployment does not serve
│   ├── InvalidOption             a value of the right type that makes no sense; the message names the option
│   ├── RefusedAddress            not an address of a supported form, or a destination that denies access
│   │   └── AddressNotAllowed       a source or destination outside the allowed hosts, buckets or folders
│   ├── SourceFailed              a missing object, 404, or no attempts left
│   │   └── BackgroundFailed        the same for the background
│   ├── FileTooLarge              more bytes than allowed
│   ├── UnsupportedImage          none of the accepted formats
│   ├── ResolutionTooHigh         more pixels than allowed; known before decoding
│   ├── UnreadableImage           empty, truncated or corrupt
│   │   └── DecoderFailed           its decoder crashed or hung
│   ├── UnknownBackground         a name that is not in the background catalogue
│   ├── RefusedBackground         a background outside the allowed schemes, hosts, buckets or folders
│   ├── UnusableBackground        a background that is too large, of another format, or not readable
│   ├── RegionOutOfBounds         `roi` lies outside the image
│   ├── UnknownForeground         no subject was found
│   ├── InferenceFailed           Triton fails on this image even when it is sent alone
│   └── Unexpected                a bug that showed while this request was processed
├── Expired                     the request's deadline has passed: one `expired` result
├── Cancelled                   the request was called off: one `cancelled` result
└── Fatal                       the worker cannot continue: it aborts its transaction and exits non-zero
    ├── ConfigurationError        a wrong setting
    ├── ModelMismatch             a served model with other tensors than this release expects
    ├── WeightsMissing            a model without weights; the message names the command that gets them
    ├── DeviceLost                the GPU, or a kernel on it, failed
    ├── Fenced                    another worker has taken over the transactional id
    ├── StackError                an embedded server of the local stack did not start, or died
    └── PoisonLimit               too many failures in a row to be the fault of the requests: the worker halts

Codes are those of remove.bg where it has one (docs/errors.md).
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

PointsTo: TypeAlias = Literal["request", "source", "settings", "deployment"]
"""Where the cause of a failed request is likely to be: in the request itself, at the place its photo comes from, in
the deployment's settings, or elsewhere in the deployment (consumer/delivery/failure_limit.py)."""

OPERATOR_NEEDED = 78  # EX_CONFIG of sysexits.h; systemd's example for RestartPreventExitStatus


class CutstreamError(Exception):
    """The base of all errors. `code` is the result's error code, the metrics' label and the dead letter's header.

    `retryable` tells the requester whether the same request may succeed later. A worker that ends because of the error
    exits with `exit_status`. docs/errors.md is generated from the docstrings: the first paragraph says when the error
    occurs, the second what to do.
    """

    code: ClassVar[str] = "internal"
    exit_status: ClassVar[int] = 1
    retryable: bool = False


class Retryable(CutstreamError):
    """Something that the request needs is not ready. The request waits and is tried again.

    Attempts have no limit unless the table says otherwise.
    """

    retryable = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s  # the server's own hint, if it gave one


class TritonUnavailable(Retryable):
    """Triton cannot be reached, is still starting, or does not answer in time.

    Requests wait, and none is lost. Check Triton's log and the worker's `/readyz`.
    """

    code = "triton_unavailable"


class WrongAnswer(TritonUnavailable):
    """Triton's answer does not belong to the images that were sent, or is incomplete. It is discarded.

    Requests wait and are sent again, and none is lost. If it persists, restart Triton.
    """

    code = "wrong_answer"


class ModelReloaded(TritonUnavailable):
    """Triton answered with another model than its ensemble's description says. The answer is discarded.

    Requests wait and are sent again with the new description. If it persists, load the ensemble again, not only one of
    its steps.
    """

    code = "model_reloaded"


class StoreUnavailable(Retryable):
    """The destination's object store cannot be reached, or refuses requests at the moment.

    Requests wait, and none is lost. Check the store and the credentials in the settings.
    """

    code = "store_unavailable"


class BrokerUnavailable(Retryable):
    """No Kafka broker answers.

    The worker waits, and no request is lost. Check the brokers and `CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS`.
    """

    code = "broker_unavailable"


class DeviceOutOfMemory(Retryable):
    """The GPU's memory is full at the moment.

    Requests wait, and none is lost. If it persists, lower `CUTSTREAM_WORKER__MEMORY_BYTES` or
    `CUTSTREAM_WORKER__WINDOW`, or find out what else uses the device.
    """

    code = "device_out_of_memory"


class BackgroundsFull(Retryable):
    """The background pictures of the requests in flight fill `CUTSTREAM_WORKER__BACKGROUND_BYTES`.

    Requests wait, and none is lost. If it persists, raise that setting or lower `CUTSTREAM_WORKER__WINDOW`.
    """

    code = "backgrounds_full"


class SourceUnavailable(Retryable):
    """The request's source is not available at the moment (timeout, refused connection, 429, 5xx).

    Do nothing: the request waits on the retry topic and is tried again. After `CUTSTREAM_LIMITS__SOURCE_ATTEMPTS` and
    `CUTSTREAM_LIMITS__RETRIES` attempts it fails with SourceFailed.
    """

    code = "failed_image_download"

    def given_up(self, attempts: int) -> Poison:
        """Return the error with which the request fails after its last attempt."""
        return SourceFailed(f"{self} ({attempts} attempts)", retryable=True)


class BackgroundUnavailable(SourceUnavailable):
    """The request's background is not available at the moment (timeout, refused connection, 429, 5xx).

    Do nothing: the request waits on the retry topic and is tried again. After `CUTSTREAM_LIMITS__SOURCE_ATTEMPTS` and
    `CUTSTREAM_LIMITS__RETRIES` attempts it fails with BackgroundFailed.
    """

    code = "failed_bg_download"

    def given_up(self, attempts: int) -> Poison:
        return BackgroundFailed(f"{self} ({attempts} attempts)", retryable=True)


class Poison(CutstreamError):
    """This request can never succeed. It gets one `failed` result and a dead letter.

    Correct the cause and replay the dead letter.
    """

    code = "unexpected"
    points_to: PointsTo = "request"


class InvalidRequest(Poison):
    """The request is not JSON, is not the CloudEvent that it claims to be, or has an unknown or ill-typed field.

    Correct the field that the message names. `docs/schemas/request.json` describes all fields.
    """

    code = "invalid_request"


class RequestTooLarge(Poison):
    """The request's record is too large: its key, value and headers have more than 512 KiB together, uncompressed.

    Send less, for instance fewer labels or headers. A photo does not belong into a request, but its address. The dead
    letter holds the beginning of the request only, and cannot be replayed.
    """

    code = "request_too_large"


class InvalidProfile(Poison):
    """The request names a profile that this deployment does not serve.

    Use a profile that the message lists, or add this one to `CUTSTREAM_MODELS__PROFILES`.
    """

    code = "invalid_profile"


class InvalidOption(Poison):
    """An option's value has the right type but makes no sense, on its own or together with another option.

    Correct the option that the message names.
    """

    code = "invalid_option"


class RefusedAddress(Poison):
    """The source or destination is not an address of a supported form, or the request's own destination denies access.

    Correct the address. The message says what is wrong with it.
    """

    code = "invalid_image_url"


class AddressNotAllowed(RefusedAddress):
    """The source or destination lies outside the hosts, buckets or folders that the settings allow.

    Move the object, or extend the `CUTSTREAM_OBJECTS__*` setting that the message names.
    """

    points_to = "settings"


class SourceFailed(Poison):
    """There is nothing at the source's address (404, missing file or object), or the last attempt to fetch it failed.

    Check the address. If `retryable` is true, the source was not available: replay the dead letter once it is.
    """

    code = "failed_image_download"
    points_to: PointsTo = "source"

    def __init__(self, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        if not retryable:  # an answer: the way to the source works, and there is nothing
            self.points_to = "request"


class BackgroundFailed(SourceFailed):
    """There is nothing at the background's address (404, missing file or object), or the last attempt to fetch it
    failed.

    Check the address, or add the picture to the catalogue again. If `retryable` is true, the background was not
    available: replay the dead letter once it is.
    """

    code = "failed_bg_download"


class FileTooLarge(Poison):
    """The source has more bytes than `CUTSTREAM_LIMITS__MAX_SOURCE_BYTES`.

    Send a smaller file, or raise the limit.
    """

    code = "file_too_large"


class UnsupportedImage(Poison):
    """The source's content is in none of the accepted formats. Its file name does not matter.

    Convert the file. The message lists the formats.
    """

    code = "invalid_file_type"


class ResolutionTooHigh(Poison):
    """The source has more pixels than `CUTSTREAM_LIMITS__MAX_SOURCE_PIXELS`. It is refused before it is decoded.

    Send a smaller image, or raise the limit together with `CUTSTREAM_WORKER__MEMORY_BYTES`.
    """

    code = "resolution_too_high"


class UnreadableImage(Poison):
    """The source is empty, truncated or corrupt.

    Open the file with another program. If that works, keep the file and report it.
    """

    code = "failed_to_read_image"


class DecoderFailed(UnreadableImage):
    """The decoder crashed or hung while it read the source.

    Keep the file and report it: it may be hostile. If all files fail, look for a lack of memory or a broken library.
    """

    points_to = "deployment"


class UnknownBackground(Poison):
    """`background.image` is neither an address nor a name in the background catalogue.

    Correct the name. `cutstream backgrounds list` shows all names, `cutstream backgrounds add` adds a picture.
    """

    code = "invalid_bg_image"
    points_to = "settings"


class RefusedBackground(Poison):
    """The background's address lies outside the schemes, hosts, buckets or folders that are allowed for sources.

    Move the picture, add it to the catalogue, or extend the `CUTSTREAM_OBJECTS__*` setting that the message names.
    """

    code = "invalid_bg_image_url"
    points_to = "settings"


class UnusableBackground(Poison):
    """The background picture is too large, in none of the accepted formats, or not readable. The limits for sources
    apply.

    Use another picture. The message says what is wrong with this one.
    """

    code = "invalid_bg_image"


class RegionOutOfBounds(Poison):
    """`roi` lies outside the image.

    Correct `roi`. It refers to the upright image, after the EXIF orientation has been applied.
    """

    code = "roi_exceeds_bounds"


class UnknownForeground(Poison):
    """No subject was found in the image, or none within `roi`.

    Try another profile, or correct `roi`. If it happens with photos that have one, look at the model: a worker does not
    halt because of it, since nobody's harmless photos may stop the others'.
    """

    code = "unknown_foreground"


class InferenceFailed(Poison):
    """Triton fails on this image even when it is sent alone.

    Check Triton's log. Then replay the dead letter, or use another profile.
    """

    code = "inference_failed"
    points_to = "deployment"


class Unexpected(Poison):
    """A bug in cutstream showed while this request was processed.

    Report it with the worker's log of this request, which has the stack trace. Then replay the dead letter.
    """

    code = "unexpected"
    points_to = "deployment"


class Expired(CutstreamError):
    """The request's `deadline` passed before its outputs were finished, or passes before the next attempt to fetch its
    source.

    Allow more time, or add workers. There is no dead letter.
    """

    code = "expired"


class Cancelled(CutstreamError):
    """The request was called off with `cutstream cancel` before its outputs were finished.

    Do nothing. There is no dead letter. If it was called off by mistake, send it again; a cancellation applies only to
    requests written before it.
    """

    code = "cancelled"


class Fatal(CutstreamError):
    """The worker cannot continue. It aborts its transaction, stops and exits non-zero: with status 78 if another start
    alone does not help.

    Nothing is committed, so no request is lost. Correct the cause and start the worker again.
    """

    code = "fatal"


class ConfigurationError(Fatal):
    """A setting is missing, wrong or unknown, or contradicts another.

    Correct the variable that the message names. docs/settings.md describes all settings.
    """

    code = "configuration"
    exit_status = OPERATOR_NEEDED


class ModelMismatch(Fatal):
    """The description of a model that Triton serves states other tensors than the worker expects, or no receipts.

    Serve the repository that `cutstream models render` of this release writes.
    """

    code = "model_mismatch"
    exit_status = OPERATOR_NEEDED


class WeightsMissing(Fatal):
    """The weights of a model are not on this machine.

    Run the command in the message, or set `CUTSTREAM_MODELS__MIRROR` to a folder that has them.
    """

    code = "weights_missing"
    exit_status = OPERATOR_NEEDED


class DeviceLost(Fatal):
    """The GPU is gone, or a kernel on it failed. The process cannot use the GPU after that.

    Check the system's log (Xid lines of `dmesg`) and `nvidia-smi`. `CUTSTREAM_WORKER__DEVICE=cpu` runs without a GPU.
    """

    code = "device_lost"


class Fenced(Fatal):
    """Another worker took over this worker's transactional id.

    Give each worker a `CUTSTREAM_KAFKA__TRANSACTIONAL_ID` of its own, or leave it empty.
    """

    code = "fenced"
    exit_status = OPERATOR_NEEDED


class StackError(Fatal):
    """An embedded server of the local stack did not start, or died.

    Read the end of its log, which the message quotes.
    """

    code = "stack"


class PoisonLimit(Fatal):
    """`CUTSTREAM_WORKER__MAX_CONSECUTIVE_FAILURES` failures in a row point to the deployment, not to the requests.

    The worker halts: it commits what is finished, leaves the group and waits for an operator. Correct the cause that
    the message names, restart the worker, and replay the dead letters. If the requests are at fault after all, restart
    it as it is.
    """

    code = "poison_limit"  # exit status 1: whoever ends the halted worker has seen it, and may start it again
