"""While Triton is unavailable under load, requests wait; none fails and none is lost."""

from __future__ import annotations

import time

import pytest

from deploy.local.process import Supervisor
from deploy.local.triton import triton_server
from tests.support.ports import free_stack_ports
from tests.support.workers import Results, assert_exactly_once, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton, pytest.mark.timeout(300)]

AWAY_S = 20.0


def test_twenty_seconds_without_triton(settings, small_photos, tmp_path) -> None:
    stack = settings.stack.model_copy(update=free_stack_ports())
    triton = settings.triton.model_copy(update={"url": f"127.0.0.1:{stack.triton_grpc_port}"})
    settings = settings.model_copy(update={"stack": stack, "triton": triton})
    requests = [{"id": f"photo-{n}", "image": small_photos[n % 20]} for n in range(300)]
    server = triton_server(settings)
    with Supervisor(60) as supervisor:
        supervisor.start(server)
        with workers(settings, tmp_path) as (worker,), Results(settings.kafka) as results:
            submit(settings.kafka, requests)
            while results.read(0.05) < 50:
                pass
            supervisor.stop(server.name)
            time.sleep(AWAY_S)
            assert worker.get("/readyz")[0] == 503
            assert worker.get("/healthz")[0] == 200
            assert worker.metric("cutstream_waiting") > 0
            supervisor.start(server)
            done = results.wait_for(len(requests), 120)
            assert worker.metric("cutstream_waiting") == 0
    assert_exactly_once(done, [request["id"] for request in requests])
    assert {result.status for result in done} == {"ok"}
    with Results(settings.kafka, settings.kafka.dead_letters_topic) as letters:
        assert letters.read(2.0) == 0
