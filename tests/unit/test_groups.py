"""Tests that share servers run in one process, in the order in which no process waits for the other."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("xdist", reason="pytest-xdist is not installed")

from tests.support.groups import EARLY_STACKS, LATE_STACKS, SERVERS, GroupScheduling, group_of, turn_of

ROOT = Path(__file__).parents[2]
FILES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}


def marked(*names: str) -> set[str]:
    """Return the files that use one of these marks for tests of theirs, not only in a text."""
    return {path for path, text in FILES.items() if re.search(rf"^[^\"'#]*\bmark\.({'|'.join(names)})\b", text, re.M)}


def test_whole_stacks_are_two_groups_and_single_servers_another() -> None:
    early, late, servers = (
        {path for path in FILES if group_of(path) == group} for group in (EARLY_STACKS, LATE_STACKS, SERVERS)
    )
    stacks = early | late
    assert min(len(early), len(late)) > len(stacks) / 4
    assert marked("e2e") <= stacks
    assert marked("kafka", "s3", "cluster") <= stacks | servers
    assert len(stacks | servers) < len(FILES) / 3, "the others are to be shared out file by file"


def test_the_longest_come_first() -> None:
    assert turn_of("tests/e2e/test_folders.py::test_x[1]") == 0
    assert turn_of("tests/e2e/test_poison.py::test_x[1]") == 1
    assert turn_of("tests/integration/kafka/test_broker.py") == 2
    assert turn_of("tests/unit/export/networks/test_networks.py") == 3
    assert turn_of("tests/integration/triton/test_fast.py") == 3
    assert turn_of("tests/unit/commands/test_top.py") == 4


class Process:
    """A process of pytest-xdist, as far as its scheduler sees it."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.sent: list[int] = []

    def send_runtest_some(self, tests: list[int]) -> None:
        self.sent += tests

    def shutdown(self) -> None: ...

    @property
    def shutting_down(self) -> bool:
        return False


def test_pytest_xdist_gives_each_process_a_whole_group() -> None:
    tests = [f"tests/e2e/test_{name}.py::test_one[{n}]" for name in "ab" for n in range(4)]
    tests += [f"tests/integration/kafka/test_{name}.py::test_one[{n}]" for name in "ab" for n in range(4)]
    tests += [f"tests/unit/test_c.py::test_{n}" for n in range(9)]
    option = SimpleNamespace(loadscopereorder=False, verbose=0, debug=False)
    config: Any = SimpleNamespace(option=option, getvalue=lambda name: ["2*popen"] if name == "tx" else False)
    scheduling = GroupScheduling(config)
    first, second = processes = [Process("gw0"), Process("gw1")]
    for process in processes:
        scheduling.add_node(process)  # type: ignore[arg-type]
    for process in processes:
        scheduling.add_node_collection(process, tests)  # type: ignore[arg-type]
    scheduling.schedule()
    assert [first.sent, second.sent] == [list(range(8)), list(range(8, 16))]
