"""Every error of kafka-python has one meaning here, decided on purpose: a new version's new ones fail this test."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
from kafka import errors
from kafka.producer.future import FutureProduceResult, FutureRecordMetadata
from kafka.structs import TopicPartition

from cutstream.clients.kafka import (
    AtLeastOnceCommitter,
    CommitRefused,
    OutgoingRecord,
    Partition,
    TransactionalCommitter,
    map_kafka_errors,
)
from cutstream.errors import BrokerUnavailable, ConfigurationError, Fenced
from cutstream.settings import KafkaSettings

ALL = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.KafkaError)}

FOR_EVER = """
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
# The brokers' own troubles, changes of leaders and members, and what only tools provoke that are not ours.
WAITED_FOR = """
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


def means(kind: type[Exception]) -> str:
    with pytest.raises((ConfigurationError, BrokerUnavailable, Fenced)) as raised, map_kafka_errors():
        raise kind("what Kafka says")
    assert isinstance(raised.value.__cause__, kind)
    return type(raised.value).__name__


def test_every_error_of_the_client_has_a_meaning() -> None:
    table = {
        **dict.fromkeys(FOR_EVER.split(), "ConfigurationError"),
        **dict.fromkeys(TAKEN_OVER.split(), "Fenced"),
        **dict.fromkeys(WAITED_FOR.split(), "BrokerUnavailable"),
    }
    assert {name: means(kind) for name, kind in ALL.items()} == table


@pytest.mark.parametrize("name", ["TopicAuthorizationFailedError", "RequestTimedOutError", "MessageSizeTooLargeError"])
def test_what_kafka_said_is_in_the_message(name: str) -> None:
    with pytest.raises((ConfigurationError, BrokerUnavailable), match="what Kafka says"), map_kafka_errors():
        raise ALL[name]("what Kafka says")


class Producer:
    """A transaction in which every record fails with `refusal`, if any, and the commit with `end`, if any."""

    def __init__(self, refusal: Exception | None = None, end: Exception | None = None) -> None:
        self.refusal = refusal
        self.end = end
        self.calls: list[str] = []

    def begin_transaction(self) -> None:
        self.calls.append("begin")

    def send(self, topic: str, **record: object) -> FutureRecordMetadata:
        future = FutureRecordMetadata(FutureProduceResult(TopicPartition(topic, 0)), 0, 0, None, 0, 0, 0)
        return future.failure(self.refusal) if self.refusal else future

    def send_offsets_to_transaction(self, offsets: object, membership: object) -> None:
        self.calls.append("offsets")

    def commit_transaction(self) -> None:
        if self.end:
            raise self.end
        self.calls.append("commit")

    def close(self, timeout: float) -> None:
        self.calls.append("close")


def commit(producer: Producer) -> None:
    committer = TransactionalCommitter(KafkaSettings())
    committer._producer = producer
    committer.commit([OutgoingRecord("results", None, b"{}")], {Partition("requests", 0): 1}, SimpleNamespace())


def test_offsets_do_not_go_out_without_a_record_that_the_client_left_out() -> None:
    producer = Producer(refusal=errors.UnknownTopicOrPartitionError("results"))
    with pytest.raises(CommitRefused, match="results"):
        commit(producer)
    assert producer.calls == ["begin", "close"]


def test_a_record_that_may_not_be_written_is_fatal() -> None:
    with pytest.raises(ConfigurationError, match="results"):
        commit(Producer(refusal=errors.TopicAuthorizationFailedError("results")))


@pytest.mark.parametrize(
    ("end", "meaning"),
    [
        (errors.CommitFailedError("stale"), CommitRefused),
        (errors.KafkaTimeoutError("slow"), CommitRefused),
        (errors.ProducerFencedError("once"), CommitRefused),
        (errors.GroupAuthorizationFailedError("group"), ConfigurationError),
        (errors.FencedInstanceIdError("group"), Fenced),
    ],
)
def test_a_transaction_that_ends_badly_leaves_no_producer_behind(end: Exception, meaning: type[Exception]) -> None:
    producer = Producer(end=end)
    with pytest.raises(meaning):
        commit(producer)
    assert producer.calls == ["begin", "offsets", "close"]


def test_at_least_once_never_commits_offsets_of_results_that_were_not_written() -> None:
    def refuse(records: object) -> None:
        raise BrokerUnavailable("away")

    committer = AtLeastOnceCommitter(KafkaSettings(), lambda offsets: pytest.fail("offsets went out first"))
    committer._writer = SimpleNamespace(write=refuse)
    with pytest.raises(CommitRefused, match="away"):
        committer.commit([], {Partition("requests", 0): 1}, SimpleNamespace())
