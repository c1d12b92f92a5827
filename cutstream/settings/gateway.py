"""The section about the HTTP gateway."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from cutstream.settings.forms import BUCKET_SCHEMES, can_match_host, is_host, is_loopback, is_token, is_web_address
from cutstream.settings.section import Names, Section, require


class GatewaySettings(Section):
    host: str = "127.0.0.1"
    """Address on which the gateway listens. Beyond loopback it needs CUTSTREAM_GATEWAY__KEYS."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port on which the gateway listens. 0: any free port."""
    hosts: Names = ()
    """Host names under which clients reach the gateway, such as `cutouts.example.org`. On loopback, those of loopback
    are allowed besides. Beyond it, empty allows all names."""
    prefix: str = ""
    """Path under which a reverse proxy publishes the gateway, such as `/cutouts`."""
    trusted_proxies: Names = ()
    """Addresses or networks, such as `10.0.0.0/8`, whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""
    ssl_certfile: Path | None = None
    """File with the certificate to serve HTTPS with, in PEM format. Unset: HTTP."""
    ssl_keyfile: Path | None = None
    """File with the key of that certificate. Unset: it is in the same file."""
    live_page: str = ""
    """Address of a worker's live page, to which the gateway's own page links. Empty: it does not, except that
    `cutstream up` fills it in."""
    keys: Path | None = None
    """File with the hashes of API keys, which `cutstream keys create` writes. It is read again when it changes. Unset:
    no key is asked for, which is possible on loopback only."""
    allowed_origins: Names = ()
    """Web sites whose pages may call the gateway from a browser (CORS), such as `https://shop.example.org`."""
    state: Path = Path(".state/gateway")
    """Folder for the jobs (SQLite) and for uploads on their way. It must be the user's own. Each gateway needs its
    own. Unset, that of `cutstream up` is the folder `gateway` in the stack's state folder."""
    uploads: str = ""
    """Where uploaded photos wait for the workers: a folder, or an `s3://`, `gs://` or `az://` prefix. Workers must be
    allowed to read it. Empty: `uploads` in the state folder, for workers on this machine."""
    improvements: str | None = None
    """Where photos go that clients hand in as cut out badly (`POST /v1.0/improve`): a folder, or an address like that
    of the uploads. The gateway never removes them. Unset: none are taken."""
    upload_age_s: float = Field(default=3600.0, ge=60, le=31_536_000)
    """Age at which an uploaded photo is removed that is still there. A dead letter cannot be replayed after that."""
    result_age_s: float = Field(default=86_400.0, ge=60, le=31_536_000)
    """Age at which a finished job is removed, with its outputs."""
    presign: bool = False
    """Let clients fetch the outputs of jobs from the bucket itself, by a redirect to a signed address. False: the
    gateway streams them."""
    presign_s: float = Field(default=3600.0, ge=1, le=604_800)
    """How long such a signed address is valid."""
    timeout_s: float = Field(default=60.0, ge=1, le=600)
    """Time limit for a synchronous call, from its last byte to its answer. It is the deadline of its request."""
    max_wait_s: float = Field(default=15.0, ge=0.5, le=600)
    """A synchronous call is refused with 429 while urgent requests would wait for longer than this."""
    max_calls: int = Field(default=1000, ge=1, le=100_000)
    """Most synchronous calls at once. Further ones are refused with 429."""
    max_connections: int = Field(default=2048, ge=1, le=100_000)
    """Most connections at once, idle ones included."""
    keep_alive_s: int = Field(default=75, ge=1, le=3600)
    """How long an idle connection is kept open for the client's next call. A balancer or proxy in front must close its
    own idle connections earlier than that (most do after 60 s), or calls on them may fail."""
    max_body_bytes: int = Field(default=64_000_000, ge=1_000_000, le=4_000_000_000)
    """Largest body of a request, such as a photo with its background in base64. One file in it may have
    CUTSTREAM_LIMITS__MAX_SOURCE_BYTES."""
    max_body_memory_bytes: int = Field(default=256_000_000, ge=1_000_000, le=10**12)
    """Memory for bodies that cannot be written to a file while they come in (JSON, base64), all calls together.
    Further calls are refused with 429."""
    max_job_body_bytes: int = Field(default=1_000_000_000, ge=1_000_000, le=10**12)
    """Largest body of a job, with all its photos. They go to disk while they come in."""
    body_timeout_s: float = Field(default=60.0, ge=1, le=3600)
    """Time limit for the body of a request to come in. Raise it together with the size of jobs."""
    requests_per_minute: int = Field(default=500, ge=1, le=10_000_000)
    """Photos a minute that a key may send, unless the keys' file says otherwise. Without keys there is no such
    limit."""
    max_calls_per_key: int = Field(default=100, ge=1, le=100_000)
    """Most synchronous calls of one key at once, unless the keys' file says otherwise."""
    max_job_photos: int = Field(default=1000, ge=1, le=100_000)
    """Most photos of one job."""
    max_open_photos: int = Field(default=100_000, ge=1, le=10_000_000)
    """Most photos of jobs without a result, all keys together. Further jobs are refused with 429."""
    addresses: bool = False
    """Let clients name sources, backgrounds and destinations by `s3://`, `gs://`, `az://` and `file://` addresses, as
    far as the workers may use them. False: http(s) only, and outputs go to the default destination."""
    models: Names = ()
    """Profiles for the models that rembg's clients name and the types that remove.bg's name, such as
    `u2net=general,person=portrait`. They come before the gateway's own choice (docs/http.md)."""
    webhook_secret: SecretStr | None = None
    """Secret that signs webhooks: `whsec_` and 24 to 64 bytes in base64. Unset: jobs with a webhook are refused."""
    webhook_hosts: Names = ()
    """Hosts that webhooks may be sent to (`*.example.org` for sub-domains). Empty: every public host."""
    webhook_private_addresses: bool = False
    """Allow webhooks to private, loopback and link-local addresses."""
    webhook_attempts: int = Field(default=12, ge=1, le=50)
    """Attempts to deliver a webhook, with pauses that double from 2 s to 15 minutes."""
    metrics_token: SecretStr | None = None
    """Token that /metrics asks for, as `Authorization: Bearer …`: 16 or more letters, digits and signs of ASCII. Unset:
    whoever reaches the port may read the metrics."""

    @model_validator(mode="after")
    def _consistent(self) -> GatewaySettings:
        require(
            (
                is_host(self.host),
                f"CUTSTREAM_GATEWAY__HOST={self.host} is not a valid host: give an address of this machine, or 0.0.0.0 "
                "for all",
            ),
            (
                self.keys is not None or is_loopback(self.host),
                f"CUTSTREAM_GATEWAY__HOST={self.host} is reached from other machines: create keys with `cutstream keys "
                "create` and name their file in CUTSTREAM_GATEWAY__KEYS",
            ),
            *(
                (
                    is_host(host),
                    f"CUTSTREAM_GATEWAY__HOSTS: {host} is no name: write `cut.example.org`, without scheme and port",
                )
                for host in self.hosts
            ),
            (
                self.metrics_token is None or is_token(self.metrics_token.get_secret_value(), least=16),
                "CUTSTREAM_GATEWAY__METRICS_TOKEN must have 16 or more letters, digits and signs of ASCII, no spaces",
            ),
            (
                not self.prefix or (self.prefix.startswith("/") and not self.prefix.endswith("/")),
                f"CUTSTREAM_GATEWAY__PREFIX={self.prefix} must begin with / and not end in one",
            ),
            (
                not self.live_page or is_web_address(self.live_page),
                f"CUTSTREAM_GATEWAY__LIVE_PAGE={self.live_page} must begin with http:// or https://",
            ),
            (
                self.ssl_keyfile is None or self.ssl_certfile is not None,
                "CUTSTREAM_GATEWAY__SSL_KEYFILE needs CUTSTREAM_GATEWAY__SSL_CERTFILE",
            ),
            *(
                (
                    "://" not in place or place.partition("://")[0] in BUCKET_SCHEMES,
                    f"CUTSTREAM_GATEWAY__{name}={place} must be a folder or an s3://, gs:// or az:// address",
                )
                for name, place in (("UPLOADS", self.uploads), ("IMPROVEMENTS", self.improvements or ""))
            ),
            *(
                (
                    _is_network(proxy),
                    f"CUTSTREAM_GATEWAY__TRUSTED_PROXIES: {proxy} is neither an address nor a network: write 10.0.0.7 "
                    "or 10.0.0.0/8",
                )
                for proxy in self.trusted_proxies
            ),
            *(
                (
                    origin.startswith(("https://", "http://")) and origin.count("/") == 2 and "*" not in origin,
                    f"CUTSTREAM_GATEWAY__ALLOWED_ORIGINS: {origin} is no origin: write `https://shop.example.org`, "
                    "without a path",
                )
                for origin in self.allowed_origins
            ),
            *(
                (
                    can_match_host(host),
                    f"CUTSTREAM_GATEWAY__WEBHOOK_HOSTS: {host} matches no host: write `example.org`, `*.example.org` "
                    "or an address, without scheme, port or path",
                )
                for host in self.webhook_hosts
            ),
            *(
                (
                    all(entry.partition("=")[::2]),
                    f"CUTSTREAM_GATEWAY__MODELS: {entry} must have the form model=profile, such as u2net=general",
                )
                for entry in self.models
            ),
        )
        return self

    @property
    def profile_of(self) -> dict[str, str]:
        """Return the profile of each model or type that `models` names."""
        return dict(entry.split("=", 1) for entry in self.models)


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
