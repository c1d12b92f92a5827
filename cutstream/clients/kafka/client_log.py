"""What kafka-python logs, folded: one line when a broker is lost and one when it is back, not dozens a second."""

from __future__ import annotations

import logging
import time
from typing import Any

log = logging.getLogger(__name__)

_CONNECTIONS = "kafka.net.connection"
_CHATTER = ("kafka.net", "kafka.cluster")  # attempts to connect; the lines of `_CONNECTIONS` say what matters
_OUTAGE_S = 30.0  # messages of other parts are dropped for so long after a connection was lost, because they repeat it
_REPEAT_S = 60.0


def fold_client_log() -> None:
    """Let the log hold of kafka-python's messages what an operator can use. Call it once, when logging is set up.

    A lost broker and its return make one line each, whichever of this process's clients notices first. An exception
    passes unless the network has caused it. Any other warning passes once a minute, unless a broker was lost.
    """
    client = logging.getLogger("kafka")
    client.handlers = [_Fold()]
    client.propagate = False
    client.setLevel(logging.WARNING)  # at INFO it reports every fetch and join
    logging.getLogger(_CONNECTIONS).setLevel(logging.INFO)  # at INFO it says that it has connected


class _Fold(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._lost: dict[str, tuple[float, float]] = {}  # node: when first, when last
        self._passed: dict[Any, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if record.name == _CONNECTIONS and isinstance(record.args, tuple) and record.args:
            self._note_connection(str(record.msg), record.args, now)
        elif record.levelno >= logging.WARNING and self._passes(record, now):
            logging.getLogger().handle(record)

    def _note_connection(self, message: str, args: tuple[Any, ...], now: float) -> None:
        node = str(getattr(args[0], "node_id", "?")).removeprefix("coordinator-")
        if node.startswith("bootstrap"):
            return  # whoever opened the client gets the error
        if message.endswith("Connection lost: %s"):
            if node not in self._lost:
                log.warning("connection to broker %s lost: %s", node, args[-1])
            first, _ = self._lost.get(node, (now, now))
            self._lost[node] = (first, now)
        elif message.endswith("Connected") and node in self._lost:
            first, _ = self._lost.pop(node)
            log.info("connected to broker %s again after %.1f s", node, now - first)

    def _passes(self, record: logging.LogRecord, now: float) -> bool:
        if record.exc_info and not isinstance(record.exc_info[1], OSError):
            return True
        if record.name.startswith(_CHATTER) or any(now - last < _OUTAGE_S for _, last in self._lost.values()):
            return False
        key = (record.name, record.msg)
        if now - self._passed.get(key, -_REPEAT_S) < _REPEAT_S:
            return False
        self._passed[key] = now
        return True
