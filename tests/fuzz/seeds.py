"""Write the files that fuzzing starts from: the small ones of the generated pictures, a name for each."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.pictures import all_cases

MAX_BYTES = 8_192  # smaller files are changed in more telling places


def write_seeds(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for case in all_cases():
        data = case.build()
        if len(data) <= MAX_BYTES:
            (folder / case.name.replace("/", "-")).write_bytes(data)
            count += 1
    return count


if __name__ == "__main__":
    sys.stdout.write(f"{write_seeds(Path(sys.argv[1]))} seeds\n")
