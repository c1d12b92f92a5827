"""Write all generated documents: `python -m docs.generate`. With `--check`, only report those that are out of date."""

from __future__ import annotations

import sys

from docs.generate.documents import FOLDER, stale, write


def main(arguments: list[str]) -> int:
    if arguments != ["--check"]:
        write(FOLDER)
        return 0
    if names := stale(FOLDER):
        sys.stderr.write(f"out of date, run `make docs`: {', '.join(f'docs/{name}' for name in names)}\n")
    return bool(names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
