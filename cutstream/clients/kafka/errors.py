"""The mapping from kafka-python's errors to the product's.

An error stops the worker only when waiting cannot cure it. Every other error of the client is BrokerUnavailable, and
the caller tries again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors
from kafka.errors import KafkaError

from cutstream.errors import BrokerUnavailable, ConfigurationError, CutstreamError, Fenced

_RECORD_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
# A setting, a permission or a version is wrong, in the client or at the broker.
_MISCONFIGURED = (
    errors.AuthorizationError,
    errors.IllegalSaslStateError,
    errors.InconsistentGroupProtocolError,
    errors.InvalidConfigurationError,
    errors.InvalidGroupIdError,
    errors.InvalidPartitionsError,
    errors.InvalidReplicationFactorError,
    errors.InvalidSessionTimeoutError,
    errors.InvalidTopicError,
    errors.InvalidTransactionTimeoutError,
    errors.KafkaConfigurationError,
    errors.MismatchedEndpointTypeError,
    errors.PolicyViolationError,
    errors.SaslAuthenticationFailedError,
    errors.SecurityDisabledError,
    errors.UnrecognizedBrokerVersion,
    errors.UnsupportedAssignorError,
    errors.UnsupportedCodecError,
    errors.UnsupportedCompressionTypeError,
    errors.UnsupportedEndpointTypeError,
    errors.UnsupportedForMessageFormatError,
    errors.UnsupportedSaslMechanismError,
    errors.UnsupportedVersionError,
)


class CommitRefused(CutstreamError):
    """Nothing was committed. All work since the committed offsets has to be done again."""

    code = "commit_refused"


class UnreadableRecords(CutstreamError):
    """A topic holds records that are corrupt or too large. Reading it again helps only if the network was at fault."""

    code = "unreadable_records"


class NoTopic(ConfigurationError):
    """The topic does not exist, or this client has no permission to see it."""


@contextmanager
def map_kafka_errors() -> Iterator[None]:
    """Raise the product's error in place of kafka-python's, with the original as its cause."""
    try:
        yield
    except KafkaError as exc:
        raise map_kafka_error(exc) from exc


def map_kafka_error(exc: KafkaError) -> CutstreamError:
    """Return the product's error for one of kafka-python's: Fenced, ConfigurationError or BrokerUnavailable."""
    if isinstance(exc, errors.FencedInstanceIdError):
        return Fenced(
            "another worker uses the same CUTSTREAM_KAFKA__INSTANCE_ID: give each worker its own or none "
            "(docs/settings.md#kafka-instance-id)"
        )
    if isinstance(exc, _RECORD_TOO_LARGE):
        return ConfigurationError(
            f"Kafka refuses a record because of its size: {exc}; raise `max.message.bytes` of the topic that it is "
            "written to (a dead letter is larger than its request, because of its headers)"
        )
    if isinstance(exc, _MISCONFIGURED):
        return ConfigurationError(f"Kafka refuses this client: {exc}; see docs/settings.md#kafka")
    return BrokerUnavailable(f"Kafka: {exc}")
