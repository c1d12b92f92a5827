"""Writes rows and reads topics with the command line tools of Apache Kafka, which use its Java client.

They run in the Java runtime of the embedded broker, with its jars and one more, which holds the tools.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cutstream.settings import StackSettings
from deploy.local.jars import BROKER, Jar, digest, download, ensure_jars
from deploy.local.java import java_command
from tests.support.foreign_clients.rows import Row, Writer, by_writer

VERSION = BROKER.rpartition(":")[2]
TOOLS = Jar(
    "org.apache.kafka", "kafka-tools", VERSION, "4eb9a7fbfd63badfd8d1a677aa2d54b47b2b2d442ff7d68fd223972afea1954c"
)
NULL = "<null>"
TIMEOUT_S = 60
AT_ONCE = 2


class JavaTools:
    """Kafka's tools, with the jars in `folder`."""

    def __init__(self, folder: Path) -> None:
        jars = ensure_jars(folder)
        if digest(folder / TOOLS.file) != TOOLS.sha256:
            download([TOOLS], folder)
        self._java = java_command(StackSettings(), [*jars, folder / TOOLS.file])

    def run(self, tool: str, *arguments: str, stdin: bytes = b"") -> str:
        """Run a tool to its end. Return what it printed."""
        command = [*self._java, f"org.apache.kafka.tools.{tool}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=TIMEOUT_S)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return done.stdout.decode(errors="replace")

    def write(self, address: str, rows: Sequence[Row], topics: Mapping[str, str], scratch: Path) -> None:
        runs = [(writer, group) for writer, group in by_writer(rows)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(lambda run: self._write(address, *run, topics, scratch), runs):
                pass

    def _write(
        self, address: str, writer: Writer, rows: Sequence[Row], topics: Mapping[str, str], scratch: Path
    ) -> None:
        (topic,) = {topics[row.topic] for row in rows}
        if writer.transaction:
            self._write_in_transaction(address, rows, topic, scratch)
        else:
            self._write_lines(address, writer, rows, topic)

    def _write_lines(self, address: str, writer: Writer, rows: Sequence[Row], topic: str) -> None:
        own = {"acks": writer.acks, "enable.idempotence": str(writer.idempotent).lower(), **dict(writer.options)}
        reading = {"parse.key": "true", "parse.headers": "true", "null.marker": NULL}
        reading |= {"headers.separator": ";", "headers.key.separator": "="}
        self.run(
            "ConsoleProducer",
            *("--bootstrap-server", address, "--topic", topic, "--compression-codec", writer.codec),
            *(part for name, value in own.items() for part in ("--command-property", f"{name}={value}")),
            *(part for name, value in reading.items() for part in ("--reader-property", f"{name}={value}")),
            stdin=b"".join(_line(row) for row in rows),
        )

    def _write_in_transaction(self, address: str, rows: Sequence[Row], topic: str, scratch: Path) -> None:
        """This tool chooses each value at random from its file, so a run writes one row."""
        for row in rows:
            path = scratch / f"{row.name}.txt"
            path.write_bytes(row.value or b"")
            self.run(
                "ProducerPerformance",
                *("--bootstrap-server", address, "--topic", topic, "--num-records", "1", "--throughput", "-1"),
                *("--payload-file", str(path), "--transactional-id", f"{topic}-{row.name}"),
            )

    def read(self, address: str, topic: str, count: int) -> list[str]:
        """Read so many committed records from the beginning. Return a line for each: headers, a tab, the value."""
        out = self.run(
            "consumer.ConsoleConsumer",
            *("--bootstrap-server", address, "--topic", topic, "--from-beginning", "--max-messages", str(count)),
            *("--isolation-level", "read_committed", "--formatter-property", "print.headers=true"),
            *("--formatter-property", "headers.separator=|"),
        )
        return [line for line in out.splitlines() if "\t" in line]  # it also prints advice


def _line(row: Row) -> bytes:
    headers = b";".join(name.encode() + b"=" + _text(value) for name, value in row.headers)
    return b"\t".join((headers or _text(None), _text(row.key), _text(row.value))) + b"\n"


def _text(part: bytes | None) -> bytes:
    return NULL.encode() if part is None else part
