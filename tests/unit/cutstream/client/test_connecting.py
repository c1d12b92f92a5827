"""Which transport an address means."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutstream import Client
from cutstream.client.connecting import connect
from cutstream.client.over_http import HttpTransport
from cutstream.client.over_kafka import KafkaTransport
from cutstream.errors import ConfigurationError
from cutstream.settings import Settings


def transport(address: str | None, **kafka: object) -> KafkaTransport:
    chosen = connect(address, None, kafka)
    assert isinstance(chosen, KafkaTransport)
    return chosen


def settings(address: str | None, **kafka: object) -> Settings:
    return transport(address, **kafka).settings


def test_an_address_names_the_brokers() -> None:
    assert settings("kafka://a:9092,b:9092").kafka.bootstrap_servers == "a:9092,b:9092"
    assert settings(" kafka://a:9092/ ").kafka.bootstrap_servers == "a:9092"
    assert settings("kafka://a:9092", results_topic="r").kafka.results_topic == "r"


def test_without_an_address_it_is_the_local_stack_with_its_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTSTREAM_STACK__STATE", str(tmp_path))
    kafka = settings(None).kafka
    assert (kafka.bootstrap_servers, kafka.security_protocol) == ("127.0.0.1:19092", "SSL")
    assert kafka.ssl_certfile == tmp_path / "private" / "identity.pem"
    assert transport(None).local_stack


def test_without_an_address_the_settings_may_name_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS", "broker:9092")
    assert settings(None).kafka.bootstrap_servers == "broker:9092"
    assert settings("kafka://other:9092").kafka.bootstrap_servers == "other:9092"
    assert not transport(None).local_stack
    assert not transport("kafka://127.0.0.1:19092").local_stack


@pytest.mark.parametrize("address", ["broker:9092", "kafka://", "ftp://broker", "", "amqp://user:secret@broker"])
def test_another_address_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address for a client: give kafka://broker:9092") as caught:
        Client(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["http://u:secret@127.0.0.1:9", "http://u:sec/secret@127.0.0.1:9", "https://secret@cut.example.org/prefix"],
)
def test_an_address_of_the_service_holds_no_password(address: str) -> None:
    with pytest.raises(ConfigurationError, match="give the key of the HTTP service as `key`") as caught:
        Client(address)
    assert "sec" not in str(caught.value).partition(" has a user")[0]


def test_a_key_is_for_http_only() -> None:
    with pytest.raises(ConfigurationError, match="a key goes with the address of the HTTP service"):
        Client("kafka://broker:9092", key="cs_1")


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match="CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS=broker must be"):
        Client("kafka://broker")
    with pytest.raises(ConfigurationError, match="CUTSTREAM_KAFKA__RESULT_TOPIC"):
        Client("kafka://broker:9092", kafka={"result_topic": "r"})


def test_http_addresses_mean_the_gateway() -> None:
    for address in ("http://localhost:8080", " https://cutouts.example.org/prefix/ "):
        assert isinstance(connect(address, "cs_1", {}), HttpTransport)
    with pytest.raises(ConfigurationError, match="`kafka` goes with the address of a Kafka"):
        Client("http://localhost:8080", kafka={"results_topic": "r"})
    with pytest.raises(ConfigurationError, match="is no address for a client"):
        Client("http://")
