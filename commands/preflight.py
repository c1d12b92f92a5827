"""Refuse settings that cannot work on this machine, for the worker and for the servers of the local stack.

The parts do not know each other; each checks what it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cutstream.settings import Settings


def check_deployment(settings: Settings) -> None:
    """Raise ConfigurationError with a line for each problem, or else WeightsMissing. No server is asked.

    Settings of an embedded server count only if the settings name no other one.
    """
    from consumer.preflight import worker_problems
    from cutstream.errors import ConfigurationError
    from deploy.local.preflight import stack_problems
    from export.repository.preflight import check_weights, model_problems

    checks = (worker_problems, model_problems, stack_problems)
    if problems := [problem for check in checks for problem in check(settings)]:
        raise ConfigurationError("\n".join(dict.fromkeys(problems)))
    check_weights(settings)
