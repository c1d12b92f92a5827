"""A real Prometheus watches a real run with faults: every panel has data, and what should fire an alert does.

With `--save-images DIR` the dashboards of the run are drawn there, for docs/watching.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cutstream.clients.kafka import ensure_topics
from cutstream.settings import KafkaSettings, Settings
from deploy.monitoring.files import FOLDER
from tests.support.dashboards import GPU_PANELS, dashboards, questions
from tests.support.gateways import gateway_process, with_gateway
from tests.support.group import wait_until
from tests.support.http_clients import http_clients
from tests.support.ports import free_ports, never_answering
from tests.support.prometheus import BINARY, MISSING, Prometheus, Series, prometheus, quickened
from tests.support.webhook_receiver import SECRET, receiving
from tests.support.workers import WorkerProcess, submit, workers

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.triton,
    pytest.mark.prometheus,
    pytest.mark.timeout(300),
    pytest.mark.skipif(BINARY is None, reason=MISSING),
]

RATE_INTERVAL = "8s"  # some scrapes of one second, as Grafana would choose it
RULES_START_S = 3.0  # before the first scrape the rules see no worker
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FIRING = {
    "CutstreamWorkerAway",
    "CutstreamTritonAway",
    "CutstreamDeadLetters",
    "CutstreamErrorShare",
    "CutstreamRequestsExpire",
    "CutstreamSourcesAway",
    "CutstreamGatewayRefuses",
    "CutstreamGatewayWebhooksFail",
    "CutstreamGatewayWebhooksGivenUp",
}
SILENT = {
    "CutstreamWorkerHalted",
    "CutstreamLoopStill",
    "CutstreamPartitionUnreadable",
    "CutstreamPartitionStalled",
    "CutstreamRequestStuck",
    "CutstreamDeviceMemoryLow",
    "CutstreamGatewayAway",
    "CutstreamGatewayNotReading",
}


class Run(NamedTuple):
    prometheus: Prometheus
    start_s: float
    end_s: float

    def ask(self, expression: str) -> list[Series]:
        return self.prometheus.query_range(expression, self.start_s, self.end_s)


@pytest.fixture
def watched(settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a worker that meets sources which do not answer, and of a gateway that has room for two calls.

    The topics have their usual names.
    """
    usual = {name: value for name, value in KafkaSettings() if name.endswith("_topic")}
    kafka = settings.kafka.model_copy(update=usual)
    ensure_topics(kafka)
    with_faults = settings.model_copy(
        update={
            "kafka": kafka,
            "models": settings.models.model_copy(update={"auto": settings.models.profiles}),
            "objects": settings.objects.model_copy(update={"allow_private_addresses": True}),
            "limits": settings.limits.model_copy(
                update={"download_timeout_s": 2.0, "source_attempts": 1, "retry_delay_s": 4.0, "retries": 50}
            ),
        }
    )
    return with_gateway(
        with_faults,
        tmp_path,
        max_calls=2,
        webhook_secret=SECRET,
        webhook_private_addresses=True,
        webhook_attempts=2,
    )


def requests(second: int, photos: list[str], silent: int) -> Iterator[dict]:
    """The requests of one second: mostly good ones, some of every other kind."""
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 40))
    wrong = Path(photos[0].removeprefix("file://")).with_name("no-photo.jpg")
    for number in range(16):
        request: dict = {"id": f"photo-{second}-{number}", "image": photos[number]}
        match number:
            case 0:
                request |= {"deadline": soon}
            case 1:
                request |= {"profile": "auto"}
            case 2:
                request |= {"outputs": ["composite"], "background": {"image": photos[19]}}
            case 3:
                request |= {"image": wrong.as_uri()}
            case 4 if second % 5 == 0:
                request |= {"deadline": "2020-01-01T00:00:00Z"}
            case 5 | 7 | 8 if second % 4 == 0:
                request |= {"image": f"http://127.0.0.1:{silent}/{second}-{number}.jpg"}
            case 6 if second % 5 == 0:
                request |= {"image": photos[0], "colour": "unknown field"}
        yield request


@pytest.fixture
def run(watched: Settings, small_photos: list[str], tmp_path: Path) -> Iterator[Run]:
    """Forty seconds of load. For the first twelve a second worker has partitions and no Triton; then it is killed.

    Meanwhile three clients call a gateway that has room for two, and jobs are submitted whose webhooks nobody accepts
    after eight seconds.
    """
    files = [Path(photo.removeprefix("file://")) for photo in small_photos]
    Path(small_photos[0].removeprefix("file://")).with_name("no-photo.jpg").write_text("no photo")
    (closed,) = free_ports(1)
    lonely = watched.model_copy(update={"triton": watched.triton.model_copy(update={"url": f"127.0.0.1:{closed}"})})
    rules = quickened((FOLDER / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
    other = WorkerProcess(lonely, tmp_path / "lonely.log")
    try:
        with (
            workers(watched, tmp_path) as (worker,),
            gateway_process(watched, tmp_path) as gateway,
            never_answering() as silent,
            receiving() as receiver,
        ):
            targets = {
                "cutstream": {"worker-1": f"127.0.0.1:{worker.port}", "worker-2": f"127.0.0.1:{other.port}"},
                "gateway": {"gateway-1": gateway.address.removeprefix("http://")},
                "triton": {"triton-1": f"127.0.0.1:{watched.stack.triton_metrics_port}"},
            }
            with prometheus(tmp_path / "prometheus", targets, rules) as server:
                wait_until(lambda: server.targets_up() == 4, "a target is not up")
                wait_until(lambda: other.metric("cutstream_assigned_partitions") > 0, "the other has no partition")
                time.sleep(RULES_START_S)
                start_s = time.time()
                with http_clients(gateway.address, files, receiver.url):
                    for second in range(40):
                        due_s = start_s + second
                        trace = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())]
                        submit(watched.kafka, requests(second, small_photos, silent), trace)
                        if second == 8:
                            receiver.status = 500
                        if second == 12:
                            other.kill()
                        time.sleep(max(0.0, due_s + 1 - time.time()))
                    end_s = time.time()
                yield Run(server, start_s, end_s)
    finally:
        other.kill()


def test_every_panel_has_data_and_the_alerts_of_the_faults_fire(run: Run, pytestconfig: pytest.Config) -> None:
    answers: dict[tuple[str, int, str], list[Series]] = {}
    for dashboard in dashboards():
        for panel, target, query in questions(dashboard, RATE_INTERVAL):
            answers[dashboard["uid"], panel["id"], target["refId"]] = run.ask(query)
    if folder := pytestconfig.getoption("--save-images"):
        from docs.drawing.dashboards import draw

        for dashboard in dashboards():
            draw(dashboard, {key[1:]: found for key, found in answers.items() if key[0] == dashboard["uid"]}, folder)
    titles = {(d["uid"], panel["id"]): f"{d['title']}: {panel['title']}" for d in dashboards() for panel in d["panels"]}
    empty = {f"{titles[uid, panel]} ({ref})" for (uid, panel, ref), found in answers.items() if not found}
    assert {name for name in empty if name.partition(": ")[2].rpartition(" (")[0] not in GPU_PANELS} == set()
    fired = {series.labels["alertname"] for series in run.ask('ALERTS{alertstate="firing"}')}
    assert fired >= FIRING
    assert not fired & SILENT
    traces = run.prometheus.exemplars("cutstream_request_age_seconds_bucket", run.start_s, run.end_s + 1)
    assert {"trace_id": TRACE} in traces
