"""Structured logs: one JSON line per event on standard error, with the request's id if there is one."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

from cutstream.clients.kafka import fold_client_log
from cutstream.printable import printable

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
