"""Measure what decoding files takes at its peak: `python -m benchmarks.micro.decoder_memory FILE...`.

Each file is decoded in a fresh process that has decoded the known pictures before, as decoder processes do. `space` is
address space, `rss` resident memory, both in bytes per pixel beyond what the process had; `estimate` is what
cutstream/images/memory.py reserves.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from consumer.resources.allocator import keep_freed_memory
from consumer.resources.decoding.known_pictures import check_decoders
from cutstream.images.decode import decode
from cutstream.images.header import read_header
from cutstream.images.memory import decoder_bytes
from cutstream.launch import python_command

MAX_PIXELS = 10**9


def status() -> dict[str, int]:
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {fields[0]: int(fields[1]) * 1024 for fields in lines if fields[-1] == "kB"}


def measure(file: Path) -> None:
    keep_freed_memory()
    check_decoders()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of resident memory begins anew
    before = status()
    data = file.read_bytes()
    header = read_header(data, MAX_PIXELS)
    decode(data, header)
    after = status()
    pixels = header.pixels
    line = {
        "file": file.name,
        "format": header.format,
        "bits": header.bits,
        "channels": header.channels,
        "progressive": header.progressive,
        "megapixels": round(pixels / 1e6, 1),
        "file_bytes": round(len(data) / pixels, 1),
        "space": round((after["VmPeak:"] - before["VmSize:"]) / pixels, 1),
        "rss": round((after["VmHWM:"] - before["VmRSS:"]) / pixels, 1),
        "estimate": round(decoder_bytes(header, len(data)) / pixels, 1),
    }
    sys.stdout.write(json.dumps(line) + "\n")


def main() -> None:
    files = [Path(argument) for argument in sys.argv[1:]]
    if len(files) == 1:
        measure(files[0])
    for file in files if len(files) > 1 else []:
        subprocess.run([*python_command("benchmarks.micro.decoder_memory"), file], check=False)


if __name__ == "__main__":
    main()
