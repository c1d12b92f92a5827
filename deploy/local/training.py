"""Make the head start of the embedded Kafka: format a storage, and let a broker run for a moment under observation.

The JVM notes which classes that broker loads. When it stops, it writes them to a cache, loaded and linked.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import msgspec

from cutstream.clients.kafka import OutgoingRecord, Partition, RequestReader, TransactionalCommitter, ensure_topics
from cutstream.errors import CutstreamError, StackError
from cutstream.settings import KafkaSettings, StackSettings, embedded_kafka
from deploy.local.head_start import CACHE, MADE, PREFIX, STORAGE, Made, folder_of, is_settled
from deploy.local.jars import digest, ensure_jars
from deploy.local.kafka import DATA, kafka_server
from deploy.local.ports import free_ports
from deploy.local.process import Supervisor, server_error
from deploy.local.state import open_unplanted, write_anew

_LOCK = f"{PREFIX}lock"
_OTHERS_KEPT = 2
_WRITING_S = 120.0
_JOINING_S = 20.0


def make_head_start(settings: StackSettings, report: Callable[[str], None]) -> None:
    """Make the head start for these settings, unless another process does. The state folder must be locked.

    It takes about 15 s, which `report` is told before. It is told of a failure, too: the broker starts without then.
    Raises StackError if the jars cannot be had, or if other users could exchange them.
    """
    ensure_jars(settings.jars)
    try:
        with _only_one(settings.jars / _LOCK) as is_alone:
            if is_alone and not is_settled(settings):
                report("preparing Kafka for quick starts: this is done once and takes about 15 s")
                _make(settings, report)
    except OSError as exc:
        report(f"Kafka is not prepared, so that each start takes some seconds longer: {exc}")


@contextmanager
def _only_one(lock: Path) -> Iterator[bool]:
    """Yield True if no other process does this at the moment."""
    with open(lock, "ab", opener=open_unplanted) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _make(settings: StackSettings, report: Callable[[str], None]) -> None:
    folder = folder_of(settings)
    assert folder, "the jars are there"
    with TemporaryDirectory(prefix="training-", dir=settings.state) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        try:
            _train(settings, Path(scratch), made)
            files = {str(path.relative_to(made)): digest(path) for path in made.rglob("*") if path.is_file()}
            note = Made(files={name: sha256 for name, sha256 in files.items() if sha256})
        except CutstreamError as exc:
            report(f"Kafka is not prepared, so that each start takes some seconds longer: {exc}")
            shutil.rmtree(made)
            made.mkdir()
            note = Made(problem=str(exc))
        write_anew(made / MADE, msgspec.json.encode(note).decode())
        _put(made, folder)
    _remove_old(folder)


def _train(settings: StackSettings, scratch: Path, made: Path) -> None:
    """Have a broker work for a moment, and leave its cache and the storage that it began with in a folder."""
    kafka_port, controller_port = free_ports(2)
    ports = {"kafka_port": kafka_port, "kafka_controller_port": controller_port}
    own = settings.model_copy(update={"state": scratch / "state", **ports})
    server = kafka_server(own)
    folder = own.state / "kafka"
    shutil.copytree(folder / DATA, made / STORAGE)
    program, *rest = server.command
    command = [program, f"-XX:AOTCacheOutput={(folder / CACHE).absolute()}", *rest]
    with Supervisor(settings.start_timeout_s, kills=True) as supervisor:  # Ctrl-C waits for no cache
        supervisor.start(replace(server, command=command, stop_timeout_s=_WRITING_S))
        _work(embedded_kafka(KafkaSettings(), own))
        supervisor.stop()
    if not (folder / CACHE).is_file():
        raise server_error(server, "has written no cache")
    shutil.move(folder / CACHE, made / CACHE)


def _work(kafka: KafkaSettings) -> None:
    """Do what a worker does, so that the classes for it are noted, too."""
    ensure_topics(kafka)
    requests = Partition(kafka.requests_topic, 0)
    reader, committer = RequestReader(kafka, ((kafka.requests_topic,),)), TransactionalCommitter(kafka)
    deadline = monotonic() + _JOINING_S
    with closing(reader), closing(committer):
        committer.start()
        reader.start()
        while reader.membership is None or requests not in reader.partitions:
            if monotonic() > deadline:
                raise StackError("a broker that is observed lets nobody join its group")
            reader.poll(0.1, 1)
        record = OutgoingRecord(kafka.results_topic, b"photo", b"{}")
        committer.commit([record], {requests: 0}, reader.membership)


def _put(made: Path, folder: Path) -> None:
    """Move a folder into its place, whole: its name tells what it is for."""
    part = folder.with_name(f"{folder.name}.part")
    for there in (part, folder):
        shutil.rmtree(there, ignore_errors=True)
    shutil.copytree(made, part)
    part.replace(folder)


def _remove_old(folder: Path) -> None:
    """Keep the newest ones of other jars and Javas: several checkouts may share the jars."""
    others = [path for path in folder.parent.glob(f"{PREFIX}*") if path.is_dir() and path != folder]
    for old in sorted(others, key=lambda path: path.stat().st_mtime)[:-_OTHERS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
