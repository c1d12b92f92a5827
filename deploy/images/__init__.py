"""The container images: their Dockerfile, the programs that it calls, and the digests of what they stand on.

`install.sh`, `trim.py`, `system.py` and `health.py` run where only Python itself is installed.
"""
