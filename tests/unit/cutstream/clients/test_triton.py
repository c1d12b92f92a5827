"""The client against real protobufs, without a server; tests/integration/triton has the server."""

from __future__ import annotations

import grpc as grpc_core
import numpy as np
import pytest
import tritonclient.grpc as grpc
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

from cutstream.clients.triton import Ensemble, Triton, map_triton_errors
from cutstream.errors import ConfigurationError, InferenceFailed, ModelMismatch, TritonUnavailable
from cutstream.settings import TritonSettings

U8, F32 = model_config_pb2.TYPE_UINT8, model_config_pb2.TYPE_FP32
ENSEMBLE = Ensemble("cutout_general", "1", width=6, height=4, max_batch=8)
IMAGES = np.zeros((2, 4, 6, 3), np.uint8)

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
    ["CUDA error: Out of memory", "failed to allocate pinned system memory", "std::bad_alloc", "onnx: out of memory"],
)
def test_memory_that_ran_out_is_waited_for(message: str) -> None:
    assert meaning("StatusCode.INTERNAL", message) is TritonUnavailable


def test_an_error_of_the_client_library_fails_the_request() -> None:
    assert meaning(None, "unable to parse") is InferenceFailed


class Server:
    """Answers as a server that serves one ensemble."""

    def __init__(self, inputs=None, outputs=None, versions=("1",), digest="", reply=None) -> None:
        self.config = model_config_pb2.ModelConfig(
            max_batch_size=8,
            input=[tensor(model_config_pb2.ModelInput, *i) for i in inputs or [("image", U8, [4, 6, 3])]],
            output=[tensor(model_config_pb2.ModelOutput, *o) for o in outputs or [("matte", U8, [4, 6])]],
        )
        if digest:
            self.config.parameters["digest"].string_value = digest
        self.versions = versions
        self.reply = reply
        self.error: InferenceServerException | None = None
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
        assert [output.name() for output in outputs] == [output.name for output in self.config.output]
        return self.reply

    def is_server_ready(self, client_timeout):
        if self.error:
            raise self.error
        return True


def tensor(kind, name, data_type, dims):
    return kind(name=name, data_type=data_type, dims=dims)


def answer(matte: np.ndarray, datatype: str = "UINT8", **others: np.ndarray) -> grpc.InferResult:
    tensors = {"matte": matte, **others}
    outputs = [
        service_pb2.ModelInferResponse.InferOutputTensor(name=name, datatype=datatype, shape=values.shape)
        for name, values in tensors.items()
    ]
    raw = [np.ascontiguousarray(values).tobytes() for values in tensors.values()]
    return grpc.InferResult(service_pb2.ModelInferResponse(outputs=outputs, raw_output_contents=raw))


def client(server: Server) -> Triton:
    triton = Triton(TritonSettings(url="127.0.0.1:1"))
    triton._client = server
    return triton


def test_an_ensemble_is_described_once_by_its_configuration() -> None:
    server = Server(digest="ab12")
    triton = client(server)
    expected = Ensemble("cutout_general", "1", width=6, height=4, max_batch=8, digest="ab12")
    assert triton.ensemble("general") == expected
    assert triton.ensemble("general") == expected
    assert server.asked == ["cutout_general"]


@pytest.mark.parametrize(
    "server",
    [
        Server(inputs=[("image", F32, [4, 6, 3])]),
        Server(inputs=[("image", U8, [3, 4, 6])]),
        Server(inputs=[("image", U8, [4, 6])]),
        Server(inputs=[("picture", U8, [4, 6, 3])]),
        Server(outputs=[("matte", F32, [4, 6])]),
        Server(outputs=[("matte", U8, [4, 6, 1])]),
        Server(outputs=[("matte", U8, [6, 4])]),
        Server(outputs=[("mask", U8, [4, 6])]),
    ],
)
def test_an_ensemble_with_other_tensors_is_a_mismatch(server: Server) -> None:
    with pytest.raises(ModelMismatch, match=r"cutout_general has tensors .*`image` u8 \[H,W,3\]"):
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
    matte = np.arange(48, dtype=np.uint8).reshape(2, 4, 6)
    assert np.array_equal(client(Server(reply=answer(matte))).infer(ENSEMBLE, IMAGES), matte)


@pytest.mark.parametrize(
    "reply",
    [
        answer(np.zeros((1, 4, 6), np.uint8)),
        answer(np.zeros((2, 6, 4), np.uint8)),
        answer(np.zeros((2, 4, 6, 1), np.uint8)),
        answer(np.zeros((2, 4, 6), np.float32), "FP32"),
        grpc.InferResult(service_pb2.ModelInferResponse()),
    ],
)
def test_mattes_of_another_form_are_a_mismatch(reply: grpc.InferResult) -> None:
    with pytest.raises(ModelMismatch, match="cutout_general answered"):
        client(Server(reply=reply)).infer(ENSEMBLE, IMAGES)


def test_readiness_is_an_answer_and_never_an_error() -> None:
    server = Server()
    assert client(server).ready() is True
    server.error = InferenceServerException("connection refused", "StatusCode.UNAVAILABLE")
    assert client(server).ready() is False


def test_depth_comes_with_the_matte_where_an_ensemble_measures_it() -> None:
    mattes, depths = (np.full((2, 4, 6), value, np.uint8) for value in (200, 30))
    server = Server(outputs=[("matte", U8, [4, 6]), ("depth", U8, [4, 6])], reply=answer(mattes, depth=depths))
    triton, images = client(server), np.zeros((2, 4, 6, 3), np.uint8)
    ensemble = triton.ensemble("depth")
    assert ensemble.measures_depth
    found = triton.infer_with_depth(ensemble, images)
    np.testing.assert_array_equal(found, (mattes, depths))
    np.testing.assert_array_equal(triton.infer(ensemble, images), mattes)  # which asks for both as well


def test_an_ensemble_that_keeps_its_depth_to_itself_is_not_the_products() -> None:
    server = Server(outputs=[("matte", U8, [4, 6]), ("depth", U8, [4, 6])], reply=answer(np.zeros((1, 4, 6), np.uint8)))
    triton = client(server)
    with pytest.raises(ModelMismatch, match="without `depth`"):
        triton.infer_with_depth(triton.ensemble("depth"), np.zeros((1, 4, 6, 3), np.uint8))
