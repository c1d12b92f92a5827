"""The meaning of each of kafka-python's errors. An error that a new version adds fails the test until it has one."""

from __future__ import annotations

import inspect

import pytest
from kafka import TopicPartition, errors

from cutstream.clients.kafka import map_kafka_errors
from cutstream.errors import BrokerUnavailable, ConfigurationError, Fenced

ALL = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.KafkaError)}

PERMANENT = """
    AuthorizationError ClusterAuthorizationFailedError DelegationTokenAuthorizationFailedError
    GroupAuthorizationFailedError TopicAuthorizationFailedError TransactionalIdAuthorizationFailedError
    IllegalSaslStateError SaslAuthenticationFailedError SecurityDisabledError UnsupportedSaslMechanismError
    IncompatibleBrokerVersion UnrecognizedBrokerVersion UnsupportedVersionError
    MismatchedEndpointTypeError UnsupportedEndpointTypeError
    InconsistentGroupProtocolError InvalidGroupIdError InvalidSessionTimeoutError UnsupportedAssignorError
    InvalidTransactionTimeoutError
    InvalidConfigurationError InvalidPartitionsError InvalidReplicationFactorError InvalidTopicError
    KafkaConfigurationError PolicyViolationError
    MessageSizeTooLargeError RecordListTooLargeError
    UnsupportedCodecError UnsupportedCompressionTypeError UnsupportedForMessageFormatError
"""
TAKEN_OVER = "FencedInstanceIdError"
# Trouble at the brokers, changes of leaders and members, and errors that only other tools provoke.
TEMPORARY = """
    BrokerIdNotRegisteredError BrokerNotAvailableError BrokerResponseError Cancelled CommitFailedError
    ConcurrentTransactionsError CoordinatorLoadInProgressError CoordinatorNotAvailableError CorrelationIdError
    CorruptRecordError CorruptRecordException DelegationTokenAuthDisabledError DelegationTokenExpiredError
    DelegationTokenNotFoundError DelegationTokenOwnerMismatchError DelegationTokenRequestNotAllowedError
    DuplicateBrokerRegistrationError DuplicateResourceError DuplicateSequenceNumberError DuplicateVoterError
    ElectionNotNeededError EligibleLeadersNotAvailableError FeatureUpdateFailedError FencedLeaderEpochError
    FencedMemberEpochError FencedStateEpochError FetchSessionIdNotFoundError FetchSessionTopicIdError
    GroupIdNotFoundError GroupMaxSizeReachedError GroupSubscribedToTopicError IllegalArgumentError
    IllegalGenerationError IllegalStateError InconsistentClusterIdError InconsistentTopicIdError
    InconsistentVoterSetError IneligibleReplicaError InvalidCommitOffsetSizeError InvalidFetchRequestError
    InvalidFetchSessionEpochError InvalidMetadataError InvalidPrincipalTypeError InvalidProducerEpochError
    InvalidProducerIdMappingError InvalidReceiveError InvalidRecordError InvalidRecordStateError
    InvalidRegistrationError InvalidReplicationAssignmentError InvalidRequestError InvalidRequiredAcksError
    InvalidShareSessionEpochError InvalidTimestampError InvalidTxnStateError InvalidUpdateVersionError
    InvalidVoterKeyError KafkaConnectionError KafkaError KafkaProtocolError KafkaStorageError KafkaTimeoutError
    LeaderNotAvailableError ListenerNotFoundError LogDirNotFoundError LogTruncationError MemberIdRequiredError
    MetadataEmptyBrokerList NetworkExceptionError NewLeaderElectedError NoError NoOffsetForPartitionError
    NoReassignmentInProgressError NodeNotReadyError NonEmptyGroupError NotControllerError NotCoordinatorError
    NotEnoughReplicasAfterAppendError NotEnoughReplicasError NotLeaderForPartitionError OffsetMetadataTooLargeError
    OffsetMovedToTieredStorageError OffsetNotAvailableError OffsetOutOfRangeError OperationNotAttemptedError
    OutOfOrderSequenceNumberError PositionOutOfRangeError PreferredLeaderNotAvailableError
    PrincipalDeserializationFailureError ProducerFencedError QuotaViolationError ReassignmentInProgressError
    RebalanceInProgressError ReplicaNotAvailableError RequestTimedOutError ResourceNotFoundError RetriableError
    ShareSessionNotFoundError SnapshotNotFoundError StaleBrokerEpochError StaleControllerEpochError
    StaleMemberEpochError StaleMetadata TelemetryTooLargeError ThrottlingQuotaExceededError TooManyInFlightRequests
    TopicAlreadyExistsError TopicDeletionDisabledError TransactionAbortableError TransactionAbortedError
    TransactionCoordinatorFencedError TransactionalIdNotFoundError UnacceptableCredentialError UnknownBrokerIdError
    UnknownControllerIdError UnknownError UnknownLeaderEpochError UnknownMemberIdError UnknownProducerIdError
    UnknownSubscriptionIdError UnknownTopicIdError UnknownTopicOrPartitionError UnreleasedInstanceIdError
    UnstableOffsetCommitError VoterNotFoundError
"""


def meaning_of(kind: type[Exception]) -> str:
    with pytest.raises((ConfigurationError, BrokerUnavailable, Fenced)) as raised, map_kafka_errors():
        raise kind("Kafka's message")
    assert isinstance(raised.value.__cause__, kind)
    return type(raised.value).__name__


def test_every_error_of_the_client_has_a_meaning() -> None:
    table = {
        **dict.fromkeys(PERMANENT.split(), "ConfigurationError"),
        **dict.fromkeys(TAKEN_OVER.split(), "Fenced"),
        **dict.fromkeys(TEMPORARY.split(), "BrokerUnavailable"),
    }
    assert {name: meaning_of(kind) for name, kind in ALL.items()} == table


@pytest.mark.parametrize("name", ["TopicAuthorizationFailedError", "RequestTimedOutError", "MessageSizeTooLargeError"])
def test_the_message_contains_kafkas_message(name: str) -> None:
    with pytest.raises((ConfigurationError, BrokerUnavailable), match="Kafka's message"), map_kafka_errors():
        raise ALL[name]("Kafka's message")


def test_a_partition_that_the_client_has_lost_is_no_bug() -> None:
    with pytest.raises(BrokerUnavailable, match="not assigned any more"), map_kafka_errors():
        raise KeyError(TopicPartition("cutout.requests", 0))
    with pytest.raises(KeyError), map_kafka_errors():
        raise KeyError("x")
