"""A gateway that is killed loses no job, and has no photo done twice."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from cutstream.settings import KafkaSettings, ObjectSettings, Settings
from tests.support.gateways import GatewayProcess, with_gateway
from tests.support.group import wait_until
from tests.support.stand_in_worker import StandInWorker

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]

PHOTOS = 300


def test_a_killed_gateway_finds_its_jobs_again(
    kafka_settings: KafkaSettings, objects: ObjectSettings, worker: StandInWorker, tmp_path: Path
) -> None:
    settings = with_gateway(Settings(kafka=kafka_settings, objects=objects), tmp_path)
    addresses = [f"https://example.org/{number}.jpg" for number in range(PHOTOS)]
    ids: list[str] = []
    for pause_s in (0.0, 0.02, 0.1, 0.5):
        gateway = GatewayProcess(settings, tmp_path / "gateway.log").wait_ready()
        try:
            answer = gateway.client.post("/v1/jobs", json={"images": addresses})
            assert answer.status_code == 202, answer.text
            ids.append(answer.json()["id"])
            time.sleep(pause_s)  # it is killed while it writes the requests, or while results come in
        finally:
            gateway.kill()
    gateway = GatewayProcess(settings, tmp_path / "gateway.log").wait_ready()
    try:
        for id in ids:
            wait_until(lambda id=id: gateway.client.get(f"/v1/jobs/{id}").json()["status"] == "done", "not done", 60)
            assert gateway.client.get(f"/v1/jobs/{id}").json()["results"] == {"ok": PHOTOS}
    finally:
        gateway.kill()
    counted = Counter(request.id for request in worker.requests)
    assert len(counted) == PHOTOS * len(ids)
    assert set(counted.values()) == {1}, "a photo was done twice"
