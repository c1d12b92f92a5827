"""What libde265 finds damaged in the coded pictures of a HEIC.

libde265 fills damaged parts with whatever it reads next and keeps a list of warnings, which libheif drops, even in its
strict mode. So libheif gets a decoder plugin that is a copy of its own one for HEVC, except that it reads that list
when a decoder is freed, which happens after each coded picture. The layouts are those of `heif_plugin.h` (plugin
versions 5 and 6) and of libheif's `decoder_libde265.cc`, where the pointer to libde265's context comes first.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_uint32, c_void_p
from pathlib import Path
from typing import Any

import pi_heif

from cutstream.errors import ConfigurationError

_HEVC = 1  # heif_compression_HEVC
_PRIORITY = 200  # libheif's own decoders have 100
_NOT_IMPLEMENTED = 502
_OUT_OF_MEMORY = {7, 1024}
_NO_DAMAGE = {
    14,  # a message beside the picture (SEI) cannot be read
    1000,  # the picture cannot be decoded by several threads
    1022,  # fewer threads than asked for
    1025,  # a message comes before the parameters
    1036,  # too many messages
}


class _Error(ctypes.Structure):
    _fields_ = [("code", c_int), ("subcode", c_int), ("message", c_char_p)]


class _Plugin(ctypes.Structure):
    _fields_ = [
        ("plugin_api_version", c_int),
        ("get_plugin_name", c_void_p),
        ("init_plugin", c_void_p),
        ("deinit_plugin", c_void_p),
        ("does_support_format", c_void_p),
        ("new_decoder", c_void_p),
        ("free_decoder", c_void_p),
        ("push_data", c_void_p),
        ("decode_image", c_void_p),
        ("set_strict_decoding", c_void_p),
        ("id_name", c_char_p),
        ("decode_next_image", c_void_p),
        ("minimum_required_libheif_version", c_uint32),
        ("does_support_format2", c_void_p),
        ("new_decoder2", c_void_p),
        ("push_data2", c_void_p),
        ("flush_data", c_void_p),
        ("decode_next_image2", c_void_p),
    ]


class HevcWarnings:
    """Collects the warnings of every HEVC picture that libheif decodes in this process. For one thread."""

    def __init__(self) -> None:
        libheif, self._libde265 = _bundled("libheif"), _bundled("libde265")
        self._libde265.de265_get_warning.argtypes = [c_void_p]
        self._libde265.de265_get_error_text.argtypes = [c_int]
        self._libde265.de265_get_error_text.restype = c_char_p
        self._codes: list[int] = []
        own = _own_plugin(libheif)
        free = CFUNCTYPE(None, c_void_p)
        self._free = free(own.free_decoder)
        self._callbacks = (  # libheif keeps the addresses, so they must live on
            free(self._read_and_free),
            CFUNCTYPE(c_int, c_int)(_priority),
            CFUNCTYPE(c_int, POINTER(c_int))(lambda description: _priority(description[0])),
        )
        self._plugin = _Plugin.from_buffer_copy(own)
        self._plugin.id_name = b"libde265 with warnings"
        names = ("free_decoder", "does_support_format", "does_support_format2")
        for name, callback in zip(names, self._callbacks, strict=True):
            setattr(self._plugin, name, ctypes.cast(callback, c_void_p).value)
        libheif.heif_register_decoder_plugin.restype = _Error
        if libheif.heif_register_decoder_plugin(byref(self._plugin)).code:
            raise ConfigurationError(f"libheif {pi_heif.libheif_version()} does not take a decoder plugin")

    def clear(self) -> None:
        self._codes.clear()

    @property
    def not_supported(self) -> bool:
        """Whether a picture uses a part of HEVC that libde265 does not have, such as layers."""
        return _NOT_IMPLEMENTED in self._codes

    @property
    def out_of_memory(self) -> bool:
        return not _OUT_OF_MEMORY.isdisjoint(self._codes)

    @property
    def damage(self) -> str:
        """The first sign of damage since `clear`, in libde265's words; empty if there was none."""
        code = next((code for code in self._codes if code not in _NO_DAMAGE | _OUT_OF_MEMORY), None)
        return "" if code is None else self._libde265.de265_get_error_text(code).decode(errors="replace")

    def _read_and_free(self, decoder: int) -> None:
        context = ctypes.cast(decoder, POINTER(c_void_p))[0]
        while code := self._libde265.de265_get_warning(context):
            self._codes.append(code)
        self._free(decoder)


def _priority(compression: int) -> int:
    return _PRIORITY if compression == _HEVC else 0


def _own_plugin(libheif: Any) -> _Plugin:
    plugins = (c_void_p * 1)()
    found = libheif.heif_get_decoder_descriptors(_HEVC, plugins, 1)
    plugin = ctypes.cast(plugins[0], POINTER(_Plugin)).contents if found and plugins[0] else None
    if plugin is None or plugin.plugin_api_version not in (5, 6) or plugin.id_name != b"libde265":
        raise ConfigurationError(
            f"libheif {pi_heif.libheif_version()} decodes HEVC by another plugin than is known here: install the "
            "version of pi-heif that requirements/ names"
        )
    return plugin


def _bundled(library: str) -> Any:
    """Return a library that comes with pi-heif. Another package may have loaded one of the same name."""
    path = next(Path(pi_heif.__file__).parent.with_name("pi_heif.libs").glob(f"{library}-*"), None)
    if path is None:
        raise ConfigurationError(f"pi-heif comes without {library} in pi_heif.libs/: install its wheel")
    return ctypes.CDLL(str(path))
