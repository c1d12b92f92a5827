"""Errors that end the worker."""

from __future__ import annotations

from cutstream.errors.base import CutstreamError
from cutstream.redaction import redact

OPERATOR_NEEDED = 78  # EX_CONFIG of sysexits.h; systemd's example for RestartPreventExitStatus


class Fatal(CutstreamError):
    """The worker cannot continue. It aborts its transaction, stops and exits non-zero: with status 78 if another start
    alone does not help.

    Nothing is committed, so no request is lost. Correct the cause and start the worker again.
    """

    code = "fatal"


class ConfigurationError(Fatal):
    """A setting is missing, wrong or unknown, or contradicts another.

    Correct the variable that the message names. docs/settings.md describes all settings.
    """

    code = "configuration"
    exit_status = OPERATOR_NEEDED

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class ModelMismatch(Fatal):
    """The description of a model that Triton serves states other tensors than the worker expects, or no receipts.

    Serve the repository that `cutstream models render` of this release writes.
    """

    code = "model_mismatch"
    exit_status = OPERATOR_NEEDED


class WeightsMissing(Fatal):
    """The weights of a model are not on this machine.

    Run the command in the message, or set `CUTSTREAM_MODELS__MIRROR` to a folder that has them.
    """

    code = "weights_missing"
    exit_status = OPERATOR_NEEDED


class DeviceLost(Fatal):
    """The GPU is gone, or a kernel on it failed. The process cannot use the GPU after that.

    Check the system's log (Xid lines of `dmesg`) and `nvidia-smi`. `CUTSTREAM_WORKER__DEVICE=cpu` runs without a GPU.
    """

    code = "device_lost"


class Fenced(Fatal):
    """Another worker took over this worker's transactional id.

    Give each worker a `CUTSTREAM_KAFKA__TRANSACTIONAL_ID` of its own, or leave it empty.
    """

    code = "fenced"
    exit_status = OPERATOR_NEEDED


class StackError(Fatal):
    """An embedded server of the local stack did not start, or died; or no stack runs.

    Read the end of its log, which the message quotes; or start a stack with `cutstream up`.
    """

    code = "stack"


class PoisonLimit(Fatal):
    """`CUTSTREAM_WORKER__MAX_CONSECUTIVE_FAILURES` failures in a row point to the deployment, not to the requests.

    The worker halts: it commits what is finished, leaves the group and waits for an operator. Correct the cause that
    the message names, restart the worker, and replay the dead letters. If the requests are at fault after all, restart
    it as it is.
    """

    code = "poison_limit"  # exit status 1: whoever ends the halted worker has seen it, and may start it again
