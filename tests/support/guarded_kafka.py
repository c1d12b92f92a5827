"""A real broker that lets nobody in without a login or a certificate, and to nothing without a right.

Its listeners differ in what they ask for. The users and rights are made by whoever connects without TLS, as its
operator, on a port that no deployment would have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from cutstream.settings import KafkaSettings, StackSettings
from deploy.local import kafka as local
from deploy.local.jars import ensure_jars
from deploy.local.java import java_command
from deploy.local.process import ServerSpec, Supervisor
from tests.support.certificates import Authority, Certificate
from tests.support.group import wait_until
from tests.support.ports import free_ports

USERS = {"plain": "plain-password", "worker": "scram-password"}
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
LISTENERS = {"LOGIN": "SASL_SSL", "UNENCRYPTED": "SASL_PLAINTEXT", "MUTUAL": "SSL", "EXPIRED": "SSL", "MISNAMED": "SSL"}


@dataclass(frozen=True)
class GuardedKafka:
    """`open` is the address of the operator's listener, the others those of `LISTENERS`."""

    folder: Path
    authority: Authority
    open: str
    ports: dict[str, int]

    def address(self, listener: str) -> str:
        return f"localhost:{self.ports[listener]}"

    def settings(self, listener: str, **more: object) -> KafkaSettings:
        """Return settings for one of the listeners that lack only the login or the certificate."""
        protocol = LISTENERS[listener]
        tls = {"ssl_cafile": self.authority.file} if protocol.endswith("SSL") else {}
        return KafkaSettings(
            **{"bootstrap_servers": self.address(listener), "security_protocol": protocol, **tls, **more}
        )

    def login(self, user: str = "worker", mechanism: str = "SCRAM-SHA-512", **more: object) -> KafkaSettings:
        """Return settings that log a user in."""
        login = {"sasl_mechanism": mechanism, "sasl_username": user, "sasl_password": USERS.get(user, user)}
        return self.settings("LOGIN", **{**login, **more})

    def client(self, name: str, **options: Any) -> Certificate:
        return self.authority.issue(name, **options)

    def add_user(self, user: str, password: str) -> None:
        mechanisms = (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
        with self.operator() as admin:
            for mechanism in mechanisms:
                admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, mechanism, password)])

    def allow(self, user: str, rights: Iterable[tuple[str, str, str]]) -> None:
        """Give a user rights, each a kind of resource, its name, and an operation. A name may end in `*`."""
        with self.operator() as admin:
            for right in rights:
                created = admin.create_acls([_acl(user, *right)])
                assert not created["failed"], created
                # The broker applies it a moment after it has been written.
                wait_until(lambda: admin.describe_acls(_filter(user, *right))[0], f"{right} is not given")  # noqa: B023

    def forbid(self, user: str, kind: str, name: str, operation: str) -> None:
        """Take one right away."""
        which = _filter(user, kind, name, operation)
        with self.operator() as admin:
            admin.delete_acls([which])
            wait_until(lambda: not admin.describe_acls(which)[0], f"{which} is not taken away")

    @contextmanager
    def operator(self) -> Iterator[Any]:
        with closing(KafkaAdminClient(bootstrap_servers=self.open)) as admin:
            yield admin


@contextmanager
def guarded_kafka(folder: Path, jars: Path) -> Iterator[GuardedKafka]:
    authority = Authority(folder)
    port, controller_port, *others = free_ports(2 + len(LISTENERS))
    ports = dict(zip(LISTENERS, others, strict=True))
    node = local.Node(1, "127.0.0.1", port, controller_port)
    cluster = local.Cluster((node,))
    java = java_command(StackSettings(state=folder, jars=jars), ensure_jars(jars))
    properties = folder / "server.properties"
    configuration = local.configuration(node, cluster, folder / "data") | _guards(node, authority, ports)
    local.write_properties(properties, configuration)
    local.format_storage(cluster, java, properties)
    with Supervisor(60) as supervisor:
        command = [*java, "kafka.Kafka", str(properties)]
        supervisor.start(ServerSpec("kafka", command, {}, folder / "kafka.log", lambda: local.is_ready(port)))
        guarded = GuardedKafka(folder, authority, node.address, ports)
        guarded.add_user("worker", USERS["worker"])
        yield guarded


def _guards(node: local.Node, authority: Authority, ports: dict[str, int]) -> dict[str, object]:
    """Return the properties that make listeners and rights."""
    others = [f"{name}://localhost:{port}" for name, port in ports.items()]
    advertised = [address.replace("MISNAMED://localhost", "MISNAMED://127.0.0.1") for address in others]
    protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **LISTENERS}
    server, expired = authority.issue("server"), authority.issue("expired", days=-1)
    login = {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "plain.sasl.jaas.config": f'{_PLAIN} required user_plain="{USERS["plain"]}";',
        "scram-sha-256.sasl.jaas.config": f"{_SCRAM} required;",
        "scram-sha-512.sasl.jaas.config": f"{_SCRAM} required;",
    }
    return {
        "listeners": ",".join((f"PLAINTEXT://{node.address}", f"CONTROLLER://{node.controller}", *others)),
        "advertised.listeners": ",".join((f"PLAINTEXT://{node.address}", *advertised)),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "inter.broker.listener.name": "PLAINTEXT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",  # the broker itself, and the operator
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": server.both,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": authority.file,
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
        "listener.name.expired.ssl.keystore.type": "PEM",
        "listener.name.expired.ssl.keystore.location": expired.both,
        **{f"listener.name.login.{name}": value for name, value in login.items()},
        # A login this way has to be repeated so often.
        "listener.name.login.scram-sha-256.connections.max.reauth.ms": 2_000,
        **{f"listener.name.unencrypted.{name}": value for name, value in login.items()},
    }


def _acl(user: str, kind: str, name: str, operation: str) -> ACL:
    return ACL(
        f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, ResourcePattern(*_resource(kind, name))
    )


def _filter(user: str, kind: str, name: str, operation: str) -> ACLFilter:
    pattern = ResourcePatternFilter(*_resource(kind, name))
    return ACLFilter(f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, pattern)


def _resource(kind: str, name: str) -> tuple[ResourceType, str, ACLResourcePatternType]:
    pattern = ACLResourcePatternType.PREFIXED if name[1:].endswith("*") else ACLResourcePatternType.LITERAL
    return ResourceType[kind], name[:1] + name[1:].removesuffix("*"), pattern
