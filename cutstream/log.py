"""Structured logs on standard error: one line per event, with the request's id, stage, code and times if it has them.

On a terminal the lines are for people, elsewhere they are JSON. An error that nobody handles is such an event, too.
Python would print what strangers wrote raw, and in many lines.
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
_OURS = ("commands", "consumer", "cutstream", "producer")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _KNOWN and value is not None}


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return printable(json.dumps(event, default=str))


class TextLines(logging.Formatter):
    """For a person at a terminal. A stack trace follows its line, further in."""

    def format(self, record: logging.LogRecord) -> str:
        level = f" {record.levelname}:" if record.levelno >= logging.WARNING else ""
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        line = f"{datetime.fromtimestamp(record.created):%H:%M:%S.%f}"[:-3] + f"{level} {record.getMessage()}{fields}"
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        return printable("\n    ".join((line.replace("\n", "\\n"), *trace.splitlines())))


def configure(level: str = "INFO") -> None:
    """Set up the log of this process. Of other packages it holds warnings and errors only, Python's own included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextLines() if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    fold_client_log()
    sys.excepthook = _log_end
    threading.excepthook = _log_end_of_thread


def _log_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("unexpected error, the process ends: %s: %s", kind.__name__, error, exc_info=(kind, error, trace))


def _log_end_of_thread(args: threading.ExceptHookArgs) -> None:
    kind, error, name = args.exc_type, args.exc_value or args.exc_type(), args.thread.name if args.thread else ""
    trace = args.exc_traceback
    log.critical("unexpected error, thread %s ends: %s: %s", name, kind.__name__, error, exc_info=(kind, error, trace))
