from __future__ import annotations

import sys

import consumer
from benchmarks.machine import role_of
from consumer.resources.decoding.decoder import COMMAND


def test_worker_and_decoders_are_recognised_by_their_command_lines() -> None:
    assert role_of(consumer.COMMAND) == "worker"
    assert role_of([*COMMAND, "3", "4"]) == "decoders"


def test_other_processes_have_no_role() -> None:
    assert role_of([sys.executable, "-m", "benchmarks.throughput"]) is None
    assert role_of([]) is None
