"""What led to an error."""

from __future__ import annotations

from collections.abc import Iterator


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it. urllib3 keeps the cause among the arguments."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # one that is raised again leads back to what it has caused
        seen.add(id(error))
        yield error
        named = next((argument for argument in error.args if isinstance(argument, BaseException)), None)
        error = error.__cause__ or named or error.__context__
