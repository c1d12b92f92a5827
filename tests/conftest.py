"""Options, markers and fixtures; what tests import lives in tests/support/."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest

from cutstream.clients.kafka import ensure_topics
from cutstream.settings import KafkaSettings, Settings, StackSettings, TritonSettings
from deploy.local.head_start import ensure_head_start
from deploy.local.kafka import kafka_address, kafka_server
from deploy.local.process import Supervisor
from deploy.local.triton import triton_server
from tests.support.group import wait_until
from tests.support.guarded_kafka import GuardedKafka, guarded_kafka
from tests.support.ports import free_stack_ports
from tests.support.s3_server import NoGateway, S3Server, gateway, s3_server

OPT_IN = ("kafka", "cluster", "triton", "s3", "e2e", "images")
OUR_LOGGERS = ("cutstream", "consumer", "producer")
START_TIMEOUT_S = 60
_SHARED: list[Supervisor] = []  # that of the Triton that many tests share


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cutstream")
    group.addoption("--kafka", action="store_true", help="run the tests that need a real Apache Kafka; starts one")
    group.addoption("--cluster", action="store_true", help="run the tests that need three brokers; starts them")
    group.addoption("--triton", action="store_true", help="run the tests that need a real Triton; starts one")
    group.addoption("--s3", action="store_true", help="run the tests that need a real S3 server; builds one with Go")
    group.addoption("--e2e", action="store_true", help="run the tests that start whole processes")
    help = "run the tests that build container images and run them; with a tag, run those that are there by that tag"
    group.addoption("--images", nargs="?", const="built-for-tests", metavar="TAG", help=help)
    group.addoption("--save-images", metavar="DIR", help="draw the dashboards of the watched run into this folder")
    group.addoption("--require", default="", metavar="MARKER,...", help="fail tests of these markers that would skip")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "logs_errors: this test provokes errors in the log, which fail any other test")
    # A busy machine may take any time for an example.
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("untimed")
    known = {line.partition(":")[0] for line in config.getini("markers")}
    if unknown := required(config) - known:
        raise pytest.UsageError(f"--require: no marker is called {', '.join(sorted(unknown))}")


def required(config: pytest.Config) -> set[str]:
    return {name for name in config.getoption("--require").split(",") if name}


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which may be missing
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Let tests that share servers share a process, for `make test`."""
    if config.getoption("dist") != "loadscope":
        return None
    from tests.support.groups import GroupScheduling

    return GroupScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for name in OPT_IN:
            if item.get_closest_marker(name) and not config.getoption(f"--{name}"):
                item.add_marker(pytest.mark.skip(reason=f"needs --{name}"))
    if hasattr(config, "workerinput"):  # one of several processes
        from tests.support.groups import turn_of

        items.sort(key=lambda item: turn_of(item.nodeid))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start the shared Triton again if it has ended, as it does on a machine that stood still for a second.

    The test that this happened to may fail, but not all others.
    """
    if "triton" not in getattr(item, "fixturenames", ()):
        return
    for supervisor in _SHARED:
        for server in supervisor.dead():
            supervisor.restart(server.name)
            wait_until(server.ready, "Triton does not start again", START_TIMEOUT_S)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    demanded = required(item.config)
    for own in ("weights", "cluster", "prometheus", "browser", "images"):  # the other servers provide none of them
        if item.get_closest_marker(own):
            demanded &= {own}
    missed = sorted(name for name in demanded if item.get_closest_marker(name))
    if report.skipped and missed and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"--require {','.join(missed)}: {report.longrepr[2]}"  # type: ignore[index]
    return report


class ErrorCollector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


@pytest.fixture(autouse=True)
def no_internal_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that logs an error in our own log, even if the code went on."""
    collector = ErrorCollector()
    for name in OUR_LOGGERS:
        logging.getLogger(name).addHandler(collector)
    yield
    for name in OUR_LOGGERS:
        logging.getLogger(name).removeHandler(collector)
    if collector.messages and not request.node.get_closest_marker("logs_errors"):
        pytest.fail("errors were logged:\n" + "\n".join(collector.messages))


@pytest.fixture
def fresh_name() -> Callable[[str], str]:
    """Return a function that makes unique names: `fresh_name("results")` is for instance `results-3fa85f64`."""
    return lambda prefix: f"{prefix}-{uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def jars(pytestconfig: pytest.Config) -> Path:
    """The folder of jars in the checkout, so that they are downloaded only once."""
    return pytestconfig.rootpath / ".state" / "jars"


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, jars: Path) -> Iterator[str]:
    """The address of a real broker, which runs until the tests end."""
    settings = StackSettings(state=tmp_path_factory.mktemp("kafka"), private=False, jars=jars, **free_stack_ports())
    ensure_head_start(settings, print)  # every broker of the tests starts faster with it
    with Supervisor(START_TIMEOUT_S) as supervisor:
        supervisor.start(kafka_server(settings))
        yield kafka_address(settings)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, jars: Path) -> Iterator[GuardedKafka]:
    """A real broker with TLS, logins and rights, which runs until the tests end. It has the product's topics."""
    with guarded_kafka(tmp_path_factory.mktemp("guarded"), jars) as broker:
        ensure_topics(KafkaSettings(bootstrap_servers=broker.open, partitions=1))
        yield broker


@pytest.fixture
def kafka_settings(kafka: str, fresh_name: Callable[[str], str]) -> KafkaSettings:
    """Settings with new, empty topics and a consumer group that only this test uses."""
    settings = KafkaSettings(
        bootstrap_servers=kafka,
        group=fresh_name("group"),
        requests_topic=fresh_name("requests"),
        urgent_topic=fresh_name("urgent"),
        retry_topic=fresh_name("retry"),
        results_topic=fresh_name("results"),
        dead_letters_topic=fresh_name("dead-letters"),
        cancellations_topic=fresh_name("cancellations"),
        backgrounds_topic=fresh_name("backgrounds"),
        partitions=4,
    )
    ensure_topics(settings)
    return settings


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a real Triton, which serves the product's repository until the tests end."""
    from export.repository.render import render  # imports onnx, which is slow, and few tests need it
    from tests.support.models import small_models

    folder = tmp_path_factory.mktemp("triton")
    ports = free_stack_ports()
    settings = Settings(
        models=small_models(folder / "models"),
        triton=TritonSettings(url=f"127.0.0.1:{ports['triton_grpc_port']}"),
        stack=StackSettings(state=folder, private=False, **ports),
    )
    render(settings)
    with Supervisor(START_TIMEOUT_S) as supervisor:
        supervisor.start(triton_server(settings))
        _SHARED.append(supervisor)
        yield settings
        _SHARED.remove(supervisor)


@pytest.fixture(scope="session")
def s3(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server, which runs until the tests end."""
    try:
        binary = gateway(pytestconfig.rootpath / ".state" / "tools")
    except NoGateway as exc:
        pytest.skip(str(exc))
    with s3_server(binary, tmp_path_factory.mktemp("s3")) as server:
        yield server
