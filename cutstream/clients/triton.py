"""The only module that talks to tritonclient: one long-lived gRPC client, errors in the product's terms.

A profile `general` is served by the ensemble `cutout_general`: `image` u8 [N, H, W, 3] RGB in, `matte` u8 [N, H, W]
out; one that measures depth gives that as well, `depth` u8 [N, H, W], 255 nearest.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import tritonclient.grpc as grpc
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from cutstream.errors import ConfigurationError, InferenceFailed, ModelMismatch, TritonUnavailable
from cutstream.settings import TritonSettings

# Triton, or the way to it, says these of itself and never of the photo; the rest is about the request.
_AWAY = {
    "StatusCode.UNKNOWN",  # gRPC's word for a connection that broke in mid-answer
    "StatusCode.UNAVAILABLE",
    "StatusCode.DEADLINE_EXCEEDED",
    "StatusCode.RESOURCE_EXHAUSTED",
    "StatusCode.CANCELLED",
    "StatusCode.NOT_FOUND",
    "StatusCode.ABORTED",
}
_MISCONFIGURED = {"StatusCode.PERMISSION_DENIED", "StatusCode.UNAUTHENTICATED", "StatusCode.UNIMPLEMENTED"}
_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC's own default lets a client wait two minutes for a server that is long back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
_OUT_OF_MEMORY = ("out of memory", "failed to allocate", "bad_alloc")


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What is served for a profile. `networks` and `digest` (weights and glue) are empty when not stated;
    `measures_depth` where it has an output `depth`."""

    name: str
    version: str
    width: int
    height: int
    max_batch: int
    digest: str = ""
    networks: tuple[str, ...] = ()
    measures_depth: bool = False


def ensemble_name(profile: str) -> str:
    return f"cutout_{profile}"


@contextmanager
def map_triton_errors() -> Iterator[None]:
    try:
        yield
    except InferenceServerException as exc:
        status, message = exc.status() or "", exc.message() or ""
        if status in _AWAY or any(words in message.lower() for words in _OUT_OF_MEMORY):
            raise TritonUnavailable(f"Triton: {message}") from exc
        if status in _MISCONFIGURED:
            raise ConfigurationError(f"CUTSTREAM_TRITON__URL: {message} (docs/settings.md#triton-url)") from exc
        raise InferenceFailed(f"Triton: {message}") from exc


class Triton:
    """Thread-safe."""

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._ensembles: dict[str, Ensemble] = {}
        self._client: grpc.InferenceServerClient | None = None
        self._lock = threading.Lock()

    def ready(self) -> bool:
        try:
            return bool(self._connected().is_server_ready(client_timeout=2.0))
        except InferenceServerException:
            return False

    def ensemble(self, profile: str) -> Ensemble:
        """Raises TritonUnavailable while it is not loaded, ModelMismatch when its tensors are not the product's."""
        known = self._ensembles.get(profile)
        if known is None:
            known = self._ensembles[profile] = self._describe(ensemble_name(profile))
        return known

    def infer(self, ensemble: Ensemble, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """u8 [N, height, width, 3] RGB to u8 [N, height, width]; raises TritonUnavailable or InferenceFailed."""
        return self._ask(ensemble, images)[0]

    def infer_with_depth(
        self, ensemble: Ensemble, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """As `infer`, and the depth behind it; for ensembles that measure it."""
        mattes, depths = self._ask(ensemble, images)
        return mattes, depths

    def _ask(self, ensemble: Ensemble, images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """All outputs: Triton 2.51 does not hand one that is not asked for on to the next step, which then waits."""
        outputs = ("matte", "depth") if ensemble.measures_depth else ("matte",)
        tensor = grpc.InferInput("image", list(images.shape), "UINT8").set_data_from_numpy(images)
        with map_triton_errors():
            reply = self._connected().infer(
                ensemble.name,
                [tensor],
                outputs=[grpc.InferRequestedOutput(name) for name in outputs],
                client_timeout=self._settings.timeout_s,
            )
        return [_planes(reply.as_numpy(name), name, ensemble, images) for name in outputs]

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _connected(self) -> grpc.InferenceServerClient:
        with self._lock:
            if self._client is None:
                self._client = grpc.InferenceServerClient(self._settings.url, channel_args=_CHANNEL)
            return self._client

    def _describe(self, name: str) -> Ensemble:
        with map_triton_errors():
            client = self._connected()
            config = client.get_model_config(name, client_timeout=self._settings.timeout_s).config
            metadata = client.get_model_metadata(name, client_timeout=self._settings.timeout_s)
        tensors = {t.name: (t.data_type, tuple(t.dims)) for t in (*config.input, *config.output)}
        kind, dims = tensors.get("image", (None, ()))
        u8 = grpc.model_config_pb2.TYPE_UINT8
        if kind != u8 or len(dims) != 3 or dims[2] != 3 or tensors.get("matte") != (u8, dims[:2]):
            raise ModelMismatch(
                f"{name} has tensors {tensors}; an ensemble takes `image` u8 [H,W,3] and gives `matte` u8 [H,W]"
            )
        stated = {key: value.string_value for key, value in config.parameters.items()}
        return Ensemble(
            name=name,
            version=max(metadata.versions, key=int),
            width=dims[1],
            height=dims[0],
            max_batch=config.max_batch_size,
            digest=stated.get("digest", ""),
            networks=tuple(stated["networks"].split("+")) if "networks" in stated else (),
            measures_depth=tensors.get("depth") == (u8, dims[:2]),
        )


def _planes(
    answer: NDArray[np.uint8] | None, name: str, ensemble: Ensemble, images: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    if answer is None or answer.shape != images.shape[:3] or answer.dtype != np.uint8:
        given = f"without `{name}`" if answer is None else f"{answer.dtype} {answer.shape}"
        raise ModelMismatch(
            f"{ensemble.name} answered {given} for images {images.shape}; an ensemble takes `image` u8 [N,H,W,3] "
            f"and gives `{name}` u8 [N,H,W]"
        )
    return answer
