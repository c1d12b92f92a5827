"""The only module that talks to kafka-python; docs/adr/0002-use-kafka-python.md says why and what it guards against.

Four properties of kafka-python 3.0 shape this file, each held by a regression test:

1. After an aborted transaction a producer keeps that transaction's offsets and commits them with its next one, so a
   refused transaction is always followed by a fresh producer.
2. A member that was thrown out and comes back keeps its old positions, and when it was about to rejoin anyway the
   listener is told nothing; so every assignment, and every new member id, seeks to the committed offsets and drops what
   was polled before.
3. The rebalance listener runs on the client's event loop, where blocking calls are refused, so it only notes the
   change; and a new generation number can be visible before its assignment, so the membership that a transaction
   presents is a snapshot taken right after a poll that ended in a stable group.
4. A leader that joins again because its topic changed forgets its own join when a poll ends while it is under way, and
   stays outside the stable group for good; so every poll that begins during a join asks for the join again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition, errors
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.structs import ConsumerGroupMetadata, MemberState

from cutstream.errors import BrokerUnavailable, ConfigurationError, CutstreamError, Fatal, Fenced
from cutstream.settings import KafkaSettings

log = logging.getLogger(__name__)

Headers = list[tuple[str, bytes]]
Membership = ConsumerGroupMetadata

_METADATA_AGE_MS = 30_000  # how soon added partitions are noticed; the client's default is five minutes
_TOPIC_TIMEOUT_S = 5.0
_COMMITTED_TIMEOUT_MS = 5_000  # well below the heartbeat's limit: the loop goes on round while a broker is away

_FENCED = (errors.ProducerFencedError, errors.InvalidProducerEpochError)
_FENCED_TOO_OFTEN, _COMMITS_LOOKED_AT = 5, 20

# A dead letter is the original and its reasons, so it needs more room than Kafka's default of 1 MiB.
_LARGEST_RECORD_BYTES = 8 * 1024 * 1024

_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
# A setting, a right or a version, here or at the broker: waiting cures none of them.
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


class Partition(NamedTuple):
    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Record:
    """A record as read; `timestamp_ms` is since the Unix epoch. A tombstone's value is empty."""

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """Without a value it is a tombstone, which removes its key from a compacted topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Polled:
    """One poll: the records, and the partitions gained and lost on the way (lost ones come first)."""

    records: list[Record]
    gained: frozenset[Partition] = frozenset()
    lost: frozenset[Partition] = frozenset()


class CommitRefused(CutstreamError):
    """The transaction did not happen: everything since the committed offsets has to be done again."""

    code = "commit_refused"


class NoTopic(ConfigurationError):
    """There is no such topic, or none that this client may see."""


class Committer(Protocol):
    """Writes results and the offsets they answer as one unit."""

    def start(self) -> None: ...

    def commit(
        self,
        records: Sequence[OutgoingRecord],
        offsets: Mapping[Partition, int],
        membership: ConsumerGroupMetadata,
    ) -> None:
        """Raises CommitRefused when nothing was committed, Fatal when it never will be: Fenced, ConfigurationError."""

    def close(self) -> None: ...


@contextmanager
def map_kafka_errors() -> Iterator[None]:
    try:
        yield
    except KafkaError as exc:
        raise in_our_terms(exc) from exc


def in_our_terms(exc: KafkaError) -> CutstreamError:
    """kafka-python's errors in the product's terms: what is not known to be for ever is waited for."""
    if isinstance(exc, errors.FencedInstanceIdError):
        return Fenced(
            "another worker uses the same CUTSTREAM_KAFKA__INSTANCE_ID: give each worker its own or none "
            "(docs/settings.md#kafka-instance-id)"
        )
    if isinstance(exc, _TOO_LARGE):
        return ConfigurationError(
            f"Kafka refuses a record for its size: {exc}; raise `max.message.bytes` of the topic it goes to (a dead "
            "letter is larger than its request, by its headers)"
        )
    if isinstance(exc, _MISCONFIGURED):
        return ConfigurationError(f"Kafka refuses this client: {exc}; see docs/settings.md#kafka")
    return BrokerUnavailable(f"Kafka: {exc}")


class RequestReader:
    """Reads requests as a member of the workers' group. One thread only."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._gained: deque[Partition] = deque()
        self._lost: deque[Partition] = deque()
        self._to_rewind: set[Partition] = set()
        self._paused = False
        self._membership: ConsumerGroupMetadata | None = None
        self._member_id = ""
        self._consumer: Any = None

    def start(self) -> None:
        s = self._settings
        with map_kafka_errors():
            self._consumer = KafkaConsumer(
                group_id=s.group,
                group_instance_id=s.instance_id or None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                partition_assignment_strategy=[CooperativeStickyAssignor],
                session_timeout_ms=int(s.session_timeout_s * 1000),
                heartbeat_interval_ms=int(s.session_timeout_s * 1000 / 4),
                max_poll_interval_ms=int(s.max_poll_interval_s * 1000),
                metadata_max_age_ms=_METADATA_AGE_MS,
                **_connection(s),
            )
            self._consumer.subscribe([s.requests_topic], listener=_Listener(self._gained, self._lost))

    @property
    def membership(self) -> ConsumerGroupMetadata | None:
        """What a transaction presents to the broker; None while the group is not stable: commit later."""
        return self._membership

    @property
    def partitions(self) -> frozenset[Partition]:
        return frozenset(_ours(tp) for tp in self._consumer.assignment())

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        """Waits at most `timeout_s`; gained partitions start again at their committed offsets.

        While there is no membership, poll with time and without pauses: a join that ends between polls is begun anew.
        """
        with map_kafka_errors():
            self._keep_joining()
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
            self._look_at_membership()
            lost, gained = _drain(self._lost), _drain(self._gained)
            if gained and self._paused:
                self._consumer.pause(*map(_theirs, gained))
            self.rewind(gained)
            stale = lost | self._to_rewind
            records = [_record(r) for tp, batch in batches.items() if _ours(tp) not in stale for r in batch]
        self._seek_back()
        return Polled(records, gained, lost)

    def rewind(self, partitions: Iterable[Partition]) -> None:
        """After the next poll these partitions' records come from their committed offsets on; until then none do."""
        self._to_rewind.update(partitions)

    def _seek_back(self) -> None:
        """What the broker does not answer for now stays to be rewound, and its records are dropped."""
        owned = self.partitions
        for partition in sorted(self._to_rewind):
            if partition in owned:
                try:
                    with map_kafka_errors():
                        self._seek_to_committed(_theirs(partition))
                except BrokerUnavailable as exc:
                    log.warning("committed offset unknown: %s", exc, extra={"partition": partition.number})
                    return
            self._to_rewind.discard(partition)

    def _seek_to_committed(self, tp: TopicPartition) -> None:
        offset = self._consumer.committed(tp, timeout_ms=_COMMITTED_TIMEOUT_MS)
        if offset is None:
            self._consumer.seek_to_beginning(tp)
        else:
            self._consumer.seek(tp, offset)

    def pause(self, full: bool) -> None:
        """`full`: stop fetching, stay a member; else fetch again."""
        if full == self._paused:
            return
        self._paused = full
        change = self._consumer.pause if full else self._consumer.resume
        change(*self._consumer.assignment())

    def end_offset(self, partition: Partition) -> int | None:
        """The partition's end as of the last fetch; None before the first, and once it is another worker's."""
        theirs = _theirs(partition)
        if theirs not in self._consumer.assignment():
            return None
        end: int | None = self._consumer.highwater(theirs)
        return end

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """For `at_least_once` only; transactions carry the offsets otherwise. May be called from any thread."""
        with map_kafka_errors():
            self._consumer.commit({_theirs(p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()})

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=5_000)

    def _keep_joining(self) -> None:
        # The client takes the join that is under way up again, if told that one is wanted; usually it knows.
        if self._consumer.group_metadata().state is MemberState.REBALANCING:
            self._consumer._coordinator.request_rejoin()

    def _look_at_membership(self) -> None:
        membership = self._consumer.group_metadata()
        self._membership = membership if membership.state is MemberState.STABLE else None
        if self._membership is not None and membership.member_id != self._member_id:
            # Thrown out and back under a new name: others may have worked on what we seem to have kept.
            self._gained.extend(self.partitions)
            self._member_id = membership.member_id


class TransactionalCommitter:
    """Results, dead letters and offsets in one Kafka transaction. One thread at a time."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._id = settings.transactional_id or f"{settings.group}-{uuid4()}"
        self._producer: Any = None
        self._fenced: deque[bool] = deque(maxlen=_COMMITS_LOOKED_AT)

    def start(self) -> None:
        self._renew()

    def commit(
        self,
        records: Sequence[OutgoingRecord],
        offsets: Mapping[Partition, int],
        membership: ConsumerGroupMetadata,
    ) -> None:
        if self._producer is None:
            self._renew()
        try:
            self._transact(records, offsets, membership)
            self._fenced.append(False)
        except KafkaError as exc:
            self._discard()
            self._count_fencing(exc)
            error = in_our_terms(exc)
            raise (error if isinstance(error, Fatal) else CommitRefused(str(exc))) from exc

    def close(self) -> None:
        self._discard()

    def _transact(
        self,
        records: Sequence[OutgoingRecord],
        offsets: Mapping[Partition, int],
        membership: ConsumerGroupMetadata,
    ) -> None:
        self._producer.begin_transaction()
        sent = [self._producer.send(r.topic, key=r.key, value=r.value, headers=r.headers) for r in records]
        positions = {_theirs(p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()}
        try:
            # A record whose topic the client cannot find is left out of the transaction: only its future says so.
            _raise_refusal(sent)
            self._producer.send_offsets_to_transaction(positions, membership)
            self._producer.commit_transaction()
        except KafkaError as exc:
            if type(exc) is KafkaError:  # "in an error state": the records know which
                _raise_refusal(sent)
            raise

    def _renew(self) -> None:
        # init_transactions settles whatever an earlier producer of this id left open before the next one begins.
        with map_kafka_errors():
            self._producer = KafkaProducer(
                transactional_id=self._id,
                transaction_timeout_ms=int(self._settings.transaction_timeout_s * 1000),
                retry_backoff_ms=5,  # the default 100 makes back-to-back transactions take 110 ms instead of 10
                max_request_size=_LARGEST_RECORD_BYTES,
                **_connection(self._settings),
            )
            try:
                self._producer.init_transactions()
            except KafkaError:
                self._discard()
                raise

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=5)

    def _count_fencing(self, exc: KafkaError) -> None:
        # Not in a row: of two workers with one id each succeeds once, with a fresh producer, after each fencing.
        self._fenced.append(isinstance(exc, _FENCED))
        if sum(self._fenced) >= _FENCED_TOO_OFTEN:
            raise Fenced(
                f"another worker uses the transactional id {self._id!r}: give each worker its own "
                "CUTSTREAM_KAFKA__TRANSACTIONAL_ID or none (docs/settings.md#kafka-transactional-id)"
            ) from exc


class AtLeastOnceCommitter:
    """For brokers without transactions: results first, then offsets, so a crash between them repeats results."""

    def __init__(self, settings: KafkaSettings, commit_offsets: Callable[[Mapping[Partition, int]], None]) -> None:
        self._writer = RecordWriter(settings)
        self._commit_offsets = commit_offsets

    def start(self) -> None:
        self._writer.start()

    def commit(
        self,
        records: Sequence[OutgoingRecord],
        offsets: Mapping[Partition, int],
        membership: ConsumerGroupMetadata,
    ) -> None:
        try:
            self._writer.write(records)
            self._commit_offsets(offsets)
        except BrokerUnavailable as exc:
            raise CommitRefused(str(exc)) from exc

    def close(self) -> None:
        self._writer.close()


class RecordWriter:
    """An idempotent producer for upstream systems and tools: `write` returns when the brokers have acknowledged."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: Any = None

    def start(self) -> None:
        with map_kafka_errors():
            self._producer = KafkaProducer(
                linger_ms=5, max_request_size=_LARGEST_RECORD_BYTES, **_connection(self._settings)
            )

    def write(self, records: Iterable[OutgoingRecord]) -> None:
        with map_kafka_errors():
            sent = [self._producer.send(r.topic, key=r.key, value=r.value, headers=r.headers) for r in records]
            for future in sent:
                future.get(timeout=30)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=5)


class TopicReader:
    """Reads a whole topic without a group, committed records only: for results, dead letters, backgrounds and tests.

    A broker without new records answers after `idle_wait_s`, which is what following a quiet topic costs.
    """

    def __init__(
        self, settings: KafkaSettings, topic: str, *, from_end: bool = False, idle_wait_s: float = 0.5
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._from_end = from_end
        self._idle_wait_s = idle_wait_s
        self._ends: dict[TopicPartition, int] = {}
        self._consumer: Any = None

    def start(self) -> None:
        """Positions are fixed when this returns: records written later are seen. Raises NoTopic."""
        with map_kafka_errors():
            self._consumer = KafkaConsumer(
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                fetch_max_wait_ms=int(self._idle_wait_s * 1000),
                **_connection(self._settings),
            )
            numbers = self._consumer.partitions_for_topic(self._topic)
            if not numbers:
                raise NoTopic(f"topic {self._topic!r} does not exist; `cutstream topics create` makes it")
            partitions = [TopicPartition(self._topic, n) for n in sorted(numbers)]
            self._consumer.assign(partitions)
            if self._from_end:
                self._consumer.seek_to_end(*partitions)
            else:
                self._consumer.seek_to_beginning(*partitions)
            for partition in partitions:
                self._consumer.position(partition)
            self._ends = self._consumer.end_offsets(partitions)

    @property
    def caught_up(self) -> bool:
        """Whether all that was there when `start` returned has been polled."""
        # Positions, not records: what compaction or an aborted transaction took away is never polled.
        return all(self._consumer.position(partition) >= end for partition, end in self._ends.items())

    def poll(self, timeout_s: float, max_records: int = 500) -> list[Record]:
        with map_kafka_errors():
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        return [_record(r) for batch in batches.values() for r in batch]

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=5_000)


def ensure_topics(settings: KafkaSettings) -> None:
    """Makes the product's topics where they are missing; existing ones are left as they are."""
    with _admin(settings) as admin:
        for topic in _new_topics(settings):
            try:
                admin.create_topics([topic])
            except TopicAlreadyExistsError:
                pass  # made by an earlier start or by the site's own tools
        # A worker that joins before the brokers tell each other would get no partitions until its metadata is renewed.
        deadline = time.monotonic() + _TOPIC_TIMEOUT_S
        while missing := {topic.name for topic in _new_topics(settings)} - set(admin.list_topics()):
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"Kafka has made {', '.join(sorted(missing))} but does not list them yet")
            time.sleep(0.05)


def check_topics(settings: KafkaSettings) -> None:
    """Raises ConfigurationError when a topic is missing: it would be waited for in silence.

    Not that of the backgrounds: without it a worker does all but what names one, and says so.
    """
    needed = {settings.requests_topic, settings.results_topic, settings.dead_letters_topic}
    with _admin(settings) as admin:
        missing = sorted(needed - set(admin.list_topics()))
    if missing:
        raise ConfigurationError(
            f"no such topics: {', '.join(missing)}. `cutstream topics create` makes them, or name others in "
            "CUTSTREAM_KAFKA__*_TOPIC (docs/settings.md#kafka)"
        )


def _new_topics(settings: KafkaSettings) -> list[NewTopic]:
    s = settings
    return [
        NewTopic(s.requests_topic, s.partitions, s.replication),
        NewTopic(s.results_topic, s.partitions, s.replication),
        NewTopic(s.dead_letters_topic, s.partitions, s.replication, None, {"max.message.bytes": _LARGEST_RECORD_BYTES}),
        NewTopic(s.backgrounds_topic, 1, s.replication, None, {"cleanup.policy": "compact"}),
    ]


@contextmanager
def _admin(settings: KafkaSettings) -> Iterator[Any]:
    with map_kafka_errors():
        admin = KafkaAdminClient(**_connection(settings))
        try:
            yield admin
        finally:
            admin.close()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, gained: deque[Partition], lost: deque[Partition]) -> None:
        self._gained = gained
        self._lost = lost

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._gained.extend(map(_ours, assigned))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._lost.extend(map(_ours, revoked))


def _raise_refusal(sent: Iterable[Any]) -> None:
    for future in sent:
        if future.failed():
            raise future.exception


def _drain(changes: deque[Partition]) -> frozenset[Partition]:
    # One by one: the listener may append from the client's own thread meanwhile.
    drained = set()
    while changes:
        drained.add(changes.popleft())
    return frozenset(drained)


def _connection(s: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": s.bootstrap_servers.split(","),
        "security_protocol": s.security_protocol,
        "client_id": "cutstream",
    }
    if s.ssl_cafile:
        options["ssl_cafile"] = str(s.ssl_cafile)
    if s.sasl_mechanism:
        options["sasl_mechanism"] = s.sasl_mechanism
        options["sasl_plain_username"] = s.sasl_username
        options["sasl_plain_password"] = s.sasl_password.get_secret_value() if s.sasl_password else None
    return options


def _ours(tp: TopicPartition) -> Partition:
    return Partition(tp.topic, tp.partition)


def _theirs(p: Partition) -> TopicPartition:
    return TopicPartition(p.topic, p.number)


def _record(r: Any) -> Record:
    return Record(Partition(r.topic, r.partition), r.offset, r.timestamp, r.key, r.value or b"", list(r.headers or []))
