"""Who gets into a broker with TLS, logins and rights, and what is said to those who do not."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from cutstream.clients.kafka import (
    OutgoingRecord,
    RecordWriter,
    RequestReader,
    TopicReader,
    TransactionalCommitter,
    check_topics,
)
from cutstream.errors import BrokerUnavailable, ConfigurationError, CutstreamError
from cutstream.settings import KafkaSettings
from tests.support.certificates import Authority
from tests.support.guarded_kafka import GuardedKafka

pytestmark = pytest.mark.kafka

LIMIT_S = 30.0
Right = tuple[str, str, str]
TOPIC_RIGHTS: list[Right] = [
    ("TOPIC", "cutout.requests", "READ"),
    ("TOPIC", "cutout.requests.urgent", "READ"),
    ("TOPIC", "cutout.requests.retry", "READ"),
    ("TOPIC", "cutout.requests.retry", "WRITE"),
    ("TOPIC", "cutout.results", "WRITE"),
    ("TOPIC", "cutout.dead-letters", "WRITE"),
    ("TOPIC", "cutout.cancellations", "READ"),
]
GROUP: Right = ("GROUP", "cutstream", "READ")
TRANSACTIONS: Right = ("TRANSACTIONAL_ID", "cutstream-*", "WRITE")


@pytest.fixture(scope="module", autouse=True)
def _rights(guarded: GuardedKafka) -> None:
    for user in ("worker", "plain", "certified"):
        guarded.allow(user, [*TOPIC_RIGHTS, GROUP, TRANSACTIONS])


def certified(guarded: GuardedKafka, **more: object) -> KafkaSettings:
    own = guarded.client("certified", password="key-password")
    return guarded.settings(
        "MUTUAL", **{"ssl_certfile": own.chain, "ssl_keyfile": own.key, "ssl_key_password": "key-password", **more}
    )


ADMITTED: dict[str, Callable[[GuardedKafka], KafkaSettings]] = {
    "SCRAM-SHA-512": lambda guarded: guarded.login(),
    "SCRAM-SHA-256": lambda guarded: guarded.login(mechanism="SCRAM-SHA-256"),
    "PLAIN": lambda guarded: guarded.login("plain", "PLAIN"),
    "a certificate": certified,
}


@pytest.mark.parametrize("way", ADMITTED)
def test_every_way_in_leads_to_the_topics(guarded: GuardedKafka, way: str) -> None:
    check_topics(ADMITTED[way](guarded))


def unencrypted(guarded: GuardedKafka, listener: str) -> KafkaSettings:
    address = guarded.open if listener == "open" else guarded.address(listener)
    return KafkaSettings(bootstrap_servers=address)


REFUSED: dict[str, tuple[Callable[[GuardedKafka], KafkaSettings], type[CutstreamError], str]] = {
    "a wrong password": (
        lambda guarded: guarded.login(sasl_password="wrong"),
        ConfigurationError,
        r"refuses this login \(.*invalid credentials.*SASL_USERNAME",
    ),
    "a wrong password, in plain": (
        lambda guarded: guarded.login("plain", "PLAIN", sasl_password="wrong"),
        ConfigurationError,
        r"refuses this login \(.*Invalid username or password",
    ),
    "a login where none is": (
        lambda guarded: guarded.login(
            bootstrap_servers=guarded.open, security_protocol="SASL_PLAINTEXT", ssl_cafile=None
        ),
        ConfigurationError,
        "refuses this login",
    ),
    "an authority that is not trusted": (
        lambda guarded: guarded.login(ssl_cafile=Authority(guarded.folder, "stranger").file),
        BrokerUnavailable,
        r"certificate is refused \(unable to get local issuer.*SSL_CAFILE",
    ),
    "another name than the certificate's": (
        lambda guarded: guarded.login(bootstrap_servers=f"127.0.0.1:{guarded.ports['LOGIN']}"),
        BrokerUnavailable,
        r"certificate is refused \(IP address mismatch.*BOOTSTRAP_SERVERS",
    ),
    "another name than the certificate's, told by the broker": (
        lambda guarded: guarded.settings("MISNAMED"),
        BrokerUnavailable,
        "IP address mismatch, certificate is not valid for '127.0.0.1'",
    ),
    "a certificate that has expired": (
        lambda guarded: guarded.settings("EXPIRED"),
        BrokerUnavailable,
        r"certificate is refused \(certificate has expired",
    ),
    "no certificate of one's own": (
        lambda guarded: guarded.settings("MUTUAL"),
        BrokerUnavailable,
        "refuses this client's certificate, or wants one.*SSL_CERTFILE",
    ),
    "no TLS where it is": (lambda g: unencrypted(g, "LOGIN"), BrokerUnavailable, "closes the conn.*SECURITY_PROTOCOL"),
    "TLS where none is": (
        lambda guarded: guarded.login(bootstrap_servers=guarded.open.replace("127.0.0.1", "localhost")),
        BrokerUnavailable,
        "does not speak TLS.*SECURITY_PROTOCOL",
    ),
    "no login where one is": (
        lambda guarded: unencrypted(guarded, "UNENCRYPTED"),
        BrokerUnavailable,
        r"SECURITY_PROTOCOL\): it may want a login",
    ),
}


@pytest.mark.parametrize("who", REFUSED)
def test_who_is_refused_is_told_why_within_seconds(guarded: GuardedKafka, who: str) -> None:
    settings, kind, words = REFUSED[who]
    started = time.monotonic()
    with pytest.raises(kind, match=words):
        check_topics(settings(guarded))
    assert time.monotonic() - started < LIMIT_S


@pytest.mark.parametrize("right", TOPIC_RIGHTS, ids=lambda right: f"{right[2]} on {right[1]}")
def test_a_worker_without_a_right_on_a_topic_does_not_start(
    guarded: GuardedKafka, without: Callable[[Right], None], right: Right
) -> None:
    without(right)
    with pytest.raises(ConfigurationError, match=rf"give it the rights {right[2]} on {re.escape(right[1])} \(docs"):
        check_topics(guarded.login())


@pytest.fixture
def without(guarded: GuardedKafka) -> Iterator[Callable[[Right], None]]:
    """Take a right away, until the test ends."""
    taken: list[Right] = []

    def take(right: Right) -> None:
        guarded.forbid("worker", *right)
        taken.append(right)

    yield take
    guarded.allow("worker", taken)


def until_refused(call: Callable[[], object], words: str) -> None:
    """Call until it raises ConfigurationError. Any other error may come before."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            call()
        except BrokerUnavailable:
            time.sleep(0.1)
        except ConfigurationError as exc:
            refusal = str(exc)
            break
    else:
        pytest.fail(f"nothing was said about: {words}")
    assert re.search(words, refusal)


@pytest.fixture
def reader(guarded: GuardedKafka, opened: Callable) -> RequestReader:
    return joined(guarded.login(session_timeout_s=3.0), opened)


def joined(settings: KafkaSettings, opened: Callable) -> RequestReader:
    reader = opened(RequestReader(settings, (settings.request_topics,)))
    while reader.membership is None:
        reader.poll(0.3, 10)
    return reader


def results(settings: KafkaSettings) -> list[OutgoingRecord]:
    return [OutgoingRecord(topic, None, b"{}", []) for topic in (settings.results_topic, settings.dead_letters_topic)]


@pytest.mark.parametrize(
    ("right", "words"),
    [(TOPIC_RIGHTS[0], "on the topic cutout.requests"), (GROUP, "READ on the consumer group cutstream")],
)
def test_a_reader_whose_right_is_taken_away_says_so(
    reader: RequestReader, without: Callable[[Right], None], right: Right, words: str
) -> None:
    without(right)
    until_refused(lambda: reader.poll(0.3, 10), words)


@pytest.mark.parametrize(
    ("right", "words"),
    [
        (TOPIC_RIGHTS[4], "on the topic cutout.results"),
        (TOPIC_RIGHTS[5], "on the topic cutout.dead-letters"),
        (GROUP, "READ on the consumer group cutstream"),
        (TRANSACTIONS, "WRITE on the transactional id cutstream-"),
    ],
)
def test_a_committer_whose_right_is_taken_away_says_so(
    guarded: GuardedKafka,
    reader: RequestReader,
    opened: Callable,
    without: Callable[[Right], None],
    right: Right,
    words: str,
) -> None:
    settings = guarded.login()
    committer, membership = opened(TransactionalCommitter(settings)), reader.membership
    offsets = dict.fromkeys(reader.partitions, 0)
    assert membership
    committer.commit(results(settings), offsets, membership)
    without(right)
    with pytest.raises(ConfigurationError, match=words):
        committer.commit(results(settings), offsets, membership)


def test_a_copy_of_a_topic_whose_right_is_taken_away_says_so(
    guarded: GuardedKafka, opened: Callable, without: Callable[[Right], None]
) -> None:
    reader = opened(TopicReader(guarded.login(), "cutout.cancellations"))
    without(TOPIC_RIGHTS[6])
    until_refused(lambda: reader.poll(0.2), "on the topic cutout.cancellations")


def test_logins_are_renewed_and_a_password_that_has_changed_is_named(guarded: GuardedKafka, opened: Callable) -> None:
    """The broker asks for SCRAM-SHA-256 again every two seconds."""
    guarded.add_user("renewed", "before")
    guarded.allow("renewed", [*TOPIC_RIGHTS, GROUP, TRANSACTIONS])
    settings = guarded.login("renewed", "SCRAM-SHA-256", sasl_password="before")
    requests, copy = joined(settings, opened), opened(TopicReader(settings, "cutout.cancellations"))
    writer = opened(RecordWriter(settings))
    enough = time.monotonic() + 4.5
    while time.monotonic() < enough:
        requests.poll(0.1, 10)
        copy.poll(0.1)
        writer.write(results(settings))
    guarded.add_user("renewed", "after")
    for call in (lambda: requests.poll(0.1, 10), lambda: copy.poll(0.1), lambda: writer.write(results(settings))):
        until_refused(call, "refuses this login")


def test_no_password_is_in_any_log_or_error(guarded: GuardedKafka, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kafka")
    with closing(TopicReader(guarded.login("plain", "PLAIN"), "cutout.cancellations")) as reader:
        reader.start()
    canary = "canary-7f3a"
    for settings in (
        guarded.login("plain", "PLAIN", sasl_password=canary),
        guarded.login(sasl_password=canary),
        certified(guarded, ssl_key_password=canary),
    ):
        with pytest.raises(CutstreamError) as raised:
            check_topics(settings)
        assert canary not in repr((raised.value, raised.value.__cause__, settings))
    assert "DEBUG    kafka." in caplog.text
    assert not [line for line in caplog.text.splitlines() if canary in line or "plain-password" in line]
