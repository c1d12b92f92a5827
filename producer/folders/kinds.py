"""Which files are photos by their names, and what to call the others. The worker itself looks at the content."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePath

# docs/formats.md lists what a worker reads.
PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".png", ".apng", ".webp", ".avif", ".tif", ".tiff", ".gif"}
    | {".heic", ".heif", ".hif", ".bmp", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"}
)
_UNREAD = {
    "SVG": (".svg", ".svgz"),
    "PDF": (".pdf",),
    "JPEG XL": (".jxl",),
    "Photoshop": (".psd", ".psb"),
    "PostScript": (".eps", ".ai"),
    "RAW": (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    "video": (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"),
}
_KINDS = {suffix: kind for kind, suffixes in _UNREAD.items() for suffix in suffixes}

HIDDEN_FILE, HIDDEN_FOLDER = "hidden file", "hidden folder"
LINKED_FOLDER, BROKEN_LINK, UNREADABLE_FOLDER = "linked folder", "broken link", "unreadable folder"
OWN_FOLDER, OWN_FILE, OTHER_FILE = "folder of cutouts", "earlier cutout", "other file"

# An output that a worker has stored: its name ends in the first digits of the SHA-256.
_OWN_OUTPUT = re.compile(r"(cutout|mask|composite|overlay|background|layers)-[0-9a-f]{12}\.(png|webp|jpg|zip)")


def is_photo(name: str) -> bool:
    """Tell by its extension whether a file is a photo that a worker reads."""
    return suffix_of(name) in PHOTO_SUFFIXES


def suffix_of(name: str) -> str:
    """Return the extension in small letters, with its dot. Empty if there is none."""
    return PurePath(name).suffix.lower()


def why_left_out(name: str) -> str | None:
    """Return what a file in a folder is that is not to be sent. None for a photo."""
    if name.startswith("."):
        return HIDDEN_FILE  # such as `._photo.jpg` of a Mac, which is no picture
    if not is_photo(name):
        return _KINDS.get(suffix_of(name), OTHER_FILE)
    return OWN_FILE if _OWN_OUTPUT.fullmatch(name) else None


class LeftOut:
    """Counts what was found and is not sent. One thread adds to it."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, what: str, count: int = 1) -> None:
        self._counts[what] += count

    def __len__(self) -> int:
        return self._counts.total()

    def __str__(self) -> str:
        """Return such as `skipped 3: 1 SVG, 2 hidden files`. Empty if nothing was left out."""
        if not self._counts:
            return ""
        parts = [_counted(count, what) for what, count in self._counts.most_common()]
        return f"skipped {self._counts.total():,}: {', '.join(parts)}"


def _counted(count: int, what: str) -> str:
    if count == 1 or what[0].isupper():
        return f"{count:,} {what}"
    words = what.split(" of ")
    plural = f"{words[0]}s of {words[1]}" if len(words) == 2 else f"{what}s"
    return f"{count:,} {plural}"
