"""The tree of all sections, where values come from, and the checks between sections."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from cutstream.settings.gateway import GatewaySettings
from cutstream.settings.kafka import KafkaSettings
from cutstream.settings.naming import PREFIX, config_file, variable
from cutstream.settings.page import PageSettings
from cutstream.settings.section import require
from cutstream.settings.sections import (
    GlueSettings,
    LimitSettings,
    ModelSettings,
    ObjectSettings,
    StackSettings,
    TritonSettings,
    WorkerSettings,
)

# Peak memory per source pixel between decode and store, for a cutout alone: RGB and its matte (4), the RGBA cutout (4),
# the encoder's output and scratch memory (8). More outputs need more: consumer/resources/memory_budget.py.
BYTES_PER_PIXEL = 16
_LAST_PORT = 65_535
_PAGE_PORTS = 100  # from a worker's metrics port to that of its page


class Settings(BaseSettings):
    """All settings. Each part of the program receives its own section."""

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
    gateway: GatewaySettings = GatewaySettings()
    page: PageSettings = PageSettings()
    stack: StackSettings = StackSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        largest = self.limits.max_source_pixels * BYTES_PER_PIXEL
        named = {"kafka": self.kafka.bootstrap_servers, "triton": self.triton.url}
        embedded = tuple(server for server, address in named.items() if not address)
        ports = {
            "CUTSTREAM_WORKER__PORT": self.worker.port,
            **({"CUTSTREAM_GATEWAY__PORT": self.gateway.port} if self.gateway.port else {}),
            **({"CUTSTREAM_PAGE__PORT": self.page.port} if self.page.enabled and self.page.port else {}),
            **{
                variable("stack", name): port
                for name, port in self.stack
                if name.endswith("_port") and name.startswith(embedded)
            },
        }
        equal = [f"{name}={port}" for name, port in ports.items() if [*ports.values()].count(port) > 1]
        require(
            (
                self.worker.memory_bytes >= largest,
                f"CUTSTREAM_WORKER__MEMORY_BYTES={self.worker.memory_bytes} must be at least {largest}: an image of "
                f"CUTSTREAM_LIMITS__MAX_SOURCE_PIXELS={self.limits.max_source_pixels} takes {BYTES_PER_PIXEL} bytes "
                "a pixel",
            ),
            (
                self.worker.heartbeat_s < self.kafka.max_poll_interval_s,
                f"CUTSTREAM_WORKER__HEARTBEAT_S={self.worker.heartbeat_s:g} must be below "
                f"CUTSTREAM_KAFKA__MAX_POLL_INTERVAL_S={self.kafka.max_poll_interval_s:g}",
            ),
            (
                all(port + self.stack.port_offset <= _LAST_PORT for port in ports.values()),
                f"CUTSTREAM_STACK__PORT_OFFSET={self.stack.port_offset} leads beyond port {_LAST_PORT}",
            ),
            (
                not equal,
                f"{' and '.join(equal)}: choose different ports",
            ),
        )
        return self

    @property
    def page_port(self) -> int:
        """Port of the live page. 0: any free one."""
        if self.page.port is not None:
            return self.page.port
        # Not the next one: that is often the metrics port of a second worker.
        port = self.worker.port + _PAGE_PORTS
        return port if self.worker.port and port <= _LAST_PORT else 0

    def with_moved_ports(self) -> Settings:
        """Return settings with the ports that CUTSTREAM_STACK__PORT_OFFSET stands for, and without it."""
        if not self.stack.port_offset:
            return self
        offset = self.stack.port_offset
        ports = {name: port + offset for name, port in self.stack if name.endswith("_port")}
        worker = {"port": self.worker.port and self.worker.port + offset}
        gateway = {"port": self.gateway.port and self.gateway.port + offset}
        page = {"port": self.page.port and self.page.port + offset}  # without one, it follows the worker's
        return self.model_copy(
            update={
                "stack": self.stack.model_copy(update={**ports, "port_offset": 0}),
                "worker": self.worker.model_copy(update=worker),
                "gateway": self.gateway.model_copy(update=gateway),
                "page": self.page.model_copy(update=page),
            }
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = config_file()
        toml = (TomlConfigSettingsSource(settings_cls, Path(file)),) if file else ()
        return init_settings, env_settings, *toml
