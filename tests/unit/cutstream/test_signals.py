from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# At once in the end: while Python takes itself down, a signal that comes late has its default action again.
PROGRAM = """
import os, threading
from cutstream.signals import on_termination
stop = threading.Event()
on_termination(stop.set)
print("ready", flush=True)
while not stop.wait(0.01):
    pass
print("stopped", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("bursts", [1, 50])
def test_a_process_stops_however_often_it_is_told_to(bursts: int) -> None:
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            for _ in range(bursts):
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGINT)
            try:
                output, _ = process.communicate(timeout=20)
            finally:
                process.kill()
        assert (output, process.returncode) == ("stopped\n", 0)


LEAVING = """
import sys, time
from cutstream.signals import exit_on_termination
exit_on_termination()
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    print("closing", flush=True)
    sys.stdin.readline()
    print("closed", flush=True)
"""


def test_sigterm_ends_a_program_as_an_exception_does() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LEAVING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "closing\n"
        process.send_signal(signal.SIGTERM)  # an impatient second one
        try:
            output, _ = process.communicate("\n", timeout=20)
        finally:
            process.kill()
    assert (output, process.returncode) == ("closed\n", 143)
