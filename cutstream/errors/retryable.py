"""Errors that pass: the request waits and is tried again."""

from __future__ import annotations

from cutstream.errors.base import CutstreamError
from cutstream.errors.poison import BackgroundFailed, DestinationFailed, Poison, SourceFailed


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
    """The object store of the default destination cannot be reached, or takes no object at the moment.

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


class OutOfResources(Retryable):
    """The worker has no file descriptors, threads or memory left, or the machine has none.

    Requests wait, and none is lost. If it persists, find out what uses them (`ls /proc/<pid>/fd`), and raise the limit
    (`ulimit -Hn`: the worker uses up to 65,536 descriptors) or lower `CUTSTREAM_WORKER__WINDOW`.
    """

    code = "out_of_resources"


class BackgroundsFull(Retryable):
    """Background pictures that are being decoded and fitted fill `CUTSTREAM_WORKER__BACKGROUND_BYTES`.

    Requests wait, and none is lost. If it persists, raise that setting.
    """

    code = "backgrounds_full"


class DecodersUnavailable(Retryable):
    """A decoder process has ended and does not start again, for instance because the machine's memory is full.

    Requests wait, and none is lost. The log says why. If no decoder starts any more, the worker stops after some
    minutes.
    """

    code = "decoders_unavailable"


class MattingNotReady(Retryable):
    """A request asks for an exact matting, and PyMatting is being compiled, which takes a minute once on each machine.

    Requests for an exact matting wait, from the retry topic, and others go on. If it happens after every start, nothing
    keeps the compiled code: set `NUMBA_CACHE_DIR` to a folder that stays.
    """

    code = "matting_not_ready"


class TakesLong(Retryable):
    """The request is expected to take long: its source answers slowly, or it asks for an exact matting or much work.

    Do nothing: it moves to the retry topic at once, which counts as no attempt. There only such requests wait for it.
    """

    code = "takes_long"


class PlaceUnavailable(Retryable):
    """A place that the request itself names is not available at the moment. Each kind of place has an error of its own.

    Do nothing: the request waits on the retry topic and is tried again, until its attempts are used up.
    """

    def __init__(self, message: str, retry_after_s: float | None = None, answered: bool = False) -> None:
        super().__init__(message, retry_after_s)
        self.answered = answered  # the way to the place works: it said that it is not ready

    def given_up(self, attempts: int) -> Poison:
        """Return the error with which the request fails after its last attempt."""
        raise NotImplementedError


class SourceUnavailable(PlaceUnavailable):
    """The request's source is not available at the moment (timeout, refused or cut connection, 202, 423, 429,
    5xx).

    Do nothing: the request waits on the retry topic and is tried again. After `CUTSTREAM_LIMITS__SOURCE_ATTEMPTS` and
    `CUTSTREAM_LIMITS__RETRIES` attempts it fails with SourceFailed.
    """

    code = "failed_image_download"

    def given_up(self, attempts: int) -> Poison:
        return SourceFailed(f"{self} ({attempts} attempts)", retryable=True)


class BackgroundUnavailable(SourceUnavailable):
    """The request's background is not available at the moment (timeout, refused or cut connection, 202, 423, 429,
    5xx).

    Do nothing: the request waits on the retry topic and is tried again. After `CUTSTREAM_LIMITS__SOURCE_ATTEMPTS` and
    `CUTSTREAM_LIMITS__RETRIES` attempts it fails with BackgroundFailed.
    """

    code = "failed_bg_download"

    def given_up(self, attempts: int) -> Poison:
        return BackgroundFailed(f"{self} ({attempts} attempts)", retryable=True)


class DestinationUnavailable(PlaceUnavailable):
    """The destination that the request names is not available at the moment (timeout, refused connection, 429, 5xx, a
    full disk).

    Do nothing: the request waits on the retry topic and is tried again. After `CUTSTREAM_LIMITS__SOURCE_ATTEMPTS` and
    `CUTSTREAM_LIMITS__RETRIES` attempts it fails with DestinationFailed. In the bucket or folder of
    CUTSTREAM_OBJECTS__DESTINATION it has `CUTSTREAM_LIMITS__OUTAGE_RETRIES` more.
    """

    code = "destination_unavailable"

    def __init__(self, message: str, is_ours: bool = False) -> None:
        super().__init__(message)
        self.is_ours = is_ours  # it lies in the bucket or folder of the default destination

    def given_up(self, attempts: int) -> Poison:
        return DestinationFailed(f"{self} ({attempts} attempts)")
