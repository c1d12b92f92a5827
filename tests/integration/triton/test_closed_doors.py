"""What a stranger, a web page or the server itself must not be able to do, tried on the real server."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from cutstream.clients.triton import Triton
from cutstream.settings import Settings, TritonSettings
from deploy.local.process import Supervisor
from deploy.local.triton import DESCRIPTORS, FILE_BYTES, triton_server
from export.repository.render import render
from tests.support.models import picture_with_blob
from tests.support.ports import free_stack_ports

pytestmark = [pytest.mark.triton, pytest.mark.timeout(180)]

CANARY = "canary-7f3a"
SECRETS = ("CUTSTREAM_OBJECTS__S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "KAFKA_PASSWORD", "HTTPS_PROXY")
TRACE = Path("/tmp/cutstream-intruder")  # what a program or a log file of an intruder would leave behind
PROGRAM = f"import pathlib; pathlib.Path('{TRACE}').touch()".encode()


@pytest.fixture(scope="module")
def served(
    triton: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, Supervisor, list[psutil.Process]]]:
    """A server whose folder is open to all at first, started with secrets in the environment."""
    state = tmp_path_factory.mktemp("doors") / "state"
    (state / "triton").mkdir(mode=0o755, parents=True)
    stack = triton.stack.model_copy(update={"state": state, **free_stack_ports()})
    settings = triton.model_copy(
        update={
            "stack": stack,
            "triton": triton.triton.model_copy(update={"url": f"127.0.0.1:{stack.triton_grpc_port}"}),
        }
    )
    render(settings)
    TRACE.unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch, Supervisor(60) as supervisor:
        for name in SECRETS:
            patch.setenv(name, CANARY)
        supervisor.start(triton_server(settings))
        guard = psutil.Process(supervisor.pid("triton"))
        yield settings, supervisor, [guard, *guard.children(recursive=True)]


@pytest.fixture
def client(served) -> Iterator[grpc.InferenceServerClient]:
    client = grpc.InferenceServerClient(served[0].triton.url)
    yield client
    client.close()


def cuts_out(settings: Settings) -> bool:
    with closing(Triton(settings.triton)) as triton:
        (matte,) = triton.infer(triton.ensemble("general"), picture_with_blob((160, 160), 60)[None])
        return triton.ready() and bool(matte.any())


DOORS: dict[str, Callable[[grpc.InferenceServerClient], object]] = {
    "index": lambda client: client.get_model_repository_index(),
    "load": lambda client: client.load_model("u2netp"),
    "load a program": lambda client: client.load_model(
        "intruder", config=json.dumps({"backend": "python"}), files={"file:1/model.py": PROGRAM}
    ),
    "unload": lambda client: client.unload_model("cutout_general"),
    "system memory": lambda client: client.register_system_shared_memory("a", "/stolen", 64),
    "list of system memory": lambda client: client.get_system_shared_memory_status(),
    "forget system memory": lambda client: client.unregister_system_shared_memory(),
    "CUDA memory": lambda client: client.register_cuda_shared_memory("a", b"", 0, 64),
    "list of CUDA memory": lambda client: client.get_cuda_shared_memory_status(),
    "trace file": lambda client: client.update_trace_settings(settings={"trace_file": str(TRACE)}),
    "trace settings": lambda client: client.get_trace_settings(),
    "log file": lambda client: client.update_log_settings({"log_file": str(TRACE)}),
    "log settings": lambda client: client.get_log_settings(),
}


@pytest.mark.parametrize("door", DOORS)
def test_even_who_may_ask_for_mattes_finds_the_other_doors_closed(served, client, door: str) -> None:
    with pytest.raises(InferenceServerException, match="restricted"):
        DOORS[door](client)
    assert not TRACE.exists()
    assert cuts_out(served[0])


def test_models_cannot_be_changed_even_by_who_gets_past_the_restriction(served, client) -> None:
    """Any user of the machine sees the command line, with the header that opens the doors; yet nobody can send it."""
    settings, _, family = served
    (command,) = (process.cmdline() for process in family if process.name() == "tritonserver")
    (option,) = (option for option in command if "restricted" in option)
    name, _, word = option.rpartition(":")[2].partition("=")
    assert b"triton" in call(settings, "ServerMetadata", {})
    for header in (name, name.lower(), "nobody"):
        assert b"cutout_general" not in call(settings, "RepositoryIndex", {f"triton-grpc-protocol-{header}": word})
    assert cuts_out(settings)


def test_a_server_that_were_not_restricted_would_load_no_model_either(triton: Settings, tmp_path: Path) -> None:
    """The second lock, on its own. The first control shows that the calls above reach the doors."""
    settings, url = elsewhere(triton, tmp_path)
    server = triton_server(settings)
    command = [option for option in server.command if "restricted" not in option]
    with Supervisor(60) as supervisor, closing(grpc.InferenceServerClient(url)) as client:
        supervisor.start(dataclasses.replace(server, command=command))
        assert b"cutout_general" in call(settings, "RepositoryIndex", {})
        for door in ("load", "load a program", "unload"):
            with pytest.raises(InferenceServerException, match=r"not allowed|explicit model"):
                DOORS[door](client)
        assert cuts_out(settings)


def elsewhere(triton: Settings, state: Path) -> tuple[Settings, str]:
    stack = triton.stack.model_copy(update={"state": state, **free_stack_ports()})
    url = f"127.0.0.1:{stack.triton_grpc_port}"
    settings = triton.model_copy(update={"stack": stack, "triton": triton.triton.model_copy(update={"url": url})})
    render(settings)
    return settings, url


def call(settings: Settings, method: str, headers: dict[str, str]) -> bytes:
    """Call a method with an empty message and any headers, which a library would refuse to send. Return all it says."""
    host, _, port = settings.triton.url.partition(":")
    pseudo = {":method": "POST", ":scheme": "http", ":path": f"/inference.GRPCInferenceService/{method}"}
    fields = {**pseudo, ":authority": host, "content-type": "application/grpc", "te": "trailers", **headers}
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
    sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
    sent += _frame(1, 4, 1, block) + _frame(0, 1, 1, bytes(5))
    answer = b""
    with socket.create_connection((host, int(port)), timeout=3) as connection, suppress(TimeoutError):
        connection.sendall(sent)
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def _text(text: str) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def test_it_listens_on_its_two_ports_of_loopback_alone(served) -> None:
    settings, _, family = served
    listening = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for process in family
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    stack = settings.stack
    assert listening == {("127.0.0.1", stack.triton_grpc_port), ("127.0.0.1", stack.triton_metrics_port)}


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/index",
        "/v2/repository/models/intruder/load",
        "/v2/repository/models/cutout_general/unload",
        "/v2/systemsharedmemory/region/a/register",
        "/v2/cudasharedmemory/region/a/register",
        "/v2/trace/setting",
        "/v2/logging",
        "/v2/models/cutout_general/infer",
    ],
)
@pytest.mark.parametrize("port", ["triton_grpc_port", "triton_metrics_port"])
def test_a_web_page_reaches_none_of_the_doors(served, path: str, port: str) -> None:
    settings, _, _ = served
    connection = http.client.HTTPConnection("127.0.0.1", getattr(settings.stack, port), timeout=10)
    body = json.dumps({"log_file": str(TRACE), "trace_file": str(TRACE)})
    with closing(connection), suppress(http.client.HTTPException, ConnectionError):  # gRPC speaks no HTTP/1
        connection.request("POST", path, body, {"Origin": "http://evil.example", "Content-Type": "text/plain"})
        reply = connection.getresponse()
        assert reply.status >= 400 or not reply.read()
    assert not TRACE.exists()
    assert cuts_out(settings)


def test_no_secret_reaches_the_server_its_backends_or_its_guard(served) -> None:
    _, _, family = served
    assert {process.name()[:12] for process in family} >= {"tritonserver", "triton_pytho"}
    for process in family:
        environment = process.environ()
        assert CANARY not in environment.values(), process.name()
        assert not [name for name in environment if name.startswith(("CUTSTREAM_", "AWS_"))]


def test_neither_the_server_nor_its_backends_have_rights_of_root(served) -> None:
    _, _, (_, *servers) = served
    for process in servers:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        assert (status["CapPrm"], status["CapEff"], status["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1"), process.name()


def test_neither_the_server_nor_its_backends_write_outside_their_folder(served, tmp_path: Path) -> None:
    """Each is confined by Landlock, which the kernel shows nowhere; so another process takes the same way."""
    settings, _, _ = served
    trace = Path("/var/tmp/cutstream-intruder")  # the server may write to /tmp
    own = settings.stack.state / "triton" / "trace"
    script = f"touch {own}; touch {trace}; cat /proc/{os.getpid()}/environ; echo up; sleep 97"
    server = dataclasses.replace(
        triton_server(settings), command=["bash", "-c", script], log=tmp_path / "log", ready=lambda: True, ports={}
    )
    with Supervisor(10) as supervisor:
        supervisor.start(server)
        while "up" not in server.log.read_text():
            supervisor.check()
    told = server.log.read_text()
    if "no Landlock" in told:
        pytest.skip("this kernel has no Landlock")
    assert own.exists()
    assert not trace.exists()
    assert f"cannot touch '{trace}': Permission denied" in told
    assert f"/proc/{os.getpid()}/environ: Permission denied" in told


def test_its_files_and_its_memory_are_private(served) -> None:
    settings, _, family = served
    folder = settings.stack.state / "triton"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    regions = {Path("/dev/shm") / word for process in family for word in process.cmdline() if "_shm_region_" in word}
    assert regions
    assert {stat.S_IMODE(region.stat().st_mode) & 0o077 for region in regions} == {0}


WATCHER = """
import json, os, select, sys

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
seen = {}
print("up", flush=True)
while not select.select([sys.stdin], [], [], 0.0001)[0]:
    for name in os.listdir("/dev/shm"):
        try:
            seen.setdefault(name, set()).add(oct(os.stat(f"/dev/shm/{name}").st_mode & 0o777))
            if os.getuid() == 65534:
                os.close(os.open(f"/dev/shm/{name}", os.O_RDONLY))
                seen[name].add("opened")
        except OSError:
            pass
print(json.dumps({name: sorted(what) for name, what in seen.items()}))
"""


def test_its_memory_is_private_from_the_first_moment(triton: Settings, tmp_path: Path) -> None:
    """Who has it open by then sees every later photo, even if its mode changes. Root tries it as another user."""
    settings, _ = elsewhere(triton, tmp_path)
    server, pipe = triton_server(settings), subprocess.PIPE
    with (
        Supervisor(60) as supervisor,
        subprocess.Popen([sys.executable, "-c", WATCHER], stdin=pipe, stdout=pipe, text=True) as watcher,
    ):
        assert watcher.stdout
        assert watcher.stdout.readline() == "up\n"
        supervisor.start(server)
        family = psutil.Process(supervisor.pid("triton")).children(recursive=True)
        regions = {word.strip("/") for process in family for word in process.cmdline() if "_shm_region_" in word}
        seen = json.loads(watcher.communicate("stop")[0])
        assert cuts_out(settings)
    if "no filter of system calls" in server.log.read_text():
        pytest.skip("this kernel has no seccomp")
    assert regions
    assert {region: seen.get(region) for region in regions} == {region: ["0o600"] for region in regions}


def test_its_connections_and_its_log_are_bounded(served) -> None:
    _, _, (_, *servers) = served
    for process in servers:
        assert process.rlimit(psutil.RLIMIT_NOFILE) == (DESCRIPTORS, DESCRIPTORS), process.name()
        assert process.rlimit(psutil.RLIMIT_FSIZE) == (FILE_BYTES, FILE_BYTES), process.name()
        assert process.num_fds() < DESCRIPTORS / 4, process.name()


def test_it_serves_again_after_a_crash(served) -> None:
    settings, supervisor, family = served
    next(process for process in family if process.name() == "tritonserver").kill()
    psutil.wait_procs(family, timeout=20)
    supervisor.restart("triton")
    (server,) = supervisor.servers
    waiting = Triton(TritonSettings(url=settings.triton.url))
    while not server.ready():
        supervisor.check()
    assert waiting.ready()
    waiting.close()
    assert cuts_out(settings)
