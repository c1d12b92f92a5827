"""All named errors. The base class decides what the worker does.

CutstreamError
├── Retryable                   something is not ready: the request waits and is tried again
│   ├── TritonUnavailable         the Triton server: retried without limit, no dead letter
│   │   ├── WrongAnswer             an answer that does not belong to the images: likewise
│   │   └── ModelReloaded           an answer of another model than described: likewise
│   ├── StoreUnavailable          the default destination's object store: retried without limit
│   ├── BrokerUnavailable         the Kafka brokers: retried without limit
│   ├── DeviceOutOfMemory         the GPU's memory is full at the moment: retried without limit
│   ├── OutOfResources            no descriptors or threads left: retried without limit
│   ├── DecodersUnavailable       decoder processes that do not start again: retried without limit
│   ├── MattingNotReady           PyMatting is being compiled for the exact mattings: retried without limit
│   ├── BackgroundsFull           the background pictures in use fill their memory: retried without limit
│   ├── TakesLong                 work that would hold others: the retry topic, due at once
│   └── PlaceUnavailable          a place that the request itself names: the retry topic, and in the end it fails
│       ├── SourceUnavailable       its source: SourceFailed in the end
│       │   └── BackgroundUnavailable its background: BackgroundFailed in the end
│       └── DestinationUnavailable  its destination: DestinationFailed in the end
├── Poison                      this request can never succeed: one `failed` result and a dead letter
│   ├── InvalidRequest            not JSON, or a field that is unknown or of the wrong type
│   ├── RequestTooLarge           a record with more bytes than any request needs
│   ├── UnreadableRequest         a record whose batch its sender made unreadable
│   ├── InvalidProfile            a profile that this deployment does not serve
│   ├── InvalidOption             a value of the right type that makes no sense; the message names the option
│   ├── RefusedAddress            a source that is not an address of a supported form
│   │   └── AddressNotAllowed       a source outside the allowed hosts, buckets or folders
│   ├── RefusedDestination        a destination of another form, outside what is allowed, or that denies access
│   ├── OutputRefused             an output that the default destination refuses, while it takes others
│   ├── DestinationFailed         a destination of its own that was away, and no attempts left
│   ├── SourceFailed              a missing object, 404, or no attempts left
│   │   ├── NoSuchHost              a host name that does not exist
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

from cutstream.errors.base import CutstreamError
from cutstream.errors.ended import Cancelled, Expired
from cutstream.errors.fatal import (
    OPERATOR_NEEDED,
    ConfigurationError,
    DeviceLost,
    Fatal,
    Fenced,
    ModelMismatch,
    PoisonLimit,
    StackError,
    WeightsMissing,
)
from cutstream.errors.poison import (
    AddressNotAllowed,
    BackgroundFailed,
    DecoderFailed,
    DestinationFailed,
    FileTooLarge,
    InferenceFailed,
    InvalidOption,
    InvalidProfile,
    InvalidRequest,
    NoSuchHost,
    OutputRefused,
    PointsTo,
    Poison,
    RefusedAddress,
    RefusedBackground,
    RefusedDestination,
    RegionOutOfBounds,
    RequestTooLarge,
    ResolutionTooHigh,
    SourceFailed,
    Unexpected,
    UnknownBackground,
    UnknownForeground,
    UnreadableImage,
    UnreadableRequest,
    UnsupportedImage,
    UnusableBackground,
)
from cutstream.errors.retryable import (
    BackgroundsFull,
    BackgroundUnavailable,
    BrokerUnavailable,
    DecodersUnavailable,
    DestinationUnavailable,
    DeviceOutOfMemory,
    MattingNotReady,
    ModelReloaded,
    OutOfResources,
    PlaceUnavailable,
    Retryable,
    SourceUnavailable,
    StoreUnavailable,
    TakesLong,
    TritonUnavailable,
    WrongAnswer,
)

__all__ = [
    "OPERATOR_NEEDED",
    "AddressNotAllowed",
    "BackgroundFailed",
    "BackgroundUnavailable",
    "BackgroundsFull",
    "BrokerUnavailable",
    "Cancelled",
    "ConfigurationError",
    "CutstreamError",
    "DecoderFailed",
    "DecodersUnavailable",
    "DestinationFailed",
    "DestinationUnavailable",
    "DeviceLost",
    "DeviceOutOfMemory",
    "Expired",
    "Fatal",
    "Fenced",
    "FileTooLarge",
    "InferenceFailed",
    "InvalidOption",
    "InvalidProfile",
    "InvalidRequest",
    "MattingNotReady",
    "ModelMismatch",
    "ModelReloaded",
    "NoSuchHost",
    "OutOfResources",
    "OutputRefused",
    "PlaceUnavailable",
    "PointsTo",
    "Poison",
    "PoisonLimit",
    "RefusedAddress",
    "RefusedBackground",
    "RefusedDestination",
    "RegionOutOfBounds",
    "RequestTooLarge",
    "ResolutionTooHigh",
    "Retryable",
    "SourceFailed",
    "SourceUnavailable",
    "StackError",
    "StoreUnavailable",
    "TakesLong",
    "TritonUnavailable",
    "Unexpected",
    "UnknownBackground",
    "UnknownForeground",
    "UnreadableImage",
    "UnreadableRequest",
    "UnsupportedImage",
    "UnusableBackground",
    "WeightsMissing",
    "WrongAnswer",
]
