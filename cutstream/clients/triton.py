"""Call Triton through one long-lived gRPC client. The only module that imports tritonclient.

The ensemble `cutout_general` serves the profile `general`. Its input is `image` u8 [N, H, W, 3] RGB, its output `matte`
u8 [N, H, W]. An ensemble that measures depth has the output `depth` u8 [N, H, W] as well, 255 nearest.
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

# These statuses concern Triton or the connection, never the image. All others concern the request.
_UNAVAILABLE = {
    "StatusCode.UNKNOWN",  # gRPC reports a connection that broke during the response so
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
    # With gRPC's defaults a client may wait two minutes for a server that has long been back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
_OUT_OF_MEMORY = ("out of memory", "failed to allocate", "bad_alloc")


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The ensemble that serves a profile, with the width and height of its input.

    `networks` and `digest` (of weights and glue) are empty if the server does not state them. `measures_depth` means
    that it has the output `depth`.
    """

    name: str
    version: str
    width: int
    height: int
    max_batch: int
    digest: str = ""
    networks: tuple[str, ...] = ()
    measures_depth: bool = False


def ensemble_name(profile: str) -> str:
    """Return the name of the ensemble that serves a profile."""
    return f"cutout_{profile}"


@contextmanager
def map_triton_errors() -> Iterator[None]:
    """Map tritonclient's exceptions to TritonUnavailable, ConfigurationError and InferenceFailed."""
    try:
        yield
    except InferenceServerException as exc:
        status, message = exc.status() or "", exc.message() or ""
        if status in _UNAVAILABLE or any(words in message.lower() for words in _OUT_OF_MEMORY):
            raise TritonUnavailable(f"Triton: {message}") from exc
        if status in _MISCONFIGURED:
            raise ConfigurationError(f"CUTSTREAM_TRITON__URL: {message} (docs/settings.md#triton-url)") from exc
        raise InferenceFailed(f"Triton: {message}") from exc


class Triton:
    """A client of one Triton server. It connects at the first call. Thread-safe."""

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._ensembles: dict[str, Ensemble] = {}
        self._client: grpc.InferenceServerClient | None = None
        self._lock = threading.Lock()

    def ready(self) -> bool:
        """Return whether the server reports that it is ready."""
        try:
            return bool(self._connect().is_server_ready(client_timeout=2.0))
        except InferenceServerException:
            return False

    def ensemble(self, profile: str) -> Ensemble:
        """Return the ensemble of a profile.

        Raises TritonUnavailable while it is not loaded, and ModelMismatch if it has other tensors than expected.
        """
        known = self._ensembles.get(profile)
        if known is None:
            known = self._ensembles[profile] = self._describe(ensemble_name(profile))
        return known

    def infer(self, ensemble: Ensemble, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Infer the mattes u8 [N, height, width] of images u8 [N, height, width, 3] RGB.

        Raises TritonUnavailable or InferenceFailed.
        """
        return self._infer(ensemble, images)[0]

    def infer_with_depth(
        self, ensemble: Ensemble, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Infer mattes and depth maps, with an ensemble that measures depth. Shapes and errors are those of `infer`."""
        mattes, depths = self._infer(ensemble, images)
        return mattes, depths

    def _infer(self, ensemble: Ensemble, images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        # All outputs are requested: Triton 2.51 does not pass an output that nobody requested to the next step, which
        # then waits for ever.
        outputs = ("matte", "depth") if ensemble.measures_depth else ("matte",)
        tensor = grpc.InferInput("image", list(images.shape), "UINT8").set_data_from_numpy(images)
        with map_triton_errors():
            reply = self._connect().infer(
                ensemble.name,
                [tensor],
                outputs=[grpc.InferRequestedOutput(name) for name in outputs],
                client_timeout=self._settings.timeout_s,
            )
        return [_checked(reply.as_numpy(name), name, ensemble, images) for name in outputs]

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    def _connect(self) -> grpc.InferenceServerClient:
        with self._lock:
            if self._client is None:
                self._client = grpc.InferenceServerClient(self._settings.url, channel_args=_CHANNEL)
            return self._client

    def _describe(self, name: str) -> Ensemble:
        with map_triton_errors():
            client = self._connect()
            config = client.get_model_config(name, client_timeout=self._settings.timeout_s).config
            metadata = client.get_model_metadata(name, client_timeout=self._settings.timeout_s)
        tensors = {t.name: (t.data_type, tuple(t.dims)) for t in (*config.input, *config.output)}
        kind, dims = tensors.get("image", (None, ()))
        u8 = grpc.model_config_pb2.TYPE_UINT8
        if kind != u8 or len(dims) != 3 or dims[2] != 3 or tensors.get("matte") != (u8, dims[:2]):
            raise ModelMismatch(
                f"{name} has tensors {tensors}; an ensemble must have the input `image` u8 [H,W,3] and "
                "the output `matte` u8 [H,W]"
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


def _checked(
    output: NDArray[np.uint8] | None, name: str, ensemble: Ensemble, images: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return an output u8 [N, H, W]. Raises ModelMismatch if it is missing or has another shape or type."""
    if output is None or output.shape != images.shape[:3] or output.dtype != np.uint8:
        received = f"without `{name}`" if output is None else f"{output.dtype} {output.shape}"
        raise ModelMismatch(
            f"{ensemble.name} answered {received} for images {images.shape}; an ensemble must have the input "
            f"`image` u8 [N,H,W,3] and the output `{name}` u8 [N,H,W]"
        )
    return output
