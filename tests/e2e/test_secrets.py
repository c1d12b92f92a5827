"""No secret of the settings, nor of a request's addresses, appears in what the worker writes, shows or hands on."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from contextlib import closing

import psutil
import pytest
from pydantic import SecretStr

from cutstream.settings import Settings, as_environment
from tests.support.group import wait_until
from tests.support.http_server import HttpServer, serving
from tests.support.ports import free_ports
from tests.support.workers import Results, WorkerProcess, submit, workers

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.triton]

CANARY = "canary-0123456789"


@pytest.fixture
def secretive(settings: Settings) -> Settings:
    """Return settings with a secret of each kind that a worker without SASL can have."""
    (nobody,) = free_ports(1)
    objects = settings.objects.model_copy(
        update={
            "allow_private_addresses": True,
            "s3_endpoint": f"http://127.0.0.1:{nobody}",
            "s3_access_key_id": "key",
            "s3_secret_access_key": SecretStr(CANARY),
        }
    )
    worker = settings.worker.model_copy(update={"metrics_token": SecretStr(CANARY)})
    limits = settings.limits.model_copy(update={"download_timeout_s": 1.0, "source_attempts": 1, "retries": 0})
    page = settings.page.model_copy(update={"token": SecretStr(CANARY), "photos": "always"})
    return settings.model_copy(update={"objects": objects, "worker": worker, "limits": limits, "page": page})


def addresses(server: HttpServer, photo: bytes) -> list[str]:
    """Return addresses with a canary where a secret may be: some work, the others fail in as many ways."""
    query = f"X-Amz-Signature={CANARY}"
    server.files["photo"], server.files["text"] = photo, b"this is text"
    (nobody,) = free_ports(1)
    return [
        server.url(f"files/photo?{query}"),
        server.url(f"files/text?{query}"),
        server.url(f"files/absent?{query}"),
        server.url(f"status/500?{query}"),
        server.url(f"busy/5?{query}"),
        server.url(f"never_answers?{query}"),
        server.url(f"drips_body?{query}"),
        server.url(f"redirects?to=http://127.0.0.1:{nobody}/a%3F{query}"),
        server.url(f"redirects?to=http://user:{CANARY}@127.0.0.1/a"),
        f"http://127.0.0.1:{nobody}/a?{query}",
        f"http://no-such-host.invalid/a?{query}",
        f"https://user:{CANARY}@127.0.0.1/a",
        f"https://{CANARY}@127.0.0.1/a",
        f"http://127.0.0.1:99999/a?{query}",
        f"//127.0.0.1/a?{query}",
        f"127.0.0.1/a?{query}",
        f"s3://bucket/a?{query}",
        f"s3://user:{CANARY}@bucket/a",
        f"ftp://127.0.0.1/a?{query}",
    ]


def environments(process: psutil.Process) -> dict[str, str]:
    """Return the command line and the environment of all processes below a worker."""
    return {
        f"{child.pid} {child.name()}": " ".join([*child.cmdline(), *(f"{k}={v}" for k, v in child.environ().items())])
        for child in process.children(recursive=True)
    }


def test_no_secret_comes_out(secretive: Settings, small_photos, folder, tmp_path) -> None:
    kafka = secretive.kafka
    with serving(HttpServer()) as server:
        places = addresses(server, (folder / "small-0.jpg").read_bytes())
        good = {"image": small_photos[0]}
        requests = [
            *({"image": place} for place in places),
            *(good | {"outputs": ["composite"], "background": {"image": place}} for place in places),
            *(good | {"destination": place} for place in places),
            *(good | {"destination": place.replace("http", "s3")} for place in places),
        ]
        with workers(secretive, tmp_path) as (worker,), Results(kafka) as results:
            submit(kafka, requests)
            done = results.wait_for(len(requests), 120)
            told = {"readyz": worker.get("/readyz")[1], "healthz": worker.get("/healthz")[1]}
            told |= {"metrics without a token": worker.get("/metrics")[1], "metrics": authorized_metrics(worker)}
            told["live page"] = page_events(worker)
            children = environments(psutil.Process(worker.process.pid))
    assert {result.status for result in done} == {"ok", "failed"}
    assert "unexpected" not in {result.error.code for result in done if result.error}
    told |= {f"result {n}": str(record) for n, record in enumerate(results.records)}
    with Results(kafka, kafka.dead_letters_topic) as letters:
        letters.read_to_the_end()
    added = [[pair for pair in letter.headers if pair[0].startswith("__cutstream")] for letter in letters.records]
    assert len(added) == sum(result.status == "failed" for result in done)
    told |= {f"headers of letter {n}": str(headers) for n, headers in enumerate(added)}
    told["log"] = worker.log.read_text()
    assert len(children) >= 1, "the decoders"
    assert "cutstream_requests_total" in told["metrics"]
    assert "event: failure" in told["live page"]
    assert "cutstream_requests_total" not in told["metrics without a token"]
    assert not [(where, text) for where, text in (told | children).items() if CANARY in text]


def page_events(worker: WorkerProcess) -> str:
    """Return what the live page is told: the last photos and failures, with their messages."""
    connection = http.client.HTTPConnection("127.0.0.1", worker.page_port, timeout=5)
    with closing(connection):
        connection.request("GET", "/events", headers={"Authorization": f"Bearer {CANARY}"})
        response = connection.getresponse()
        lines = []
        while sum(line == "event: view" for line in lines) < 2:  # all that is known has come then
            lines.append(response.readline().decode().strip())
    return "\n".join(lines)


def authorized_metrics(worker: WorkerProcess) -> str:
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", worker.port, timeout=10)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {CANARY}"})
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def test_no_password_of_the_broker_comes_out(secretive: Settings, tmp_path) -> None:
    """The broker of the tests has no SASL: the worker cannot connect, and says so."""
    kafka = secretive.kafka.model_copy(
        update={
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-256",
            "sasl_username": "user",
            "sasl_password": SecretStr(CANARY),
        }
    )
    settings = secretive.model_copy(update={"kafka": kafka})
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    try:  # it says why it waits, or ends
        wait_until(lambda: worker.process.poll() is not None or worker.tail() != "", "the worker says nothing")
    finally:
        worker.kill()
    for arguments in (("worker", "--check"), ("results",), ("dead-letters", "list")):
        done = subprocess.run(
            [sys.executable, "-m", "commands", *arguments],
            env={**os.environ, **as_environment(settings)},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert CANARY not in done.stdout + done.stderr, arguments
        if arguments == ("worker", "--check"):
            assert json.loads(done.stdout)["kafka"]["sasl_password"] == "**********"
    assert CANARY not in worker.log.read_text()
