"""The real TensorRT bindings without TensorRT.

The bindings are loaded with empty libraries in place of TensorRT's. Stand-ins have exactly the attributes and methods
of the bindings' classes.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.metadata
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import NonCallableMagicMock, create_autospec

import pytest

# The functions that the bindings link to. A release that needs more fails to load and names them.
FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getInferLibVersion",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
LIBRARIES = ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")
COMPILERS = ("cc", "gcc", "clang")


def load_bindings(folder: Path) -> ModuleType:
    """Load the bindings. Skip the test if they or a C compiler are not installed."""
    try:
        importlib.metadata.version("tensorrt-cu12-bindings")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("tensorrt-cu12-bindings is not installed (extra `dev`; Linux)")
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        pytest.skip(f"no C compiler ({', '.join(COMPILERS)}) for libraries in TensorRT's place")
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS))
    for name in LIBRARIES:
        subprocess.run(
            [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name, source], check=True, timeout=60
        )
        ctypes.CDLL(str(folder / name), ctypes.RTLD_GLOBAL)  # the bindings find it by name
    return importlib.import_module("tensorrt_bindings")


@dataclass(frozen=True)
class Signature:
    """The signature of a method from the docstring of the bindings; `annotation` is the return type."""

    names: tuple[str, ...]
    required: int
    annotation: str

    def accepts(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
        passed = (*self.names[: len(arguments)], *keywords)
        known = len(arguments) <= len(self.names) and set(keywords) <= set(self.names)
        return known and len(set(passed)) == len(passed) and set(self.names[: self.required]) <= set(passed)


def signatures(method: Any) -> list[Signature]:
    """Return each overload. `inspect` cannot read the signatures of compiled methods."""
    name, text = method.__name__, method.__doc__ or ""
    return [
        _signature(arguments, returned)
        for arguments, returned in re.findall(rf"^(?:\d+\. )?{name}\((self: .*)\) -> (.+)$", text, re.MULTILINE)
    ]


def _signature(arguments: str, returned: str) -> Signature:
    parts = re.findall(r"(\w+): ((?:[^,\[\]<]|\[[^\]]*\]|<[^>]*>)+)", arguments)[1:]
    return Signature(
        names=tuple(name for name, _ in parts),
        required=sum("=" not in kind for _, kind in parts),
        annotation=returned.split(".")[-1].split("::")[-1].strip(),
    )


# Return values of success for methods that return no object of the bindings.
SUCCESS = {"bool": True, "int": 0}


class StandIns:
    """A replacement for the module `tensorrt`, with its enums and constants and with classes that make stand-ins.

    A stand-in has exactly the attributes of its class. A method accepts exactly the arguments of its docstring and
    returns a stand-in of the class that the docstring names. `results` override the result of a method or the value of
    an attribute: `OnnxParser_parse=False`, `OnnxParser_num_errors=1`. `latest` has the last stand-in of each class.
    """

    def __init__(self, bindings: ModuleType, **results: Any) -> None:
        self._bindings = bindings
        self._results = results
        self.latest: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._bindings, name)
        return _Class(self, real) if isinstance(real, type) and not hasattr(real, "__members__") else real

    def stand_in(self, kind: type) -> NonCallableMagicMock:
        stand_in = create_autospec(kind, instance=True, spec_set=True)
        for name in _methods(kind):
            getattr(stand_in, name).side_effect = functools.partial(self._call, kind, name)
        for result, value in self._results.items():
            owner, _, name = result.partition("_")
            if owner == kind.__name__ and name not in _methods(kind):
                setattr(stand_in, name, value)
        self.latest[kind.__name__] = stand_in
        return stand_in

    def _call(self, kind: type, name: str, *arguments: Any, **keywords: Any) -> Any:
        returned = check(kind, name, arguments, keywords)
        result = f"{kind.__name__}_{name}"
        if result in self._results:
            return self._results[result]
        if returned in SUCCESS:
            return SUCCESS[returned]
        # Docstrings name one class by its C++ name.
        real = getattr(self._bindings, returned, None) or getattr(self._bindings, returned.removeprefix("I"), None)
        return self.stand_in(real) if isinstance(real, type) else None


@dataclass(frozen=True)
class _Class:
    stand_ins: StandIns
    real: type

    def __call__(self, *arguments: Any, **keywords: Any) -> NonCallableMagicMock:
        check(self.real, "__init__", arguments, keywords)
        return self.stand_ins.stand_in(self.real)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def check(kind: type, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str:
    """Return the type that the call returns. Raise TypeError if no overload accepts the arguments."""
    known = signatures(getattr(kind, name))
    for signature in known:
        if signature.accepts(arguments, keywords):
            return signature.annotation
    raise TypeError(f"{kind.__name__}.{name} takes {known}, not {len(arguments)} arguments and {list(keywords)}")


def _methods(kind: type) -> Iterator[str]:
    for name in dir(kind):
        if not name.startswith("_") and callable(getattr(kind, name)) and not isinstance(getattr(kind, name), type):
            yield name
