"""OpenVINO on the CPU, in the fastest precision that keeps the network's mattes."""

import os
import site

# Before the imports below, because Triton's interpreter is isolated and knows neither the packages nor the checkout.
for folder in os.environ["TRITON_BACKEND_PATH"].split(os.pathsep):
    site.addsitedir(folder)

from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import triton_python_backend_utils as pb  # noqa: E402
from openvino import AsyncInferQueue  # noqa: E402

from deploy.triton.backends.batch import Network, run_requests  # noqa: E402
from deploy.triton.backends.lifeline import Lifeline, hide_memory  # noqa: E402
from deploy.triton.backends.precision import choose, compile_network  # noqa: E402


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        hide_memory()
        self.network = Network.from_args(args)
        report = Path(os.environ["TRITON_BACKEND_STATE"]) / "precision" / f"{self.network.name}.json"
        verdict = choose(self.network.file, os.environ["TRITON_BACKEND_PRECISION"], report)
        pb.Logger.log_info(f"{self.network.name} runs in {verdict.precision}: {verdict.reason}")
        self.queue = AsyncInferQueue(compile_network(self.network.file, verdict.precision, self.network.threads))
        self.queue.set_callback(self.store)
        self.lifeline = Lifeline()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return run_requests(self.network, requests, self.infer)

    def finalize(self) -> None:
        self.lifeline.close()

    def infer(self, images: Sequence[Any]) -> list[Any]:
        """Run the images in parallel, as many at once as the engine has threads."""
        outputs: list[Any] = [None] * len(images)
        for index, image in enumerate(images):
            self.queue.start_async(image, (outputs, index))
        self.queue.wait_all()
        return outputs

    def store(self, request: Any, target: tuple[list[Any], int]) -> None:
        outputs, index = target
        outputs[index] = {name: request.get_tensor(name).data.copy() for name in self.network.outputs}
