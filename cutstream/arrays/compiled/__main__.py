"""Compile all that is compiled, so that no worker has to: `python -m cutstream.arrays.compiled`."""

from __future__ import annotations

from cutstream.arrays.cpu import CpuOps

if __name__ == "__main__":
    CpuOps().load()
