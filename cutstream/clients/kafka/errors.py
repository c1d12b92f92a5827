"""The mapping from kafka-python's errors to the product's.

An error stops the worker only when waiting cannot cure it. Every other error of the client is BrokerUnavailable, and
the caller tries again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import TopicPartition, errors
from kafka.errors import KafkaError

from cutstream.clients.kafka.logins import raise_refused_login
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
# What is missing. The name of the resource is what the error says.
_RIGHTS = {
    errors.ClusterAuthorizationFailedError: "a right on the cluster:",
    errors.GroupAuthorizationFailedError: "the right READ on the consumer group",
    errors.TopicAuthorizationFailedError: "the right READ, WRITE or DESCRIBE on the topic",
    errors.TransactionalIdAuthorizationFailedError: "the right WRITE on the transactional id",
}


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
    except KeyError as exc:  # trap 15 of the package's docstring
        if not isinstance(exc.args[0], TopicPartition):
            raise
        raise BrokerUnavailable(f"Kafka: {exc.args[0]} is not assigned any more, or no broker leads it") from exc


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
    if isinstance(exc, errors.SaslAuthenticationFailedError):
        return ConfigurationError(
            f"Kafka refuses this login ({_words(exc)}): correct CUTSTREAM_KAFKA__SASL_USERNAME and its password and "
            "mechanism (docs/settings.md#kafka-sasl-username)"
        )
    if isinstance(exc, errors.AuthorizationError):
        right = next((text for kind, text in _RIGHTS.items() if isinstance(exc, kind)), "")
        return ConfigurationError(f"this user lacks {right or 'a right'} {_words(exc)} (docs/security.md#rights)")
    if isinstance(exc, _MISCONFIGURED):
        return ConfigurationError(f"Kafka refuses this client: {exc}; see docs/settings.md#kafka")
    try:
        raise_refused_login()
    except KafkaError as refused:  # which is why nobody answers
        return map_kafka_error(refused)
    return BrokerUnavailable(f"Kafka: {exc}")


def _words(exc: KafkaError) -> str:
    """Return what an error says, without its number and name. It may hold the names of several resources."""
    parts = [part for arg in exc.args for part in (sorted(arg) if isinstance(arg, (set, frozenset)) else [arg])]
    return ", ".join(map(str, parts)).removeprefix("SaslAuthenticationFailedError: ") or type(exc).__name__
