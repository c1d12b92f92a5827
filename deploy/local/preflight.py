"""Find settings of the embedded servers that cannot work on this machine, before anything is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from cutstream.folders import why_unwritable
from cutstream.settings import Settings, StackSettings, about
from deploy.local.identity import OPENSSL
from deploy.local.jars import missing_jars, why_exchangeable

# What separates Kafka's folders, and the entries of Triton's search path and of Java's class path.
_KAFKA, _TRITON, _JAVA = ",", ":", os.pathsep


def stack_problems(settings: Settings) -> Iterator[str]:
    """Yield a line for each setting with which the embedded servers cannot run. Only those that are used count."""
    stack = settings.stack
    separators = ""
    if not settings.kafka.bootstrap_servers:
        separators += _KAFKA
        yield from _broker(settings)
        yield from _java(stack)
        yield from _undecodable(stack)
        if problem := why_exchangeable(stack.jars):  # first: a pipe of a stranger's would hold up who reads it
            yield about("stack", "jars", problem)
        else:
            yield from _folder("jars", stack.jars, _JAVA, lambda: bool(missing_jars(stack.jars)))
    if not settings.triton.url:
        separators += _TRITON
    if separators:
        yield from _openssl(stack)
        yield from _folder("state", stack.state, separators, lambda: True)


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
            f"{kafka.security_protocol}: for the embedded Kafka there is CUTSTREAM_STACK__PRIVATE: set this "
            f"to PLAINTEXT, {own}",
        )


def _openssl(stack: StackSettings) -> Iterator[str]:
    if stack.private and shutil.which(OPENSSL) is None:
        yield about("stack", "private", f"it needs the program {OPENSSL}, which is not installed: install it")


def _java(stack: StackSettings) -> Iterator[str]:
    if stack.java and shutil.which(stack.java) is None:
        problem = "cannot be run by this user" if stack.java.exists() else "does not exist"
        yield about("stack", "java", f"{stack.java} {problem}: name a `java` program, or leave it out")


def _undecodable(stack: StackSettings) -> Iterator[str]:
    for name, folder in (("state", stack.state), ("jars", stack.jars)):
        try:
            str(folder.absolute()).encode()
        except UnicodeEncodeError:
            yield about("stack", name, "the folder's path is not UTF-8, and Java finds no such one: name another one")


def _folder(name: str, folder: Path, separators: str, is_written: Callable[[], bool]) -> Iterator[str]:
    path = str(folder.absolute())
    if found := [separator for separator in separators if separator in path]:
        yield about("stack", name, f"{path} has a `{found[0]}`, which separates folders: name another one")
    elif (problem := why_unwritable(folder)) and is_written():
        yield about("stack", name, f"{folder} {problem}: name another folder")
