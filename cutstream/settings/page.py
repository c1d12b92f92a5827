"""The section of the live page."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from cutstream.settings.forms import is_host, is_host_and_port, is_loopback, is_token, is_web_address
from cutstream.settings.section import Names, Section, require


class PageSettings(Section):
    enabled: bool = True
    """Serve the live page of this worker (docs/watching.md). `false`: no port is opened and no photo is kept for it."""
    host: str = "127.0.0.1"
    """Address on which the live page is served. Any but loopback needs CUTSTREAM_PAGE__TOKEN."""
    port: int | None = Field(default=None, ge=0, le=65535)
    """Port on which the live page is served. 0: any free port. Unset: CUTSTREAM_WORKER__PORT and 100, so 9200."""
    token: SecretStr | None = None
    """Token that the page asks for: 16 or more letters, digits and signs of ASCII. It is sent as `Authorization: Bearer
    …`, by the page itself, or by a proxy before it. Unset: whoever reaches the port sees the page, except on a private
    local stack, which has a token of its own (`cutstream up` prints it with the address)."""
    hosts: Names = ()
    """Further names under which browsers reach a page on loopback, such as `cut.example.org` of a reverse proxy."""
    photos: Literal["local", "always", "never"] = "local"
    """Show photos and their cutouts as small pictures, and the messages of failures, which hold addresses of photos.
    `local`: on the local stack only. Where they are not shown, a failure has its id, its code and its stage."""
    gateway: str = ""
    """Address of the gateway's page, to which this page links. Empty: it does not, except that `cutstream up` fills it
    in."""
    workers: Names = ()
    """Addresses `host:port` of the metrics of other workers that the page shows beside its own. They are asked with
    CUTSTREAM_WORKER__METRICS_TOKEN."""

    @model_validator(mode="after")
    def _consistent(self) -> PageSettings:
        require(
            (
                is_host(self.host),
                f"CUTSTREAM_PAGE__HOST={self.host} is not a valid host: give an address of this machine, or 0.0.0.0 "
                "for all",
            ),
            (
                self.token is not None or is_loopback(self.host),
                f"CUTSTREAM_PAGE__HOST={self.host} can be reached from other machines: set CUTSTREAM_PAGE__TOKEN, too",
            ),
            (
                self.token is None or is_token(self.token.get_secret_value(), least=16),
                "CUTSTREAM_PAGE__TOKEN must have 16 or more letters, digits and signs of ASCII, no spaces",
            ),
            (
                not self.gateway or is_web_address(self.gateway),
                f"CUTSTREAM_PAGE__GATEWAY={self.gateway} must begin with http:// or https://",
            ),
            *(
                (
                    is_host(host),
                    f"CUTSTREAM_PAGE__HOSTS: {host} is no name: write `cut.example.org`, without scheme and port",
                )
                for host in self.hosts
            ),
            *(
                (
                    is_host_and_port(worker),
                    f"CUTSTREAM_PAGE__WORKERS: {worker} is no address: write `host:port`, such as worker-1:9100",
                )
                for worker in self.workers
            ),
        )
        return self
