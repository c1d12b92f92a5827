"""Call Triton through one long-lived gRPC client. The only module that imports tritonclient.

The ensemble `cutout_general` serves the profile `general`. Its input is `image` u8 [N, H, W, 3] RGB, its output `matte`
u8 [N, H, W]. An ensemble that measures depth has the output `depth` u8 [N, H, W] as well, 255 nearest. The receipt of
each of its steps is an output, too: an answer is used only if they trace it to the images that were sent (ADR 12).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc as grpc_core
import numpy as np
import tritonclient.grpc as grpc
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from cutstream.clock import Clock, SystemClock
from cutstream.errors import (
    ConfigurationError,
    CutstreamError,
    InferenceFailed,
    ModelMismatch,
    ModelReloaded,
    TritonUnavailable,
    WrongAnswer,
)
from cutstream.profiles import ensemble_name
from cutstream.receipts import RECEIPT, Step, check_receipts, sums
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
    ("grpc.max_reconnect_backoff_ms", 250),
    # By default it closes an idle connection after 30 min. Where strangers hold all that Triton takes, there is no new
    # one. The most that is possible means never.
    ("grpc.client_idle_timeout_ms", 2**31 - 1),
]
_PING_TIMEOUT_MS = 5_000
_NOT_THE_IMAGE = (
    "out of memory",
    "failed to allocate",
    "bad_alloc",
    # Triton's Python backend lost its process.
    "is not healthy",
    "health mutex",
)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The ensemble that serves a profile, with the width and height of its input.

    `digest` is that of weights and glue. `measures_depth` means that it has the output `depth`. `min_sure_share` is how
    sure its network is of any subject (`cutstream/matting/no_subject.py`), None if nobody has measured that. Two
    descriptions are equal if and only if the same model serves.
    """

    name: str
    version: str
    width: int
    height: int
    max_batch: int
    digest: str = ""
    networks: tuple[str, ...] = ()
    measures_depth: bool = False
    steps: tuple[Step, ...] = ()
    min_sure_share: float | None = None

    @property
    def maps(self) -> tuple[str, ...]:
        """The names of the outputs u8 [N, H, W]."""
        return ("matte", "depth") if self.measures_depth else ("matte",)


@dataclass(frozen=True, slots=True)
class _Described:
    ensemble: Ensemble
    at_s: float


@contextmanager
def map_triton_errors() -> Iterator[None]:
    """Map tritonclient's exceptions to TritonUnavailable, ConfigurationError and InferenceFailed."""
    try:
        yield
    except InferenceServerException as exc:
        status, message = exc.status() or "", exc.message() or ""
        if status in _UNAVAILABLE or any(words in message.lower() for words in _NOT_THE_IMAGE):
            raise TritonUnavailable(f"Triton: {message}") from exc
        if status in _MISCONFIGURED:
            raise ConfigurationError(f"CUTSTREAM_TRITON__URL: {message} (docs/settings.md#triton-url)") from exc
        raise InferenceFailed(f"Triton: {message}") from exc


class _Bearer:
    """Sends a token with every call."""

    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}"

    def __call__(self, request: Any) -> None:
        request.headers["authorization"] = self._value


class Triton:
    """A client of one Triton server. It connects at the first call. Thread-safe.

    It describes an ensemble again when the description is older than `describe_age_s`, after a failed call, and after
    an answer that does not fit the description. So a model may be reloaded at any time, even with another input size.
    """

    def __init__(self, settings: TritonSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._described: dict[str, _Described] = {}
        self._client: grpc.InferenceServerClient | None = None
        self._closed = False
        self._lock = threading.Lock()

    def ready(self) -> bool:
        """Return whether the server reports that it is ready."""
        return not self.problem()

    def problem(self) -> str:
        """Return why no server is ready, such as a certificate that is refused. An empty text: one is."""
        try:
            with self._calling():
                return "" if self._connect().is_server_ready(client_timeout=2.0) else "it loads its models"
        except CutstreamError as exc:
            return str(exc)

    def ensemble(self, profile: str) -> Ensemble:
        """Return the ensemble of a profile.

        Raises TritonUnavailable while it is not loaded, and ModelMismatch if it has other tensors than expected.
        """
        name = ensemble_name(profile)
        known = self._described.get(name)
        if known is None or self._clock.monotonic() - known.at_s > self._settings.describe_age_s:
            return self._describe(name)
        return known.ensemble

    def infer(self, ensemble: Ensemble, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Infer the mattes u8 [N, height, width] of images u8 [N, height, width, 3] RGB.

        Raises TritonUnavailable, WrongAnswer, ModelReloaded or InferenceFailed.
        """
        return self._infer(ensemble, images)[0]

    def infer_with_depth(
        self, ensemble: Ensemble, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Infer mattes and depth maps, with an ensemble that measures depth. Shapes and errors are those of `infer`."""
        mattes, depths = self._infer(ensemble, images)
        return mattes, depths

    def _infer(self, ensemble: Ensemble, images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        try:
            answer = self._ask(ensemble, images)
            maps = {name: _map(answer[name], name, images) for name in ensemble.maps}
            receipts = {step.receipt: _receipt(answer[step.receipt], step, len(images)) for step in ensemble.steps}
            known = {name: sums(tensor) for name, tensor in {"image": images, **maps}.items()}
            check_receipts(ensemble.steps, receipts, known)
        except TritonUnavailable:
            self._described.pop(ensemble.name, None)  # it may come back with another model
            raise
        return list(maps.values())

    def _ask(self, ensemble: Ensemble, images: NDArray[np.uint8]) -> dict[str, NDArray[Any] | None]:
        # All outputs are requested: Triton 2.51 does not pass an output that nobody requested to the next step, which
        # then waits for ever.
        outputs = (*ensemble.maps, *(step.receipt for step in ensemble.steps))
        tensor = grpc.InferInput("image", list(images.shape), "UINT8").set_data_from_numpy(images)
        try:
            with self._calling():
                reply = self._connect().infer(
                    ensemble.name,
                    [tensor],
                    outputs=[grpc.InferRequestedOutput(name) for name in outputs],
                    client_timeout=self._settings.timeout_s,
                )
        except InferenceFailed as exc:
            if self._describe(ensemble.name) != ensemble:
                raise ModelReloaded(f"{ensemble.name} has changed: {exc}") from exc
            raise
        return {name: reply.as_numpy(name) for name in outputs}

    def close(self) -> None:
        """Close the connection. A call that is still running, or is made later, raises TritonUnavailable."""
        self._closed = True
        if self._client is not None:
            self._client.close()

    @contextmanager
    def _calling(self) -> Iterator[None]:
        try:
            with map_triton_errors():
                yield
        except ValueError as exc:  # gRPC's error for a call on a closed channel
            if self._closed:
                raise TritonUnavailable("the connection to Triton is closed") from exc
            raise

    def _connect(self) -> grpc.InferenceServerClient:
        with self._lock:
            if self._client is None:
                self._client = self._open_client()
            return self._client

    def _open_client(self) -> grpc.InferenceServerClient:
        s = self._settings
        credentials = self._credentials() if s.tls else None
        client = grpc.InferenceServerClient(s.url, creds=credentials, channel_args=self._channel())
        if s.token is not None:
            client.register_plugin(_Bearer(s.token.get_secret_value()))
        return client

    def _credentials(self) -> grpc_core.ChannelCredentials:
        s = self._settings
        try:
            files = [file and file.read_bytes() for file in (s.ssl_cafile, s.ssl_keyfile, s.ssl_certfile)]
        except OSError as exc:
            raise ConfigurationError(
                f"CUTSTREAM_TRITON__TLS: {exc.filename}: {exc.strerror} (docs/settings.md#triton-tls)"
            ) from exc
        return grpc_core.ssl_channel_credentials(*files)

    def _channel(self) -> list[tuple[str, int]]:
        # A call cannot time out while its images are stuck in a full connection to a frozen server. A ping that is not
        # answered ends the connection. It is sent only after a silence in which a call would have timed out.
        silence_ms = round(1000 * self._settings.timeout_s)
        return [
            *_CHANNEL,
            ("grpc.keepalive_time_ms", silence_ms),
            ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
            ("grpc.http2.max_pings_without_data", 0),
        ]

    def _describe(self, name: str) -> Ensemble:
        with self._calling():
            client = self._connect()
            config = client.get_model_config(name, client_timeout=self._settings.timeout_s).config
            metadata = client.get_model_metadata(name, client_timeout=self._settings.timeout_s)
        ensemble = _ensemble(name, config, max(metadata.versions, key=int))
        self._described[name] = _Described(ensemble, self._clock.monotonic())
        return ensemble


def _ensemble(name: str, config: grpc.model_config_pb2.ModelConfig, version: str) -> Ensemble:
    tensors = {t.name: (t.data_type, tuple(t.dims)) for t in (*config.input, *config.output)}
    kind, dims = tensors.get("image", (None, ()))
    u8 = grpc.model_config_pb2.TYPE_UINT8
    if kind != u8 or len(dims) != 3 or dims[2] != 3 or tensors.get("matte") != (u8, dims[:2]):
        raise ModelMismatch(
            f"{name} has tensors {tensors}; an ensemble must have the input `image` u8 [H,W,3] and "
            "the output `matte` u8 [H,W]"
        )
    stated = {key: value.string_value for key, value in config.parameters.items()}
    ensemble = Ensemble(
        name=name,
        version=version,
        width=dims[1],
        height=dims[0],
        max_batch=config.max_batch_size,
        digest=stated.get("digest", ""),
        networks=tuple(stated["networks"].split("+")) if "networks" in stated else (),
        measures_depth=tensors.get("depth") == (u8, dims[:2]),
        steps=_steps(name, config, stated.get("graphs", "").split("+")),
        min_sure_share=float(stated["min_sure_share"]) if "min_sure_share" in stated else None,
    )
    traced = {tensor for step in ensemble.steps for tensor in step.tensors}
    receipts = {step.receipt for step in ensemble.steps}
    if missing := ({"image", *ensemble.maps} - traced) | (receipts - set(tensors)):
        raise ModelMismatch(_NO_RECEIPTS.format(name=name, problem=f"nothing that traces {', '.join(sorted(missing))}"))
    return ensemble


def _steps(name: str, config: grpc.model_config_pb2.ModelConfig, digests: list[str]) -> tuple[Step, ...]:
    """Return the steps of an ensemble. Raises ModelMismatch if one has no receipt."""
    steps = config.ensemble_scheduling.step
    without = [step.model_name for step in steps if RECEIPT not in step.output_map]
    if without or len(digests) != len(steps) or not all(digests):
        problem = f"no receipt of {', '.join(without)}" if without else "no digests of its graphs"
        raise ModelMismatch(_NO_RECEIPTS.format(name=name, problem=problem))
    return tuple(
        Step(
            model=step.model_name,
            receipt=step.output_map[RECEIPT],
            tensors=(
                *(step.input_map[key] for key in sorted(step.input_map)),
                *(step.output_map[key] for key in sorted(step.output_map) if key != RECEIPT),
            ),
            digest=digest,
        )
        for step, digest in zip(steps, digests, strict=True)
    )


_NO_RECEIPTS = (
    "{name} has {problem}, so nobody could tell whether a matte belongs to its photo: serve the repository that "
    "`cutstream models render` of this release writes (docs/adr/0012-check-that-a-matte-belongs-to-its-photo.md)"
)


def _map(output: NDArray[Any] | None, name: str, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an output u8 [N, H, W]. Raises WrongAnswer if it is missing or has another shape or type."""
    return _expect(output, name, images.shape[:3], np.uint8)


def _receipt(output: NDArray[Any] | None, step: Step, images: int) -> NDArray[np.int32]:
    return _expect(output, step.receipt, (images, step.length), np.int32)


def _expect(output: NDArray[Any] | None, name: str, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    if output is None:
        raise WrongAnswer(f"it answered without `{name}`")
    if output.shape != shape or output.dtype != dtype:
        raise WrongAnswer(f"it answered `{name}` {output.dtype} {output.shape} instead of {np.dtype(dtype)} {shape}")
    return output
