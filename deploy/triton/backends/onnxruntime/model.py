"""ONNX Runtime on the CPU, with the name and the configuration of Triton's own backend."""

import os
import site

# Before the imports below, because Triton's interpreter is isolated and knows neither the packages nor the checkout.
for folder in os.environ["TRITON_BACKEND_PATH"].split(os.pathsep):
    site.addsitedir(folder)

from collections.abc import Iterator, Sequence  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from typing import Any  # noqa: E402

from onnxruntime import InferenceSession, SessionOptions  # noqa: E402

from deploy.triton.backends.batch import Network, run_requests  # noqa: E402
from deploy.triton.backends.lifeline import Lifeline, hide_memory  # noqa: E402


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        hide_memory()
        self.network = Network.from_args(args)
        options = SessionOptions()
        # One thread per image does 8 % less work than all threads on a batch, in a quarter of the memory.
        options.intra_op_num_threads = 1
        self.session = InferenceSession(self.network.file, options, providers=["CPUExecutionProvider"])
        self.threads = ThreadPoolExecutor(self.network.threads)
        self.lifeline = Lifeline()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return run_requests(self.network, requests, self.infer)

    def finalize(self) -> None:
        self.lifeline.close()

    def infer(self, images: Sequence[Any]) -> Iterator[dict[str, Any]]:
        return self.threads.map(self.infer_image, images)

    def infer_image(self, image: Any) -> dict[str, Any]:
        return dict(zip(self.network.outputs, self.session.run(self.network.outputs, image), strict=True))
