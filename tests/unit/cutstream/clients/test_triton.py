"""The client against real protobufs, without a server; tests/integration/triton has the server."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc as grpc_core
import numpy as np
import psutil
import pytest
import tritonclient.grpc as grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from cutstream.clients import triton as triton_module
from cutstream.clients.triton import Ensemble, Triton, map_triton_errors
from cutstream.clock import ManualClock
from cutstream.errors import (
    ConfigurationError,
    InferenceFailed,
    ModelMismatch,
    ModelReloaded,
    TritonUnavailable,
    WrongAnswer,
)
from cutstream.settings import TritonSettings
from tests.support.certificates import Authority
from tests.support.receipts import DIGEST, add_step, one_step, receipt_of

U8, F32, I32 = model_config_pb2.TYPE_UINT8, model_config_pb2.TYPE_FP32, model_config_pb2.TYPE_INT32
H, W = 8, 16
IMAGES = np.random.default_rng(0).integers(0, 256, (2, H, W, 3), np.uint8)
MATTES = np.random.default_rng(1).integers(0, 256, (2, H, W), np.uint8)
RECEIPT = receipt_of(IMAGES, MATTES)
OTHER = "99" * 32  # another graph's digest

# Of Triton itself: the request waits. Of the deployment: the worker stops. All else is the request's, and fails it.
AWAY = {"CANCELLED", "DEADLINE_EXCEEDED", "NOT_FOUND", "RESOURCE_EXHAUSTED", "ABORTED", "UNAVAILABLE", "UNKNOWN"}
MISCONFIGURED = {"PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED"}
FAILED = {"INVALID_ARGUMENT", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE", "INTERNAL", "DATA_LOSS"}
MEANINGS = {TritonUnavailable: AWAY, ConfigurationError: MISCONFIGURED, InferenceFailed: FAILED}


def meaning(status: str | None, message: str = "what Triton says") -> type[Exception]:
    with pytest.raises(tuple(MEANINGS), match=r"^Triton: |CUTSTREAM_TRITON__URL: ") as raised, map_triton_errors():
        raise InferenceServerException(message, status)
    assert message in str(raised.value)
    return type(raised.value)


def test_every_grpc_status_has_a_meaning() -> None:
    assert {status.name for status in grpc_core.StatusCode} == {"OK"}.union(*MEANINGS.values())
    for error, names in MEANINGS.items():
        assert {name: meaning(f"StatusCode.{name}") for name in names} == dict.fromkeys(names, error)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: Out of memory",
        "failed to allocate pinned system memory",
        "std::bad_alloc",
        "onnx: out of memory",
        "in ensemble 'cutout_fast', Stub process 'cutnet_0_0' is not healthy.",
        "Failed to process the request(s) for model instance 'cutnet_0_0', message: Failed to obtain the health mutex.",
    ],
)
def test_a_server_that_cannot_work_at_the_moment_is_waited_for(message: str) -> None:
    assert meaning("StatusCode.INTERNAL", message) is TritonUnavailable


def test_an_error_of_the_client_library_fails_the_request() -> None:
    assert meaning(None, "unable to parse") is InferenceFailed


class Server:
    """Answers as a server that serves one ensemble of one step."""

    def __init__(self, inputs=None, outputs=None, versions=("1",), digest="", reply=None, steps=None) -> None:
        self.config = model_config_pb2.ModelConfig(
            max_batch_size=8,
            input=[tensor(model_config_pb2.ModelInput, *i) for i in inputs or [("image", U8, [H, W, 3])]],
            output=[tensor(model_config_pb2.ModelOutput, *o) for o in outputs or [("matte", U8, [H, W])]],
        )
        for step in one_step(outputs=[o.name for o in self.config.output]) if steps is None else steps:
            add_step(self.config, step)
        if digest:
            self.config.parameters["digest"].string_value = digest
        self.versions = versions
        self.reply = reply
        self.error: Exception | None = None
        self.asked: list[str] = []

    def get_model_config(self, name, client_timeout):
        if self.error:
            raise self.error
        self.asked.append(name)
        return service_pb2.ModelConfigResponse(config=self.config)

    def get_model_metadata(self, name, client_timeout):
        return service_pb2.ModelMetadataResponse(name=name, versions=self.versions)

    def infer(self, name, inputs, outputs, client_timeout):
        assert (inputs[0].name(), inputs[0].datatype()) == ("image", "UINT8")
        if isinstance(self.reply, Exception):
            raise self.reply
        assert [output.name() for output in outputs] == [output.name for output in self.config.output]
        return self.reply

    def is_server_ready(self, client_timeout):
        if self.error:
            raise self.error
        return True

    def close(self) -> None:
        self.error = self.reply = ValueError("Cannot invoke RPC on closed channel!")


def tensor(kind, name, data_type, dims):
    return kind(name=name, data_type=data_type, dims=dims)


def answer(**tensors: np.ndarray) -> grpc.InferResult:
    kinds = {"uint8": "UINT8", "int32": "INT32", "float32": "FP32"}
    outputs = [
        service_pb2.ModelInferResponse.InferOutputTensor(name=name, datatype=kinds[str(v.dtype)], shape=v.shape)
        for name, v in tensors.items()
    ]
    raw = [np.ascontiguousarray(values).tobytes() for values in tensors.values()]
    return grpc.InferResult(service_pb2.ModelInferResponse(outputs=outputs, raw_output_contents=raw))


def client(server: Server, clock: ManualClock | None = None) -> Triton:
    triton = Triton(TritonSettings(url="127.0.0.1:1", describe_age_s=60), clock or ManualClock())
    triton._client = server
    return triton


def infer(reply: grpc.InferResult | Exception, images: np.ndarray = IMAGES) -> np.ndarray:
    triton = client(Server(reply=reply))
    return triton.infer(triton.ensemble("general"), images)


def test_an_ensemble_is_described_once_by_its_configuration() -> None:
    server = Server(digest="ab12")
    triton = client(server)
    expected = Ensemble("cutout_general", "1", width=W, height=H, max_batch=8, digest="ab12", steps=one_step())
    assert triton.ensemble("general") == expected
    assert triton.ensemble("general") == expected
    assert server.asked == ["cutout_general"]


@pytest.mark.parametrize(
    "server",
    [
        Server(inputs=[("image", F32, [H, W, 3])]),
        Server(inputs=[("image", U8, [3, H, W])]),
        Server(inputs=[("image", U8, [H, W])]),
        Server(inputs=[("picture", U8, [H, W, 3])]),
        Server(outputs=[("matte", F32, [H, W])]),
        Server(outputs=[("matte", U8, [H, W, 1])]),
        Server(outputs=[("matte", U8, [W, H])]),
        Server(outputs=[("mask", U8, [H, W])]),
    ],
)
def test_an_ensemble_with_other_tensors_is_a_mismatch(server: Server) -> None:
    with pytest.raises(ModelMismatch, match=r"cutout_general has tensors .*`image` u8 \[H,W,3\]"):
        client(server).ensemble("general")


def without_receipts() -> Server:
    server = Server(steps=())
    step = server.config.ensemble_scheduling.step.add(model_name="net")
    step.input_map["image"], step.output_map["matte"] = "image", "matte"
    return server


def without_digests() -> Server:
    server = Server()
    del server.config.parameters["graphs"]
    return server


def with_untraced_depth() -> Server:
    return Server(outputs=[("matte", U8, [H, W]), ("depth", U8, [H, W])], steps=one_step())


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        (without_receipts(), "no receipt of net"),
        (without_digests(), "no digests of its graphs"),
        (with_untraced_depth(), "nothing that traces depth"),
        (Server(steps=()), "no digests of its graphs"),
    ],
)
def test_an_ensemble_whose_mattes_cannot_be_traced_is_refused(server: Server, problem: str) -> None:
    with pytest.raises(ModelMismatch, match=rf"{problem}.*cutstream models render"):
        client(server).ensemble("general")


def test_an_ensemble_that_is_not_loaded_is_waited_for_and_then_found() -> None:
    server = Server()
    triton = client(server)
    server.error = InferenceServerException("not ready", "StatusCode.UNAVAILABLE")
    with pytest.raises(TritonUnavailable):
        triton.ensemble("general")
    server.error = None
    assert triton.ensemble("general").name == "cutout_general"


def test_mattes_come_back_as_they_were_sent() -> None:
    assert np.array_equal(infer(answer(matte=MATTES, net_receipt=RECEIPT)), MATTES)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (answer(matte=MATTES[:1], net_receipt=RECEIPT[:1]), "`matte` uint8"),
        (answer(matte=MATTES.reshape(2, W, H), net_receipt=RECEIPT), "`matte` uint8"),
        (answer(matte=MATTES[..., None], net_receipt=RECEIPT), "`matte` uint8"),
        (answer(matte=MATTES.astype(np.float32), net_receipt=RECEIPT), "`matte` float32"),
        (answer(net_receipt=RECEIPT), "without `matte`"),
        (answer(matte=MATTES), "without `net_receipt`"),
        (answer(matte=MATTES, net_receipt=RECEIPT[:, 1:]), "`net_receipt` int32"),
        (answer(matte=MATTES[::-1], net_receipt=RECEIPT[::-1]), r"another `image` for images \[0, 1\] of 2"),
        (answer(matte=MATTES[::-1], net_receipt=RECEIPT), r"another `matte` for images \[0, 1\] of 2"),
        (answer(matte=MATTES[[0, 0]], net_receipt=RECEIPT[[0, 0]]), r"another `image` for images \[1\] of 2"),
        (grpc.InferResult(service_pb2.ModelInferResponse()), "without `matte`"),
    ],
)
def test_an_answer_that_is_not_the_images_is_asked_for_again(reply: grpc.InferResult, problem: str) -> None:
    with pytest.raises(WrongAnswer, match=problem):
        infer(reply)


def test_an_ensemble_may_state_how_sure_its_network_is_of_any_subject() -> None:
    server = Server()
    assert client(server).ensemble("general").min_sure_share is None
    server.config.parameters["min_sure_share"].string_value = "0.03"
    assert client(server).ensemble("general").min_sure_share == 0.03


def test_a_description_is_read_again_after_a_while() -> None:
    server, clock = Server(digest="ab12"), ManualClock()
    triton = client(server, clock)
    assert triton.ensemble("general").digest == "ab12"
    server.config.parameters["digest"].string_value = "cd34"
    clock.sleep(59)
    assert triton.ensemble("general").digest == "ab12"
    clock.sleep(2)
    assert triton.ensemble("general").digest == "cd34"


@pytest.mark.parametrize(
    "reply",
    [
        InferenceServerException("connection refused", "StatusCode.UNAVAILABLE"),
        answer(matte=MATTES[:1], net_receipt=RECEIPT[:1]),
    ],
)
def test_a_description_is_read_again_after_an_outage_and_a_wrong_answer(reply: object) -> None:
    server = Server(reply=reply)
    triton = client(server)
    with pytest.raises(TritonUnavailable):
        triton.infer(triton.ensemble("general"), IMAGES)
    server.config.parameters["digest"].string_value = "cd34"
    assert triton.ensemble("general").digest == "cd34"


def test_an_answer_of_another_graph_is_discarded_and_the_model_described_again() -> None:
    server = Server(reply=answer(matte=MATTES, net_receipt=receipt_of(IMAGES, MATTES, digest=OTHER)))
    triton = client(server)
    with pytest.raises(ModelReloaded, match=f"step net answered with another graph than {DIGEST[:12]}"):
        triton.infer(triton.ensemble("general"), IMAGES)
    server.config.parameters["graphs"].string_value = OTHER
    assert np.array_equal(triton.infer(triton.ensemble("general"), IMAGES), MATTES)


def test_refused_images_are_sent_again_only_if_the_model_has_changed() -> None:
    refused = InferenceServerException("unexpected shape for input 'image'", "StatusCode.INVALID_ARGUMENT")
    server = Server(reply=refused)
    triton = client(server)
    ensemble = triton.ensemble("general")
    with pytest.raises(InferenceFailed, match="unexpected shape"):
        triton.infer(ensemble, IMAGES)
    server.config.input[0].dims[:] = [2 * H, 2 * W, 3]
    server.config.output[0].dims[:] = [2 * H, 2 * W]
    with pytest.raises(ModelReloaded, match="unexpected shape"):
        triton.infer(ensemble, IMAGES)
    assert (triton.ensemble("general").width, triton.ensemble("general").height) == (2 * W, 2 * H)


def test_a_change_to_what_the_worker_cannot_use_is_a_mismatch() -> None:
    server = Server(reply=InferenceServerException("unexpected inference input 'image'", "StatusCode.INVALID_ARGUMENT"))
    triton = client(server)
    ensemble = triton.ensemble("general")
    server.config.input[0].name = "picture"
    with pytest.raises(ModelMismatch, match="has tensors"):
        triton.infer(ensemble, IMAGES)


def test_readiness_is_an_answer_and_never_an_error() -> None:
    server = Server()
    triton = client(server)
    assert triton.ready() is True
    for status in ("UNAVAILABLE", "UNAUTHENTICATED", "INTERNAL"):  # as of a proxy that is not well
        server.error = InferenceServerException("no answer", f"StatusCode.{status}")
        assert triton.ready() is False
        assert "no answer" in triton.problem()
    triton.close()
    assert triton.ready() is False


def test_a_call_after_the_end_is_waited_for_like_an_outage() -> None:
    triton = client(Server())
    ensemble = triton.ensemble("general")
    triton.close()
    with pytest.raises(TritonUnavailable, match="closed"):
        triton.infer(ensemble, IMAGES)


def test_depth_comes_with_the_matte_where_an_ensemble_measures_it() -> None:
    depths = np.full((2, H, W), 30, np.uint8)
    reply = answer(matte=MATTES, depth=depths, net_receipt=receipt_of(IMAGES, depths, MATTES))
    server = Server(outputs=[("matte", U8, [H, W]), ("depth", U8, [H, W])], reply=reply)
    triton = client(server)
    ensemble = triton.ensemble("depth")
    assert ensemble.measures_depth
    found = triton.infer_with_depth(ensemble, IMAGES)
    np.testing.assert_array_equal(found, (MATTES, depths))
    np.testing.assert_array_equal(triton.infer(ensemble, IMAGES), MATTES)  # which asks for both as well
    server.reply = answer(matte=MATTES, net_receipt=receipt_of(IMAGES, depths, MATTES))
    with pytest.raises(WrongAnswer, match="without `depth`"):
        triton.infer_with_depth(ensemble, IMAGES)


def test_a_token_goes_with_every_call_over_tls(tmp_path: Path) -> None:
    authority, seen = Authority(tmp_path), []

    class Recorder(service_pb2_grpc.GRPCInferenceServiceServicer):
        def ServerReady(self, request, context):
            seen.append(dict(context.invocation_metadata()).get("authorization"))
            return service_pb2.ServerReadyResponse(ready=True)

    certificate = authority.issue("server")
    server = grpc_core.server(ThreadPoolExecutor(1))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Recorder(), server)
    files = (certificate.key.read_bytes(), certificate.chain.read_bytes())
    port = server.add_secure_port("localhost:0", grpc_core.ssl_server_credentials([files]))
    server.start()
    url, trusted = f"localhost:{port}", authority.file
    with closing(Triton(TritonSettings(url=url, tls=True, ssl_cafile=trusted, token="let-me-in"))) as triton:
        assert triton.ready()
    server.stop(0).wait()
    assert seen == ["Bearer let-me-in"]


def idles_out(port: int, patience_s: float) -> bool:
    """Make one call, and tell whether the connection ends while nothing is asked."""
    with closing(Triton(TritonSettings(url=f"127.0.0.1:{port}"))) as triton:
        assert triton.ready()
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            here = psutil.Process().net_connections("tcp")
            if not [each for each in here if each.raddr and each.raddr.port == port and each.status == "ESTABLISHED"]:
                return True
            time.sleep(0.05)
    return False


def test_an_idle_connection_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """While strangers hold all others that Triton takes, there is no new one."""

    class Ready(service_pb2_grpc.GRPCInferenceServiceServicer):
        def ServerReady(self, request, context):
            return service_pb2.ServerReadyResponse(ready=True)

    server = grpc_core.server(ThreadPoolExecutor(1))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Ready(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    options = dict(triton_module._CHANNEL)
    assert options["grpc.client_idle_timeout_ms"] == 2**31 - 1
    assert not idles_out(port, 2)
    shorter = {**options, "grpc.client_idle_timeout_ms": 1000}  # the shortest; it is the option that decides
    monkeypatch.setattr(triton_module, "_CHANNEL", list(shorter.items()))
    assert idles_out(port, 15)
    server.stop(0).wait()


def test_a_file_for_tls_that_is_missing_is_named(tmp_path: Path) -> None:
    settings = TritonSettings(url="localhost:1", tls=True, ssl_cafile=tmp_path / "ca.pem")
    with pytest.raises(ConfigurationError, match=rf"CUTSTREAM_TRITON__TLS: {tmp_path}/ca.pem: No such file"):
        Triton(settings).ensemble("general")
