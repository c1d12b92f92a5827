"""What decoders raise; `decode` turns it into the named errors, with the name of the format."""

from __future__ import annotations


class Undecodable(Exception):
    """The file is truncated or damaged. The message is a reason in plain words, without the format's name."""


class NotSupported(Exception):
    """The file is intact, but of a kind that is not decoded. The message says which, and what to do."""


class DecoderOutOfMemory(Exception):
    """The library could not allocate what it needs."""
