"""Errors that end one request: it fails, and the others go on."""

from __future__ import annotations

from typing import Literal, TypeAlias

from cutstream.errors.base import CutstreamError

PointsTo: TypeAlias = Literal["request", "settings", "deployment"]
"""Where the cause of a failed request is likely to be: in the request itself or the place that it names, in the
deployment's settings, or elsewhere in the deployment (consumer/delivery/failure_limit.py)."""


class Poison(CutstreamError):
    """This request can never succeed. It gets one `failed` result and a dead letter.

    Correct the cause and replay the dead letter.
    """

    code = "unexpected"
    points_to: PointsTo = "request"


class InvalidRequest(Poison):
    """The request is not JSON in UTF-8 (an empty record, a tombstone, the bytes of an image, Avro, Protobuf, UTF-16),
    is not the CloudEvent that it claims to be (several events in one record, attributes that are missing, `data` and
    `data_base64` at once), or has a field that is unknown, of another type or beyond its limits. The message says what
    was received.

    Correct the field that the message names. `docs/schemas/request.json` describes all fields.
    """

    code = "invalid_request"


class RequestTooLarge(Poison):
    """The request's record is too large: its key, value and headers have more than 512 KiB together, uncompressed.
    Each header counts 10 bytes more than its name and its value.

    Send less, for instance fewer labels or headers, and the photo's address instead of the photo. The dead letter holds
    only the beginning of the request, and cannot be replayed.
    """

    code = "request_too_large"


class UnreadableRequest(Poison):
    """The request's record cannot be read: its batch unpacks to more than 24 MiB, or is not what its compression or
    Kafka's format says. One answer stands for a batch of more than 250,000 records.

    Send the request again, uncompressed or with another client. Nobody could read who sent what: the result's id is the
    record's topic, partition and offset, and the dead letter is empty and cannot be replayed.
    """

    code = "unreadable_request"


class InvalidProfile(Poison):
    """The request names a profile that this deployment does not serve.

    Use a profile that the message lists, or add this one to `CUTSTREAM_MODELS__PROFILES`.
    """

    code = "invalid_profile"


class InvalidOption(Poison):
    """An option's value has the right type but makes no sense, on its own or together with another option, or the
    option does nothing for any of the outputs.

    Correct the option that the message names.
    """

    code = "invalid_option"


class RefusedAddress(Poison):
    """The source is not an address of a supported form (a control character, a user name, a key with an empty part, a
    path that is too deep or too long).

    Correct the address: docs/addresses.md says what each form means. The message says what is wrong with it.
    """

    code = "invalid_image_url"


class AddressNotAllowed(RefusedAddress):
    """The source lies outside the hosts, buckets or folders that the settings allow.

    Move the object, or extend the `CUTSTREAM_OBJECTS__*` setting that the message names.
    """

    points_to: PointsTo = "settings"


class RefusedDestination(Poison):
    """The request's `destination` is not an address of a supported form, is too deep or too long, lies outside the
    folders and buckets that the settings allow, is no folder, or denies access.

    Correct it, leave it out for the default destination, or extend the `CUTSTREAM_OBJECTS__*` setting that the message
    names. What shows only when the outputs are written, such as missing rights, fails in stage `store`; all else fails
    before any work.
    """

    code = "invalid_destination"
    points_to: PointsTo = "request"

    def __init__(self, message: str, points_to: PointsTo = "request") -> None:
        super().__init__(message)
        self.points_to = points_to


class OutputRefused(Poison):
    """The default destination takes other objects, but not an output of this request: something has its name or a part
    of it (a folder, or an object where a folder is needed), may not be replaced, or the store takes none of its size.

    Send the request with another `id`, or remove what is in the way and replay the dead letter. The message has the
    store's own words.
    """

    code = "output_refused"


class DestinationFailed(Poison):
    """The destination that the request names was not available, and the last attempt to write to it failed, too.

    Replay the dead letter once the destination is available, or leave `destination` out for the default one.
    """

    code = "destination_unavailable"
    retryable = True


class SourceFailed(Poison):
    """There is nothing at the source's address (404, missing file or object, an expired signature, an answer with no
    file, only a part of it, one that cannot be unpacked or that breaks the rules of HTTP), or the last attempt to fetch
    it failed.

    Check the address, and how long its signature is valid. If `retryable` is true, the source was not available: replay
    the dead letter once it is.
    """

    code = "failed_image_download"

    def __init__(self, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class NoSuchHost(SourceFailed):
    """The source's host has no address: the name does not exist.

    Check the address.
    """


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
    """The source is not an image of an accepted format: it is a web page, a PDF, an archive, a video, a RAW photo or an
    empty file. Or it is an intact image of a variety that is not read: 32-bit or floating-point samples, JPEG
    of 12 bits, TIFF with a rare compression, HEIF with another codec than HEVC or AV1. Its file name does not matter.

    The message says what the file is. Convert it, or correct the address that leads to it.
    """

    code = "invalid_file_type"


class ResolutionTooHigh(Poison):
    """The source has more pixels than `CUTSTREAM_LIMITS__MAX_SOURCE_PIXELS`, or a side of more than 65,535.
    It is refused before it is decoded.

    Send a smaller image, or raise the limit together with `CUTSTREAM_WORKER__MEMORY_BYTES`.
    """

    code = "resolution_too_high"


class UnreadableImage(Poison):
    """The source is truncated or corrupt, holds only part of its picture (a progressive JPEG whose last scans are
    missing), or is built so that decoding it takes too long (a JPEG of hundreds of scans, a TIFF of millions of
    strips). Damage to what only describes the picture, such as EXIF, does not count.

    Open the file with another program. If that works, save it again there; keep the original and report it.
    """

    code = "failed_to_read_image"


class DecoderFailed(UnreadableImage):
    """The decoder crashed or hung while it read the source, and a new one works.

    Keep the file and report it: it may be hostile. If `retryable` is true, the decoder was killed from outside or had
    too little processor time: look for a lack of memory or of processors.
    """

    def __init__(self, message: str, points_to: PointsTo = "request") -> None:
        super().__init__(message)
        self.points_to = points_to
        self.retryable = points_to == "deployment"


class UnknownBackground(Poison):
    """`background.image` is neither an address nor a name in the background catalogue.

    Correct the name. `cutstream backgrounds list` shows all names, `cutstream backgrounds add` adds a picture.
    """

    code = "invalid_bg_image"
    points_to: PointsTo = "settings"


class RefusedBackground(Poison):
    """The background's address lies outside the schemes, hosts, buckets or folders that are allowed for sources.

    Move the picture, add it to the catalogue, or extend the `CUTSTREAM_OBJECTS__*` setting that the message names.
    """

    code = "invalid_bg_image_url"
    points_to: PointsTo = "settings"

    def __init__(self, message: str, points_to: PointsTo = "settings") -> None:
        super().__init__(message)
        self.points_to = points_to


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
    """No subject was found in the image, or none within `roi`: it is plain, noise, a pattern, or a scene without one.

    Try another profile, or set `roi` to where the subject is: then whatever the network finds there counts. If it
    happens with photos that have one, look at the model: a worker does not halt because of it, since nobody's harmless
    photos may stop the others'.
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
