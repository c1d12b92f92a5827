"""The real TensorRT bindings without TensorRT: loaded over libraries that only name its functions, and stand-ins that
know what the bindings' classes know, and no more.
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

# What the bindings link to. A release that wants more fails to load, and names it.
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
    """Skips by name where they or a compiler are not installed."""
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
        ctypes.CDLL(str(folder / name), ctypes.RTLD_GLOBAL)  # the bindings find it by its name
    return importlib.import_module("tensorrt_bindings")


@dataclass(frozen=True)
class Signature:
    """As the bindings' own docstring gives it; `annotation` is what comes back."""

    names: tuple[str, ...]
    required: int
    annotation: str

    def accepts(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
        given = (*self.names[: len(arguments)], *keywords)
        known = len(arguments) <= len(self.names) and set(keywords) <= set(self.names)
        return known and len(set(given)) == len(given) and set(self.names[: self.required]) <= set(given)


def signatures(method: Any) -> list[Signature]:
    """Each overload. The compiled methods have no signature that `inspect` could read."""
    name, text = method.__name__, method.__doc__ or ""
    return [
        _signature(arguments, given)
        for arguments, given in re.findall(rf"^(?:\d+\. )?{name}\((self: .*)\) -> (.+)$", text, re.MULTILINE)
    ]


def _signature(arguments: str, given: str) -> Signature:
    parts = re.findall(r"(\w+): ((?:[^,\[\]<]|\[[^\]]*\]|<[^>]*>)+)", arguments)[1:]
    return Signature(
        names=tuple(name for name, _ in parts),
        required=sum("=" not in kind for _, kind in parts),
        annotation=given.split(".")[-1].split("::")[-1].strip(),
    )


# What methods that give no object of the bindings give here, as they do where all is well.
WELL = {"bool": True, "int": 0}


class StandIns:
    """In place of the module `tensorrt`: its own enums and constants, and classes that make stand-ins.

    A stand-in has the attributes of its class and no others, to read or to set; a method takes the arguments of its
    docstring and no others, and gives a stand-in of the class that the docstring names. `answers` are what a method
    gives instead, or an attribute's value: `OnnxParser_parse=False`, `OnnxParser_num_errors=1`. `made` has the last
    one of each class.
    """

    def __init__(self, bindings: ModuleType, **answers: Any) -> None:
        self._bindings = bindings
        self._answers = answers
        self.made: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._bindings, name)
        return _Class(self, real) if isinstance(real, type) and not hasattr(real, "__members__") else real

    def stand_in(self, kind: type) -> NonCallableMagicMock:
        made = create_autospec(kind, instance=True, spec_set=True)
        for name in _methods(kind):
            getattr(made, name).side_effect = functools.partial(self._call, kind, name)
        for answer, value in self._answers.items():
            owner, _, name = answer.partition("_")
            if owner == kind.__name__ and name not in _methods(kind):
                setattr(made, name, value)
        self.made[kind.__name__] = made
        return made

    def _call(self, kind: type, name: str, *arguments: Any, **keywords: Any) -> Any:
        given = check(kind, name, arguments, keywords)
        answer = f"{kind.__name__}_{name}"
        if answer in self._answers:
            return self._answers[answer]
        if given in WELL:
            return WELL[given]
        # One class is known to docstrings by its C++ name.
        real = getattr(self._bindings, given, None) or getattr(self._bindings, given.removeprefix("I"), None)
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
    """What the call gives; TypeError for one that no overload of the method takes."""
    known = signatures(getattr(kind, name))
    for signature in known:
        if signature.accepts(arguments, keywords):
            return signature.annotation
    raise TypeError(f"{kind.__name__}.{name} takes {known}, not {len(arguments)} arguments and {list(keywords)}")


def _methods(kind: type) -> Iterator[str]:
    for name in dir(kind):
        if not name.startswith("_") and callable(getattr(kind, name)) and not isinstance(getattr(kind, name), type):
            yield name
