"""Who has a private stack's identity, and what becomes of a server or client that shows another one."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from cutstream.clients.kafka.reachability import first_to_answer
from cutstream.errors import BrokerUnavailable, ConfigurationError, StackError
from cutstream.settings import (
    KafkaSettings,
    PageSettings,
    Settings,
    StackSettings,
    TritonSettings,
    addressed,
    as_environment,
    identity_of,
    load,
)
from deploy.local import identity as module
from deploy.local.identity import OPENSSL, ensure_identity
from deploy.local.kafka import is_ready
from deploy.local.preflight import stack_problems

pytestmark = pytest.mark.skipif(not shutil.which(OPENSSL), reason="openssl is not installed")


@pytest.fixture
def stack(tmp_path: Path) -> StackSettings:
    return StackSettings(state=tmp_path / "state", private=True)


def open_again(stack: StackSettings) -> StackSettings:
    return stack.model_copy(update={"private": False})


def test_it_is_made_once_and_only_its_user_reads_it(stack: StackSettings) -> None:
    identity = ensure_identity(stack)
    assert identity is not None
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600
    assert stat.S_IMODE(identity.parent.stat().st_mode) == 0o700
    before = identity.read_bytes()
    assert ensure_identity(stack) == identity
    assert identity.read_bytes() == before
    assert {path.name for path in identity.parent.iterdir()} == {"identity.pem"}


def test_an_open_stack_has_none_and_removes_an_old_one(stack: StackSettings) -> None:
    assert ensure_identity(open_again(stack)) is None
    identity = ensure_identity(stack)
    assert identity is not None
    assert ensure_identity(open_again(stack)) is None
    assert not identity.exists()
    assert addressed(Settings(stack=open_again(stack))).kafka.security_protocol == "PLAINTEXT"


def test_commands_find_it_in_the_state_folder_whatever_their_own_settings_say(stack: StackSettings) -> None:
    identity = ensure_identity(stack)
    for own in (stack, open_again(stack)):
        found = addressed(Settings(stack=own))
        assert found.kafka.security_protocol == "SSL"
        assert {found.kafka.ssl_cafile, found.kafka.ssl_certfile} == {identity}
        assert found.triton.tls
        assert {found.triton.ssl_cafile, found.triton.ssl_certfile, found.triton.ssl_keyfile} == {identity}


def test_a_worker_gets_settings_with_it(stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_identity(stack)
    complete = addressed(Settings(stack=stack))
    for name, value in as_environment(complete).items():
        monkeypatch.setenv(name, value)
    assert addressed(load()) == complete


def test_the_live_page_of_a_private_stack_is_for_those_who_can_read_its_identity(stack: StackSettings) -> None:
    never_started = addressed(Settings(stack=stack)).page
    identity = ensure_identity(stack)
    assert identity is not None
    page = addressed(Settings(stack=stack)).page
    assert page.token is not None
    assert page.token != never_started.token
    assert page == addressed(Settings(stack=stack)).page, "it stays the same from start to start"
    assert page.photos == "always"
    assert page.token.get_secret_value() not in identity.read_text()
    own = PageSettings(token=SecretStr("0123456789abcdef"), photos="never")
    assert addressed(Settings(stack=stack, page=own)).page == own
    open_page = addressed(
        Settings(stack=stack.model_copy(update={"state": stack.state / "open", "private": False}))
    ).page
    assert (open_page.token, open_page.photos) == (None, "always")
    elsewhere = Settings(stack=stack, kafka=KafkaSettings(bootstrap_servers="broker:9092"))
    assert addressed(elsewhere).page == PageSettings()


def test_servers_that_the_settings_name_do_not_see_it(stack: StackSettings) -> None:
    ensure_identity(stack)
    kafka, triton = KafkaSettings(bootstrap_servers="broker:9092"), TritonSettings(url="triton:8001")
    named = Settings(stack=stack, kafka=kafka, triton=triton)
    assert addressed(named) == named


def test_a_private_stack_that_was_never_started_is_not_looked_for_in_the_open(stack: StackSettings) -> None:
    with broker(None) as (port, learnt):
        complete = addressed(Settings(stack=stack.model_copy(update={"kafka_port": port})))
        with pytest.raises(BrokerUnavailable, match=r"there is no .*identity.pem"):
            first_to_answer(complete.kafka)
    assert not any(learnt)


def test_that_of_another_user_is_refused_by_name(stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_identity(stack)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    for own in (stack, open_again(stack)):
        with pytest.raises(ConfigurationError, match=r"CUTSTREAM_STACK__STATE: .* is for the user \w+ alone"):
            addressed(Settings(stack=own))
        with pytest.raises(ConfigurationError, match="alone"):
            ensure_identity(own)


def test_what_openssl_says_is_told_and_half_an_identity_is_none(
    stack: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CERTIFICATE", "[req]\n")
    with pytest.raises(StackError, match=r"openssl could not make the certificate of a private stack:\n.+"):
        ensure_identity(stack)
    assert not identity_of(stack).exists()


def test_without_openssl_the_settings_are_refused(stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [line for line in stack_problems(Settings(stack=stack)) if "PRIVATE" in line]
    monkeypatch.setenv("PATH", str(stack.state))
    (line,) = (line for line in stack_problems(Settings(stack=stack)) if "PRIVATE" in line)
    assert line.startswith("CUTSTREAM_STACK__PRIVATE: it needs the program openssl")
    own = {"kafka": KafkaSettings(bootstrap_servers="broker:9092"), "triton": TritonSettings(url="triton:8001")}
    for other in (Settings(stack=open_again(stack)), Settings(stack=stack, **own)):
        assert not [line for line in stack_problems(other) if "PRIVATE" in line]
    with pytest.raises(StackError, match="needs the program openssl"):
        ensure_identity(stack)


@contextmanager
def broker(identity: Path | None) -> Iterator[tuple[int, list[bytes]]]:
    """A server that pretends to be a broker, and what it has learnt from its clients."""
    learnt: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        if identity:
                            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=identity)
                            context.load_cert_chain(identity)
                            connection = context.wrap_socket(connection, server_side=True)
                        learnt.append(connection.recv(1024))
                        connection.sendall(struct.pack(">iii", 8, 0, 1))
                    except OSError:
                        pass
                    finally:
                        connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], learnt
        server.shutdown(socket.SHUT_RDWR)


def test_who_takes_the_port_first_cannot_pretend_to_be_the_stack(stack: StackSettings, tmp_path: Path) -> None:
    identity = ensure_identity(stack)
    theirs = ensure_identity(StackSettings(state=tmp_path / "theirs", private=True))
    with broker(identity) as (port, learnt):
        assert is_ready(port, identity=identity)
        assert len(learnt) == 1
    for pretended in (theirs, None):
        with broker(pretended) as (port, learnt):
            assert not is_ready(port, identity=identity)
            settings = addressed(Settings(stack=stack.model_copy(update={"kafka_port": port}))).kafka
            with pytest.raises(BrokerUnavailable, match=r"its certificate is refused|it does not speak TLS"):
                first_to_answer(settings)
            assert not [said for said in learnt if b"cutout" in said]
        assert pretended or learnt  # the hello of TLS, which says nothing
