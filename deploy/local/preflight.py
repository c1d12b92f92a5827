"""Find settings of the embedded servers that cannot work on this machine, before anything is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from cutstream.folders import why_unwritable
from cutstream.settings import Settings, StackSettings, about


def stack_problems(settings: Settings) -> Iterator[str]:
    """Yield a line for each setting with which the embedded servers cannot run. Only those that are used count."""
    if not settings.kafka.bootstrap_servers:
        yield from _broker(settings)
        yield from _java(settings.stack)
    if not (settings.kafka.bootstrap_servers and settings.triton.url):
        yield from _folders(settings)


def _broker(settings: Settings) -> Iterator[str]:
    kafka = settings.kafka
    own = "or name brokers of your own in CUTSTREAM_KAFKA__BOOTSTRAP_SERVERS"
    if kafka.replication > 1:
        yield about(
            "kafka", "replication", f"{kafka.replication}: the embedded Kafka is one broker: set it to 1, {own}"
        )
    if kafka.security_protocol != "PLAINTEXT":
        yield about(
            "kafka",
            "security_protocol",
            f"{kafka.security_protocol}: the embedded Kafka has neither TLS nor users: set it to PLAINTEXT, {own}",
        )


def _java(stack: StackSettings) -> Iterator[str]:
    if stack.java and shutil.which(stack.java) is None:
        problem = "cannot be run by this user" if stack.java.exists() else "does not exist"
        yield about("stack", "java", f"{stack.java} {problem}: name a `java` program, or leave it out")


def _folders(settings: Settings) -> Iterator[str]:
    stack = settings.stack
    # A comma separates Kafka's folders, a colon the entries of Java's class path and of Triton's search path.
    for name, folder, separators in (("state", stack.state, ",:"), ("jars", stack.jars, os.pathsep)):
        path = str(folder.absolute())
        if found := [separator for separator in separators if separator in path]:
            yield about("stack", name, f"{path} has a `{found[0]}`, which separates folders: name another one")
        elif problem := why_unwritable(folder):
            yield about("stack", name, f"{folder} {problem}: name another folder")
