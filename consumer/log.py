"""Structured logs: one JSON line per event on standard error, with the request's id if there is one.

An error that nobody handles is such an event, too. Python would print what strangers wrote raw, and in many lines.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import datetime, timezone
from types import TracebackType

from cutstream.clients.kafka import fold_client_log
from cutstream.printable import printable

log = logging.getLogger(__name__)

_KNOWN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _KNOWN and value is not None},
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return printable(json.dumps(event, default=str))


def configure(level: str = "INFO") -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    fold_client_log()
    sys.excepthook = _log_end
    threading.excepthook = _log_end_of_thread


def _log_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("unexpected error, the worker ends: %s: %s", kind.__name__, error, exc_info=(kind, error, trace))


def _log_end_of_thread(args: threading.ExceptHookArgs) -> None:
    kind, error, name = args.exc_type, args.exc_value or args.exc_type(), args.thread.name if args.thread else ""
    trace = args.exc_traceback
    log.critical("unexpected error, thread %s ends: %s: %s", name, kind.__name__, error, exc_info=(kind, error, trace))
