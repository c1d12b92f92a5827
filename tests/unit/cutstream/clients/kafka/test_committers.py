"""The committers with a producer that fails on purpose."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kafka import errors
from kafka.producer.transaction_manager import TransactionalRequestResult

from cutstream.clients.kafka import (
    AtLeastOnceCommitter,
    CommitRefused,
    OutgoingRecord,
    Partition,
    TransactionalCommitter,
)
from cutstream.errors import BrokerUnavailable, ConfigurationError
from cutstream.settings import KafkaSettings


class Producer:
    """A producer whose records fail with `send_error` and whose commit fails with `commit_error`, if given.

    Records fail when they are sent, or with `late` only while they are waited for. Without `answers`, the brokers never
    say what became of a request of the transaction.
    """

    def __init__(
        self,
        send_error: Exception | None = None,
        commit_error: Exception | None = None,
        answers: bool = True,
        late: bool = False,
    ) -> None:
        self.send_error = send_error
        self.late = late
        self.commit_error = commit_error
        self.answers = answers
        self.calls: list[str] = []
        self.config = {"transaction_timeout_ms": 100, "transactional_id": "worker"}
        self._sender = SimpleNamespace(wakeup=lambda: None)
        self._transaction_manager = SimpleNamespace(
            send_offsets_to_transaction=lambda *_: self.answer("offsets"),
            begin_commit=lambda: self.answer("commit", self.commit_error),
        )

    def answer(self, call: str, error: Exception | None = None) -> TransactionalRequestResult:
        self.calls.append(call)
        result = TransactionalRequestResult()
        if self.answers:
            result.done(error)
        return result

    def begin_transaction(self) -> None:
        self.calls.append("begin")

    def send(self, topic: str, **record: object) -> SimpleNamespace:
        return SimpleNamespace(
            failed=lambda: self.send_error is not None and not self.late, exception=self.send_error, get=self.wait
        )

    def wait(self, timeout: float) -> None:
        assert 0 < timeout <= 0.1
        if self.send_error:
            raise self.send_error

    def close(self, timeout: float) -> None:
        self.calls.append("close")


def commit(producer: Producer) -> None:
    committer = TransactionalCommitter(KafkaSettings())
    committer._producer = producer
    committer.commit([OutgoingRecord("results", None, b"{}")], {Partition("requests", 0): 1}, SimpleNamespace())


def test_offsets_are_not_sent_when_the_client_left_a_record_out() -> None:
    producer = Producer(send_error=errors.UnknownTopicOrPartitionError("results"))
    with pytest.raises(CommitRefused, match="results"):
        commit(producer)
    assert producer.calls == ["begin", "close"]


def test_nothing_is_committed_without_a_record_that_the_client_gave_up() -> None:
    """Trap 10: the client itself would commit the transaction's offsets without it."""
    producer = Producer(send_error=errors.KafkaTimeoutError("expiring 1 record"), late=True)
    with pytest.raises(CommitRefused, match="expiring"):
        commit(producer)
    assert producer.calls == ["begin", "offsets", "close"]


def test_a_record_that_may_not_be_written_is_fatal() -> None:
    with pytest.raises(ConfigurationError, match="results"):
        commit(Producer(send_error=errors.TopicAuthorizationFailedError("results")))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (errors.CommitFailedError("stale"), CommitRefused),
        (errors.KafkaTimeoutError("slow"), CommitRefused),
        (errors.ProducerFencedError("once"), CommitRefused),
        (errors.GroupAuthorizationFailedError("group"), ConfigurationError),
        (errors.FencedInstanceIdError("once"), CommitRefused),
    ],
)
def test_a_failed_transaction_leaves_no_producer_behind(error: Exception, meaning: type[Exception]) -> None:
    producer = Producer(commit_error=error)
    with pytest.raises(meaning):
        commit(producer)
    assert producer.calls == ["begin", "offsets", "commit", "close"]


def test_a_transaction_without_an_answer_is_given_up() -> None:
    producer = Producer(answers=False)
    with pytest.raises(CommitRefused, match=r"no answer after 0\.1 s"):
        commit(producer)
    assert producer.calls == ["begin", "offsets", "close"]


def test_at_least_once_never_commits_offsets_of_results_that_were_not_written() -> None:
    def refuse(records: object) -> None:
        raise BrokerUnavailable("away")

    committer = AtLeastOnceCommitter(KafkaSettings(), lambda offsets: pytest.fail("offsets were committed first"))
    committer._writer = SimpleNamespace(write=refuse)
    with pytest.raises(CommitRefused, match="away"):
        committer.commit([], {Partition("requests", 0): 1}, SimpleNamespace())
