"""One worker process: `python -m consumer`."""

from __future__ import annotations

import sys

from consumer.app import run_worker
from cutstream import log
from cutstream.errors import CutstreamError
from cutstream.printable import printable
from cutstream.settings import addressed, load


def main(arguments: list[str]) -> int:
    if arguments:
        sys.stderr.write("python -m consumer takes no arguments; its settings are environment variables\n")
        return 2
    log.configure()
    try:
        run_worker(addressed(load()))
    except CutstreamError as exc:
        sys.stderr.write(printable(f"{exc.code}: {exc}\n"))
        return exc.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
