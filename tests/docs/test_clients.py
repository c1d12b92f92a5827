"""The page on Kafka clients lists what the test of foreign clients writes, no more and no less."""

from __future__ import annotations

from docs.generate.documents import FOLDER
from tests.support.examples import OVER_HTTP, OVER_KAFKA, examples
from tests.support.foreign_clients import log_forms
from tests.support.foreign_clients.rows import CLIENTS, OK, UNANSWERED
from tests.support.foreign_clients.table import forms, table

PAGE = (FOLDER / "clients.md").read_text(encoding="utf-8")
SHOWN = {OK: "`ok`", UNANSWERED: "none"}


def test_the_table_of_records_is_that_of_the_test() -> None:
    lines = [f"| record | {' | '.join(CLIENTS)} | result |", f"|{' --- |' * (len(CLIENTS) + 2)}"]
    for form, answers in forms(table()).items():
        written = ["yes" if client in answers else "–" for client in CLIENTS]
        (answer,) = set(answers.values())
        lines.append(f"| {' | '.join((form, *written, SHOWN.get(answer, f'`{answer}`')))} |")
    assert "\n".join(lines) in PAGE


def test_the_page_names_every_form_of_a_log() -> None:
    assert [form for form in log_forms.FORMS if form not in PAGE] == []


def test_every_example_of_another_language_is_run_by_a_test() -> None:
    run = {*OVER_HTTP.values(), *(name for names in OVER_KAFKA.values() for name in names)}
    assert {name for name in examples() if "." in name} == run
