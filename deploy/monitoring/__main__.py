"""Write what Prometheus and Grafana need: `python -m deploy.monitoring`. With `--check`, only report what is stale."""

from __future__ import annotations

import sys

from deploy.monitoring.files import FOLDER, can_build_dashboards, stale, write


def main(arguments: list[str]) -> int:
    if not can_build_dashboards():
        sys.stderr.write("without the dashboards: grafana-foundation-sdk is not installed (it needs Python 3.11)\n")
    if arguments != ["--check"]:
        write(FOLDER)
        return 0
    if names := stale(FOLDER):
        sys.stderr.write(f"out of date, run `make dashboards`: {', '.join(f'deploy/{name}' for name in names)}\n")
    return bool(names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
