"""What a tier takes is measured of its processes, also of those that are started anew."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psutil
from benchmarks.fleet.usage import Meter

from support.waiting import until

BUSY = "while True: pass"
IDLE = "import time; block = b'x' * 50_000_000; print(flush=True); time.sleep(600)"


@contextmanager
def program(text: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def used(process: subprocess.Popen[bytes]) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


def test_processor_time_counts_from_the_first_look_on_and_over_restarts() -> None:
    meter = Meter()
    with program(BUSY) as first, program(BUSY) as second:
        until(lambda: used(first) > 0.3)
        running = [first]
        meter.watch("busy", lambda: running[0].pid)
        before = used(first)
        meter.look()
        began = used(first)
        until(lambda: used(first) > began + 0.3)
        meter.look(began=True)
        measured = used(first) - before
        running[0] = second
        until(lambda: used(second) > 0.3)
        meter.start()
        usage = meter.stop()["busy"]
        most = measured + used(second)
    assert 0.5 < usage.cpu <= most + 0.05
    assert usage.processes == 1


def test_memory_is_that_of_all_processes_of_a_tier_together() -> None:
    meter = Meter()
    with program(IDLE) as one, program(IDLE) as other:
        for process in (one, other):
            assert process.stdout is not None
            process.stdout.readline()
            meter.watch("idle", partial(int, process.pid))
        meter.start()
        usage = meter.stop()["idle"]
    assert usage.memory > 100_000_000
    assert usage.processes == 2
