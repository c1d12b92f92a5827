"""One gateway process: `python -m producer.gateway`."""

from __future__ import annotations

import sys

from cutstream.errors import CutstreamError
from cutstream.printable import printable
from cutstream.settings import addressed, load
from producer.gateway.running import run_gateway


def main(arguments: list[str]) -> int:
    if arguments:
        sys.stderr.write("python -m producer.gateway takes no arguments; its settings are environment variables\n")
        return 2
    try:
        run_gateway(addressed(load()))
    except CutstreamError as exc:
        sys.stderr.write(printable(f"{exc.code}: {exc}\n"))
        return getattr(exc, "exit_status", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
