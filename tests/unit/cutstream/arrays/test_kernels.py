"""The CUDA sources, without a device: NVIDIA's compiler takes them, and the code calls what they define."""

from __future__ import annotations

import pytest

from cutstream.arrays.gpu import KERNELS, OPTIONS, source
from tests.support.host_kernels import ENTRY
from tests.support.nvrtc import CompileError, NoNvrtc, cubin

ARCHITECTURES = ("sm_75", "sm_80", "sm_90")
CUPYS_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")  # which it adds to ours


def compiled(text: str, file: str, architecture: str) -> bytes:
    try:
        return cubin(text, file, architecture, (*OPTIONS, *CUPYS_OPTIONS))
    except NoNvrtc as exc:
        pytest.skip(str(exc))


@pytest.mark.parametrize("file", KERNELS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_compile(file: str, architecture: str) -> None:
    code = compiled(source(file), f"{file}.cu", architecture)
    assert code.startswith(b"\x7fELF")
    assert all(name.encode() in code for name in KERNELS[file])


def test_an_error_is_told_with_its_line() -> None:
    broken = source("pixels").replace("out[4 * at + 3] = alpha[at];", "out[4 * at + 3] = beta[at];")
    line = broken.splitlines().index("    out[4 * at + 3] = beta[at];") + 1
    with pytest.raises(CompileError, match=rf'pixels\.cu\({line}\): error: identifier "beta" is undefined'):
        compiled(broken, "pixels.cu", "sm_80")


@pytest.mark.parametrize("file", KERNELS)
def test_every_kernel_is_listed(file: str) -> None:
    assert tuple(ENTRY.findall(source(file))) == KERNELS[file]


def test_nothing_outside_the_files_is_included() -> None:
    """CuPy's cache of compiled kernels knows the source it was given, and not what that includes."""
    assert not any("#include" in source(file) for file in KERNELS)
