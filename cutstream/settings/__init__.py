"""All settings, and the only package that reads the environment.

A setting is the variable `CUTSTREAM_<SECTION>__<NAME>`, for instance `CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS=broker:9092`,
or an entry of the TOML file that `CUTSTREAM_CONFIG` names. The environment takes precedence over the file.
docs/settings.md is generated from this package: a field's docstring is its entry there.
"""

from __future__ import annotations

from cutstream.settings.embedded import addressed, embedded_kafka, embedded_triton, identity_of
from cutstream.settings.environment import bare_environment, own_environment
from cutstream.settings.forms import BUCKET_NAME, BUCKET_SCHEMES, host_and_port, is_host_and_port, is_loopback
from cutstream.settings.gateway import GatewaySettings
from cutstream.settings.kafka import KafkaSettings
from cutstream.settings.loading import as_environment, fields, given, load, redacted, variables
from cutstream.settings.naming import CONFIG_FILE, PREFIX, RENAMED, RENAMED_VALUES, about, anchor, variable
from cutstream.settings.noted import inbox_of, inbox_path, is_abandoned, note_path, read_note, runtime_folder
from cutstream.settings.page import PageSettings
from cutstream.settings.sections import (
    GlueSettings,
    GraphPrecision,
    LimitSettings,
    ModelSettings,
    ObjectSettings,
    StackSettings,
    TritonSettings,
    WorkerSettings,
)
from cutstream.settings.tree import BYTES_PER_PIXEL, Settings

__all__ = [
    "BUCKET_NAME",
    "BUCKET_SCHEMES",
    "BYTES_PER_PIXEL",
    "CONFIG_FILE",
    "PREFIX",
    "RENAMED",
    "RENAMED_VALUES",
    "GatewaySettings",
    "GlueSettings",
    "GraphPrecision",
    "KafkaSettings",
    "LimitSettings",
    "ModelSettings",
    "ObjectSettings",
    "PageSettings",
    "Settings",
    "StackSettings",
    "TritonSettings",
    "WorkerSettings",
    "about",
    "addressed",
    "anchor",
    "as_environment",
    "bare_environment",
    "embedded_kafka",
    "embedded_triton",
    "fields",
    "given",
    "host_and_port",
    "identity_of",
    "inbox_of",
    "inbox_path",
    "is_abandoned",
    "is_host_and_port",
    "is_loopback",
    "load",
    "note_path",
    "own_environment",
    "read_note",
    "redacted",
    "runtime_folder",
    "variable",
    "variables",
]
