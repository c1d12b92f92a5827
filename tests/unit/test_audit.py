"""`make audit` with a small program in place of pip-audit: nothing that was not looked up counts as free of faults."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[2] / ".ci" / "audit"
GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "status", "words"),
    [
        ([GOOD], 0, "1 packages looked up, 0 vulnerabilities; not in the database: none"),
        ([GOOD, UNKNOWN], 0, "1 packages looked up, 0 vulnerabilities; not in the database: unknown"),
        ([GOOD, BAD], 1, "bad 2: CVE-1, fixed in 3"),
        ([UNKNOWN, UNKNOWN], 3, "skipped: no database of vulnerabilities answers"),
        (None, 3, "skipped: no database of vulnerabilities answers"),
    ],
)
def test_audit(tmp_path: Path, packages: list[dict[str, object]] | None, status: int, words: str) -> None:
    program = tmp_path / "pip-audit"
    answer = "Traceback" if packages is None else json.dumps({"dependencies": packages})
    program.write_text(f"#!{sys.executable}\nprint({answer!r})\n")
    program.chmod(0o755)
    done = subprocess.run([sys.executable, AUDIT, program, "lock.txt"], capture_output=True, text=True)
    assert (done.returncode, words in done.stdout) == (status, True), done.stdout
