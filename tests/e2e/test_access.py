"""A photo by way of a broker with TLS, logins and exactly the rights that docs/security.md lists."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import skimage

from cutstream.settings import KafkaSettings, Settings, as_environment
from tests.support.gateways import gateway_process, with_gateway
from tests.support.guarded_kafka import GuardedKafka
from tests.support.workers import WorkerProcess, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(180)]

TABLE = re.compile(r"^\| (\w+) \| (TOPIC|GROUP|TRANSACTIONAL_ID) \| `(\S+)` \| ([A-Z, ]+) \|$", re.MULTILINE)


def documented(rename: Callable[[str], str]) -> dict[str, list[tuple[str, str, str]]]:
    """Return the rights of each role, for other names of topics and of the group."""
    rights: dict[str, list[tuple[str, str, str]]] = {}
    for role, kind, name, operations in TABLE.findall(Path("docs/security.md").read_text()):
        rights.setdefault(role, []).extend((kind, rename(name), operation) for operation in operations.split(", "))
    return rights


@pytest.fixture
def roles(guarded: GuardedKafka, triton: Settings, tmp_path: Path) -> dict[str, Settings]:
    """Settings with each role's login, for topics and a group of this test's own, which do not exist yet."""
    rights = documented(lambda name: name.replace("cutout.", "access.").replace("cutstream", "access"))
    assert set(rights) == {"worker", "gateway", "sender", "reader", "operator", "creator"}
    topics = {
        name: field.default.replace("cutout.", "access.")
        for name, field in KafkaSettings.model_fields.items()
        if name.endswith("_topic")
    }
    objects = triton.objects.model_copy(update={"destination": (tmp_path / "out").as_uri(), "file_roots": (tmp_path,)})
    settings = {}
    for role, given in rights.items():
        user = f"{role}-of-access"
        guarded.add_user(user, f"password-of-{role}")
        guarded.allow(user, given)
        login = guarded.login(user, sasl_password=f"password-of-{role}", group="access", partitions=1, **topics)
        worker = triton.worker.model_copy(update={"port": 0})
        settings[role] = triton.model_copy(update={"kafka": login, "objects": objects, "worker": worker})
    return settings


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(roles: dict[str, Settings]) -> Run:
    def run(role: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **as_environment(roles[role])}
        command = [sys.executable, "-m", "commands", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def photo(tmp_path: Path) -> str:
    return shutil.copy(Path(skimage.__file__).parent / "data" / "rocket.jpg", tmp_path)


@pytest.fixture
def worker(roles: dict[str, Settings], run: Run, tmp_path: Path) -> Iterator[WorkerProcess]:
    assert run("creator", "topics", "create").returncode == 0
    with workers(roles["worker"], tmp_path) as (worker,):
        yield worker


def test_every_role_does_its_work_with_its_rights_and_no_other(
    run: Run, worker: WorkerProcess, photo: str, roles: dict[str, Settings], tmp_path: Path
) -> None:
    def done(role: str, *arguments: str) -> str:
        process = run(role, *arguments)
        assert process.returncode == 0, f"{role} {arguments}: {process.stdout}{process.stderr}\n{worker.tail()}"
        return process.stdout

    id = done("sender", "submit", photo).split()[0]
    results: list[dict] = []
    while not results:
        results = [json.loads(line) for line in done("reader", "results").splitlines()]
    assert [(result["id"], result["status"]) for result in results] == [(id, "ok")]

    done("sender", "submit", "--anyway", "--urgent", "file:///elsewhere/photo.jpg")
    while "1 dead letter" not in done("operator", "dead-letters", "list"):
        pass
    done("operator", "dead-letters", "replay", "--yes")
    done("operator", "dead-letters", "purge", "--yes")
    done("operator", "cancel", "--id", "never")
    assert "never" in done("operator", "cancel", "list")
    done("operator", "backgrounds", "add", "beach", photo)
    assert "beach" in done("operator", "backgrounds", "list")

    with gateway_process(with_gateway(roles["gateway"], tmp_path), tmp_path) as gateway:
        answer = gateway.client.post("/v1.0/removebg", files={"image_file": Path(photo).read_bytes()})
        assert answer.status_code == 200, answer.text
        assert "the lag is not known" not in gateway.tail()

    for role, *arguments in (
        ("reader", "submit", shutil.copy(photo, tmp_path / "another.jpg")),  # the ledger knows the first
        ("sender", "results"),
    ):
        refused = run(role, *arguments)
        assert refused.returncode != 0
        assert "this user lacks the right" in " ".join(refused.stderr.split())
    assert not re.search("password-of", worker.log.read_text())
