"""The section about Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from cutstream.settings.forms import is_host_and_port, is_kafka_name, is_topic
from cutstream.settings.section import Section, require


class KafkaSettings(Section):
    bootstrap_servers: str = ""
    """Brokers to connect to, `host:port[,host:port]`. Empty: the embedded broker of the local stack."""
    group: str = Field(default="cutstream", min_length=1, max_length=249)
    """Consumer group that all workers join."""
    requests_topic: str = "cutout.requests"
    """Topic that workers read requests from."""
    urgent_topic: str = "cutout.requests.urgent"
    """Topic of urgent requests. Workers read it before the other two."""
    retry_topic: str = "cutout.requests.retry"
    """Topic on which requests wait whose own source, background or destination is away. Workers and `cutstream
    dead-letters replay` write it, and workers read it."""
    results_topic: str = "cutout.results"
    """Topic that workers write results to. Read it with `isolation_level=read_committed`."""
    dead_letters_topic: str = "cutout.dead-letters"
    """Topic that receives the record of every failed request: unchanged, unless it is too large for a request."""
    cancellations_topic: str = "cutout.cancellations"
    """Topic that holds the requests that were called off. It is compacted and has one partition."""
    backgrounds_topic: str = "cutout.backgrounds"
    """Topic that holds the background catalogue. It is compacted and has one partition."""
    partitions: int = Field(default=8, ge=1, le=10_000)
    """Partitions of each of the other topics, when the local stack or `cutstream topics create` creates them."""
    replication: int = Field(default=1, ge=1, le=10)
    """Replication factor of the topics that are created. With three brokers use 3, and `min.insync.replicas=2` on the
    brokers: then one of them may be lost."""
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    """`exactly_once` commits results and offsets in one transaction. `at_least_once` is for brokers without
    transactions: a result may be written twice."""
    transactional_id: str = Field(default="", max_length=249)
    """Transactional id of this worker, different for each worker. Empty: a new one at each start."""
    instance_id: str = ""
    """Id for static group membership, different for each worker. Empty: dynamic membership."""
    session_timeout_s: float = Field(default=10.0, ge=1, le=300)
    """The broker takes the partitions of a worker that has sent no heartbeat for this long."""
    max_poll_interval_s: float = Field(default=120.0, ge=5, le=3600)
    """A worker whose main loop has not polled for this long loses its partitions."""
    stall_s: float = Field(default=10.0, ge=1, le=600)
    """A partition that has records and delivers none for this long, although the worker asks for them, is read again
    from its committed offset. If that does not help either, the worker connects anew."""
    transaction_timeout_s: float = Field(default=15.0, ge=1, le=900)
    """The broker aborts a transaction left open for this long."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Protocol of the connections to the brokers."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """SASL mechanism. The protocols SASL_PLAINTEXT and SASL_SSL require it."""
    sasl_username: str | None = None
    """SASL user name."""
    sasl_password: SecretStr | None = None
    """SASL password."""
    ssl_cafile: Path | None = None
    """File with the certificate authorities to trust, for SSL and SASL_SSL. Unset: those of the system."""
    ssl_certfile: Path | None = None
    """File with this client's own certificate, for brokers that ask for one (mutual TLS), in PEM format."""
    ssl_keyfile: Path | None = None
    """File with the key of that certificate. Unset: it is in the same file."""
    ssl_key_password: SecretStr | None = None
    """Password of that key, if it is encrypted."""

    @model_validator(mode="after")
    def _consistent(self) -> KafkaSettings:
        sasl = self.security_protocol.startswith("SASL_")
        login = (self.sasl_mechanism, self.sasl_username, self.sasl_password)
        fields = [name for name in KafkaSettings.model_fields if name.endswith("_topic")]
        topics = [getattr(self, name) for name in fields]
        require(
            (
                not self.bootstrap_servers or all(map(is_host_and_port, self.bootstrap_servers.split(","))),
                f"CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS={self.bootstrap_servers} must be `host:port` "
                "without a scheme, such as broker:9092 or [::1]:9092, or several of them separated by commas",
            ),
            *(
                (
                    is_topic(topic),
                    f"CUTSTREAM_KAFKA__{name.upper()}={topic} is not a valid topic name: 1 to 249 letters, digits "
                    "and any of . _ -, and not the name of one of Kafka's internal topics",
                )
                for name, topic in zip(fields, topics, strict=True)
            ),
            (
                not self.instance_id or is_kafka_name(self.instance_id),
                f"CUTSTREAM_KAFKA__INSTANCE_ID={self.instance_id} is not a valid id: 1 to 249 letters, digits and "
                "any of . _ -",
            ),
            (
                self.transactional_id != self.operator_transactional_id,
                f"CUTSTREAM_KAFKA__TRANSACTIONAL_ID={self.transactional_id} is the id of `cutstream dead-letters "
                "replay` and `purge`, and such a command would end this worker: choose another, or leave it empty",
            ),
            (
                self.session_timeout_s < self.max_poll_interval_s,
                f"CUTSTREAM_KAFKA__SESSION_TIMEOUT_S={self.session_timeout_s:g} must be below "
                f"CUTSTREAM_KAFKA__MAX_POLL_INTERVAL_S={self.max_poll_interval_s:g}",
            ),
            (
                len({topic.replace(".", "_") for topic in topics}) == len(topics),  # which are one to Kafka's metrics
                f"{', '.join(f'CUTSTREAM_KAFKA__{name.upper()}' for name in fields)} must differ in more than . and _, "
                f"not {', '.join(topics)}",
            ),
            (
                all(login) if sasl else login == (None, None, None),
                f"CUTSTREAM_KAFKA__SECURITY_PROTOCOL={self.security_protocol} "
                f"{'needs' if sasl else 'does not go with'} CUTSTREAM_KAFKA__SASL_MECHANISM, "
                "CUTSTREAM_KAFKA__SASL_USERNAME and CUTSTREAM_KAFKA__SASL_PASSWORD",
            ),
            *(
                (
                    getattr(self, name) is None or self.security_protocol.endswith("SSL"),
                    f"CUTSTREAM_KAFKA__{name.upper()} does not go with "
                    f"CUTSTREAM_KAFKA__SECURITY_PROTOCOL={self.security_protocol}, which has no TLS",
                )
                for name in ("ssl_cafile", "ssl_certfile")
            ),
            *(
                (
                    getattr(self, name) is None or self.ssl_certfile is not None,
                    f"CUTSTREAM_KAFKA__{name.upper()} needs CUTSTREAM_KAFKA__SSL_CERTFILE",
                )
                for name in ("ssl_keyfile", "ssl_key_password")
            ),
        )
        return self

    @property
    def request_topics(self) -> tuple[str, str, str]:
        """The topics that workers read requests from, those of higher priority first."""
        return self.urgent_topic, self.requests_topic, self.retry_topic

    @property
    def operator_transactional_id(self) -> str:
        """The transactional id of all commands that close dead letters."""
        return f"{self.dead_letters_topic}.operator"
