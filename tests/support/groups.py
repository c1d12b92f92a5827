"""Which tests of a run in three processes share a process, and in which order they come.

pytest-xdist has groups by a mark, but with pytest 9.2 it does not see the marks and spreads every file's tests over all
processes, so that each starts every server anew. Here groups follow from the tests' paths.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

EARLY_STACKS, LATE_STACKS, SERVERS = "whole stacks, a to f", "whole stacks, g to z", "single servers"
_STACKS = "whole stacks"
_PLACES = {
    "tests/e2e/": _STACKS,
    "tests/integration/gateway/test_kill.py": _STACKS,
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

    Those that share servers are three groups, for three processes, so that each process starts its own Kafka, of half a
    gigabyte, once. Tests of whole stacks, which mostly wait for their workers, take longest and are two of the groups.
    """
    group = next((group for place, group in _PLACES.items() if path.startswith(place)), "") or path
    if group == _STACKS:
        return EARLY_STACKS if path.rpartition("/test_")[2] < "g" else LATE_STACKS
    return group


def turn_of(path: str) -> int:
    """Return when a file's group has its turn: the longest first, so that none waits for another in the end."""
    first = (EARLY_STACKS, LATE_STACKS, SERVERS)
    if (group := group_of(path)) in first:
        return first.index(group)
    return 3 if path.startswith(_LONG) else 4


class GroupScheduling(LoadScopeScheduling):
    """Gives a group to the next process that is free. Needs `--dist loadscope --no-loadscope-reorder`."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])
