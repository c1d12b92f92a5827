from __future__ import annotations

from typing import Any

import numba
import pytest

from cutstream.arrays.compiled import machine_code


@pytest.mark.parametrize("problem", [EOFError("Ran out of input"), RuntimeError("no locator"), PermissionError(13)])
def test_a_cache_that_cannot_be_used_is_done_without(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_by_numba = numba.njit

    def njit(*arguments: Any, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise problem
        return compile_by_numba(*arguments, **options)

    monkeypatch.setattr(machine_code.numba, "njit", njit)
    assert machine_code.compiled(lambda x: x + 1, "int64(int64)")(41) == 42
