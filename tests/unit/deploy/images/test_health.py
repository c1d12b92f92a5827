"""The images' health check asks the service where the settings put it."""

from __future__ import annotations

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from deploy.images import health


class Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        good = self.path in ("/healthz", "/v2/health/ready")
        self.send_response(200 if good else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize("service", ["worker", "gateway", "triton"])
def test_a_service_that_answers_is_well(service: str) -> None:
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        name = f"CUTSTREAM_{service.upper()}__"
        environment = {f"{name}PORT": str(server.server_port), f"{name}HOST": "0.0.0.0"}
        assert ask(service, environment).returncode == 0
        server.shutdown()
    answer = ask(service, environment)
    assert answer.returncode == 1
    assert f"{service} at 127.0.0.1:{server.server_port}" in answer.stderr


def ask(service: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", health.__file__, service]  # as in the Dockerfile
    return subprocess.run(command, env=environment, capture_output=True, text=True)
