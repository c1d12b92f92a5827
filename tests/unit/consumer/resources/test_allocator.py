from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library has no malloc_trim"
)

# It runs in a separate process because the allocator's options cannot be reset.
PROGRAM = """
import numpy as np, psutil
from consumer.resources.allocator import trim_memory, keep_freed_memory
rss = lambda: psutil.Process().memory_info().rss
keep_freed_memory()
before = rss()
arrays = [np.ones(2_000_000, np.uint8) for _ in range(50)]
last = np.ones(2_000_000, np.uint8)  # stays above the others on the heap
del arrays
kept = rss() - before
trim_memory()
print(kept, rss() - before)
"""


def test_freed_pages_are_kept_until_memory_is_trimmed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 90_000_000
    assert left < 20_000_000
