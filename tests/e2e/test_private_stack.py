"""A private stack, started as its user would: it works for this user, and does nothing for anybody else."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import product
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import skimage
import tritonclient.grpc
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from kafka.admin import KafkaAdminClient
from PIL import Image
from tritonclient.utils import InferenceServerException

from cutstream.settings import Settings, StackSettings, addressed, as_environment, variable
from deploy.local.identity import ensure_identity
from tests.support.foreign_clients.java import JavaTools
from tests.support.pictures.nothing import NOTHING
from tests.support.ports import free_ports, free_stack_ports

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(180)]

NOBODY = 65534
# Everything is imported first, because this account may not be able to read the packages.
AS_NOBODY = f"""
import os, sys
import commands.__main__, commands.app, cutstream.clients.kafka, cutstream.printable, producer.following
os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
commands.__main__.main()
"""


class PrivateStack:
    """A stack that runs in `folder`, with the settings that reach it."""

    def __init__(self, folder: Path, jars: Path) -> None:
        self.folder = folder
        photo = Path(skimage.__file__).parent / "data" / "rocket.jpg"
        (folder / "photos").mkdir()
        self.photo = shutil.copy(photo, folder / "photos")
        port, page_port = free_ports(2)
        given = Settings()
        self.given = given.model_copy(
            update={
                "stack": StackSettings(state=folder / "state", jars=jars, **free_stack_ports()),
                "worker": given.worker.model_copy(update={"port": port}),
                "page": given.page.model_copy(update={"port": page_port}),
                "objects": given.objects.model_copy(
                    update={"file_roots": (folder / "photos",), "destination": (folder / "out").as_uri()}
                ),
            }
        )

    @property
    def identity(self) -> str:
        return str(self.folder / "state" / "private" / "identity.pem")

    @property
    def settings(self) -> Settings:
        return addressed(self.given)

    def environment(self, **variables: str) -> dict[str, str]:
        return {**os.environ, **as_environment(self.given), **variables}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in another terminal, without the setting that `up` has."""
        command = [sys.executable, "-m", "commands", *arguments]
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, jars: Path) -> Iterator[PrivateStack]:
    stack = PrivateStack(tmp_path_factory.mktemp("private"), jars)
    log = stack.folder / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [sys.executable, "-u", "-m", "commands", "up"],
            env=stack.environment(**{variable("stack", "private"): "true"}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        while "Ready after" not in log.read_text():
            assert up.poll() is None, log.read_text()
            time.sleep(0.1)
        assert stack.identity in log.read_text()
        yield stack
    finally:
        up.terminate()
        assert up.wait(60) == 0, log.read_text()


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The identity of another stack."""
    return str(ensure_identity(StackSettings(state=tmp_path_factory.mktemp("stranger"), private=True)))


def test_it_works_for_its_user(stack: PrivateStack) -> None:
    submitted = stack.run("submit", stack.photo)
    assert submitted.returncode == 0, submitted.stderr
    results: list[dict[str, Any]] = []
    while not results:
        printed = stack.run("results")
        assert printed.returncode == 0, printed.stderr
        results = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [(result["id"], result["status"]) for result in results] == [(submitted.stdout.split()[0], "ok")]


def test_no_picture_of_nothing_is_cut_out(stack: PrivateStack, tmp_path: Path) -> None:
    """The weights that ship, at the precision that the stack chose for this machine."""
    pictures = ("white 1x1", "noise 640x480", "gradient studio", "page.png", "brick.png", "moon.png", "wooden table")
    for number, name in enumerate(pictures):
        Image.fromarray(NOTHING[name]()).save(tmp_path / f"{number}.png")
    done = stack.run("cut", str(tmp_path), str(tmp_path / "out"))
    assert done.returncode == 1
    assert (tmp_path / "out" / "failed.csv").read_text().count(",unknown_foreground,") == len(pictures), done.stderr


def test_the_live_page_shows_its_photos_to_its_user_alone(stack: PrivateStack) -> None:
    """`up` prints the addresses of the pages first. Who only finds the live page's port sees it without anything."""
    page = stack.settings.page
    assert page.token is not None
    token = page.token.get_secret_value()
    first = (stack.folder / "up.log").read_text().split()[:7]
    assert first[:3] == ["cut", "out", "photos"]
    assert first[4:] == ["live", "page", f"http://127.0.0.1:{page.port}/#token={token}"]
    answers = {}
    for header in ("", "Bearer 0123456789abcdef", f"Bearer {token}"):
        with closing(http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)) as connection:
            connection.request("GET", "/view.json", headers={"Authorization": header})
            answer = connection.getresponse()
            answers[header] = answer.status, answer.read()
    assert [status for status, _ in answers.values()] == [401, 401, 200]
    assert json.loads(answers[f"Bearer {token}"][1])["photos"] is True


def test_only_its_user_reads_the_identity_and_no_process_shows_it(stack: PrivateStack) -> None:
    identity = Path(stack.identity)
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600
    assert stat.S_IMODE(identity.parent.stat().st_mode) == 0o700
    (key,) = {line for line in identity.read_text().splitlines()[1:2]}
    # With names of attributes, processes that end meanwhile have None.
    listed = psutil.process_iter(["cmdline"])
    processes = [process for process in listed if str(stack.folder) in " ".join(process.info["cmdline"] or ())]
    assert len(processes) >= 3
    assert not [p for p in processes if key in " ".join((*p.cmdline(), *p.environ().values()))]
    assert key not in "".join(path.read_text(errors="replace") for path in stack.folder.rglob("*.log"))


# What another account has to show. It may know our certificate, which is no secret, but not its key.
Client = dict[str, Any]
STRANGERS: dict[str, Client] = {
    "no TLS": {"security.protocol": "PLAINTEXT"},
    "no certificate": {"security.protocol": "SSL", "ssl.ca.location": "ours"},
    "another identity": {
        "security.protocol": "SSL",
        "ssl.ca.location": "ours",
        "ssl.certificate.location": "theirs",
        "ssl.key.location": "theirs",
    },
}
OURS: Client = {name: value.replace("theirs", "ours") for name, value in STRANGERS["another identity"].items()}
TIMEOUT_S = 3.0


def topics(client: Client) -> set[str]:
    return set(AdminClient(client, logger=None).list_topics(timeout=TIMEOUT_S).topics)


def delete_a_topic(client: Client) -> None:
    admin = AdminClient(client, logger=None)
    admin.delete_topics(["cutout.requests"], request_timeout=TIMEOUT_S)["cutout.requests"].result()


def write(client: Client) -> None:
    producer = Producer({**client, "message.timeout.ms": 1000 * TIMEOUT_S}, logger=None)
    outcomes: list[KafkaError | None] = []
    producer.produce("cutout.dead-letters", b"{}", on_delivery=lambda error, _: outcomes.append(error))
    producer.flush(2 * TIMEOUT_S)
    if outcomes != [None]:
        raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))


def succeeds(client: Client, call: Callable[[Client], object]) -> bool:
    try:
        call(client)
    except KafkaException:
        return False
    return True


def test_kafka_does_nothing_for_a_stranger(stack: PrivateStack, stranger: str) -> None:
    def client(options: Client) -> Client:
        files = {"ours": stack.identity, "theirs": stranger}
        brokers = stack.settings.kafka.bootstrap_servers
        return {
            "bootstrap.servers": brokers,
            "log_level": 0,
            **{name: files.get(value, value) for name, value in options.items()},
        }

    tries = list(product(STRANGERS, (topics, delete_a_topic, write)))
    with ThreadPoolExecutor(len(tries)) as pool:
        done = [pool.submit(succeeds, client(STRANGERS[who]), call) for who, call in tries]
        assert not [attempt for attempt, future in zip(tries, done, strict=True) if future.result()]
    assert succeeds(client(OURS), write)
    assert "cutout.requests" in topics(client(OURS))


@pytest.mark.parametrize("port", ["kafka_port", "kafka_controller_port"])
def test_neither_broker_nor_controller_answers_a_stranger(stack: PrivateStack, stranger: str, port: str) -> None:
    versions = struct.pack(">ihhih", 10, 18, 0, 1, -1)  # what a client asks first

    def answers(protocol: str, *identity: str) -> bool:
        context = ssl.create_default_context(cafile=stack.identity)
        for file in identity:
            context.load_cert_chain(file)
        with ExitStack() as sockets:
            try:
                address = ("127.0.0.1", getattr(stack.given.stack, port))
                connection = sockets.enter_context(socket.create_connection(address, 5))
                if protocol == "SSL":
                    connection = sockets.enter_context(context.wrap_socket(connection, server_hostname=address[0]))
                connection.sendall(versions)
                return connection.recv(8)[4:] == versions[8:12]
            except OSError:
                return False

    assert answers("SSL", stack.identity)
    assert not answers("PLAINTEXT")
    assert not answers("SSL")
    assert not answers("SSL", stranger)


def test_clients_of_its_user_get_in_as_documented(stack: PrivateStack, jars: Path) -> None:
    brokers, identity = stack.settings.kafka.bootstrap_servers, stack.identity
    tls = {"security_protocol": "SSL", "ssl_cafile": identity, "ssl_certfile": identity}
    with closing(KafkaAdminClient(bootstrap_servers=brokers, **tls)) as admin:
        assert "cutout.requests" in admin.list_topics()
    properties = str(Path(identity).with_name("client.properties"))
    listing = ("--bootstrap-server", brokers, "--command-config", properties, "--list")
    assert "cutout.requests" in JavaTools(jars).run("TopicCommand", *listing)


def test_triton_does_nothing_for_a_stranger(stack: PrivateStack, stranger: str) -> None:
    url = stack.settings.triton.url
    own = Path(stack.identity).read_bytes()
    other = Path(stranger).read_bytes()

    def ready(*credentials: bytes | None) -> bool:
        creds = grpc.ssl_channel_credentials(*credentials) if credentials else None
        with closing(tritonclient.grpc.InferenceServerClient(url, creds=creds)) as client:
            client.get_model_metadata("cutout_fast", client_timeout=3)
            return client.is_server_ready(client_timeout=3)

    assert ready(own, own, own)
    for credentials in ((), (own,), (own, other, other)):
        with pytest.raises(InferenceServerException, match=r"UNAVAILABLE|DEADLINE_EXCEEDED"):
            ready(*credentials)


def test_another_account_is_told_whose_stack_it_is(stack: PrivateStack) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can act as another account")
    for folder, words in (
        (stack.given.stack.state, "is for the user root alone"),
        (Path("/nowhere"), "the port is used by root, another user of this machine"),
    ):
        refused = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, "results"],
            env=stack.environment(**{variable("stack", "state"): str(folder)}),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert refused.returncode != 0
        assert words in " ".join(refused.stderr.split())
