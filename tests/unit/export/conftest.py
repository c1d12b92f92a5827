from __future__ import annotations

import os
import sys

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread_for_each_process() -> None:
    """Let torch use one core where several processes run tests: threads that wait for another's core burn their own."""
    torch = sys.modules.get("torch")  # the tests that need it have imported it
    if torch is not None and "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)
