"""What kafka-python leaves to the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

# Where a broker is lost, the client drops the sockets of refused connections without closing them.
ignore_dropped_sockets = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def no_garbage_for_other_tests() -> Iterator[None]:
    """Collect the sockets in the test that ignores them."""
    yield
    gc.collect()
