"""Which tests of a run in two processes share a process, and in which order they come.

pytest-xdist has groups by a mark, but with pytest 9.2 it does not see the marks and spreads every file's tests over all
processes, so that each starts every server anew. Here groups follow from the tests' paths.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

STACKS, SERVERS = "whole stacks", "single servers"
_PLACES = {
    "tests/e2e/": STACKS,
    "tests/integration/gateway/test_kill.py": STACKS,
    "tests/integration/triton/": "",
    "tests/integration/browser/": "",
    "tests/integration/": SERVERS,
    "tests/contract/test_broker.py": SERVERS,
    "tests/contract/test_object_stores.py": SERVERS,
    "tests/contract/test_own_objects.py": SERVERS,
}
_LONG = ("tests/unit/export/", "tests/integration/triton/")  # some files take minutes


def group_of(path: str) -> str:
    """Return the group of a file of tests, whose path is relative to the checkout. Most are a group of their own.

    Those that share servers are two groups, for two processes: whole stacks, which mostly wait for their workers, and
    single servers. So each process starts its own Kafka, of half a gigabyte.
    """
    return next((group for place, group in _PLACES.items() if path.startswith(place)), "") or path


def turn_of(path: str) -> int:
    """Return when a file's group has its turn: the longest first, so that no process waits for the other in the end."""
    first = (STACKS, SERVERS)
    if (group := group_of(path)) in first:
        return first.index(group)
    return 2 if path.startswith(_LONG) else 3


class GroupScheduling(LoadScopeScheduling):
    """Gives a group to the next process that is free. Needs `--dist loadscope --no-loadscope-reorder`."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])
