"""OpenVINO on the CPU, in the fastest arithmetic that keeps the network's mattes."""

import os
import site

# Before the imports below: the interpreter that Triton starts is isolated and knows neither packages nor checkout.
for folder in os.environ["TRITON_BACKEND_PATH"].split(os.pathsep):
    site.addsitedir(folder)

from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import triton_python_backend_utils as pb  # noqa: E402
from openvino import AsyncInferQueue  # noqa: E402

from deploy.triton.backends.batch import Network, answer  # noqa: E402
from deploy.triton.backends.precision import choose, compile_network  # noqa: E402


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.network = Network.of(args)
        report = Path(os.environ["TRITON_BACKEND_STATE"]) / "precision" / f"{self.network.name}.json"
        verdict = choose(self.network.file, os.environ["TRITON_BACKEND_PRECISION"], report)
        pb.Logger.log_info(f"{self.network.name} runs in {verdict.precision}: {verdict.because}")
        self.queue = AsyncInferQueue(compile_network(self.network.file, verdict.precision, self.network.threads))
        self.queue.set_callback(self.keep)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return answer(self.network, requests, self.infer)

    def infer(self, pictures: Sequence[Any]) -> list[Any]:
        """As many at once as the engine has threads."""
        answers: list[Any] = [None] * len(pictures)
        for index, picture in enumerate(pictures):
            self.queue.start_async(picture, (answers, index))
        self.queue.wait_all()
        return answers

    def keep(self, request: Any, place: tuple[list[Any], int]) -> None:
        answers, index = place
        answers[index] = {name: request.get_tensor(name).data.copy() for name in self.network.outputs}
