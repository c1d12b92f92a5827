"""Pack files into a zip. The same files give the same bytes, because object keys derive from the bytes."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO

MEDIA_TYPE = "application/zip"
EXTENSION = "zip"

_MODE = 0o644 << 16


def pack(files: Mapping[str, bytes]) -> bytes:
    """Pack `files` in their order. They stay uncompressed, because images are compressed already."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)  # its date is always 1980
            entry.external_attr = _MODE
            archive.writestr(entry, data)
    return buffer.getvalue()
