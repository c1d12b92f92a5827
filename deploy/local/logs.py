"""What the log of a server says about its end."""

from __future__ import annotations

import json
import re
from collections import deque
from pathlib import Path

LINES, LINES_SEARCHED, LINE_LENGTH = 5, 200, 160
TELLING = re.compile(r"error|exception|fatal|fail|cannot|killed|terminat|^E\d{4}", re.IGNORECASE)


def last_words(log: Path) -> list[str]:
    """Return the last few lines of a log that tell of an error, or its last line if none does.

    Of lines in JSON, it returns the event alone. Long lines are cut.
    """
    try:
        with log.open(errors="replace") as lines:
            tail = [line for raw in deque(lines, maxlen=LINES_SEARCHED) if (line := raw.strip())]
    except OSError as exc:
        return [f"{log} cannot be read: {exc.strerror}"]
    telling = [line for line in tail if TELLING.search(line)] or tail[-1:]
    return [_readable(line)[:LINE_LENGTH] for line in telling[-LINES:]]


def _readable(line: str) -> str:
    try:
        event = json.loads(line)
        return f"{event['level']}: {event['event']}"
    except (ValueError, KeyError, TypeError):
        return line
