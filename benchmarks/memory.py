"""Whether memory grows with the length of a run.

One loop of a million iterations through the whole of it: handles, journal, recorder, instruments, spans. An iteration
has an agent, usage, context, tests and progress; every hundredth begins with a reboot and a session. By its timestamps
it takes a minute, so that all windows of the rollups move on. The journal is cut whenever it has been read, so that the
disk need not hold gigabytes. Resident memory of a process of its own.
"""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path

import psutil
from opentelemetry._logs import NoOpLoggerProvider

from benchmarks.processes import run
from benchmarks.workload import Providers, folder
from ralph_otel import MetricsConfig
from ralph_otel.events import Line
from ralph_otel.journal import Journal
from ralph_otel.probe import Loop
from ralph_otel.recorder.pipeline import Host
from ralph_otel.recorder.recorder import Recorder

_MINUTE = 60 * 1_000_000_000
_EVENTS = 9
"""Events of an iteration."""
_CHUNK = 500
"""Iterations after which the journal is cut."""
_PROGRAM = "from benchmarks import memory; memory.main({early}, {late})"


class Run:
    """A loop, and a recorder that follows its journal."""

    def __init__(self, home: Path) -> None:
        self._providers = Providers()
        host = Host(self._providers.meters, lambda: self._providers.tracers, NoOpLoggerProvider)
        self._recorder = Recorder(MetricsConfig(home=home, resources=False), "bench", host=host)
        self._journal = Journal(home / "runs" / "bench.jsonl")
        self._clock = count(1_700_000_000 * 1_000_000_000, _MINUTE // _EVENTS)
        self._recorder.follow(self._journal.path)
        self._recorder.start()
        self._loop = Loop("fix-bugs", self._sink, runner="ralphify", run_id="bench", trace_iterations=1000).start()

    def _sink(self, line: Line) -> None:
        line["ts"] = next(self._clock)
        self._journal.append(line)
        self._recorder.wake()

    def iterate(self, until: int) -> None:
        """Go on until so many iterations have been recorded."""
        while self._loop.iterations < until:
            for _ in range(min(_CHUNK, until - self._loop.iterations)):
                self._iterate()
            self._settle()
            os.truncate(self._journal.path, 0)
            self._settle()  # it has seen that the file is cut before the next line comes
        states = self._recorder.states.by_run
        if states["bench"].total_iterations != until:
            raise RuntimeError(f"{until} iterations, {states['bench'].total_iterations} recorded")

    def _iterate(self) -> None:
        number = self._loop.iterations
        if number % 100 == 0:
            self._loop.reboot("redline", 88.0)
            self._session = self._loop.session().start()
        with self._session.iteration() as iteration:
            with iteration.agent("claude", model="claude-opus") as agent:
                agent.usage("claude-opus", 10, 300, 20_000, 120, 0.0123)
                agent.context_usage(number % 100)
            iteration.tests(41, number % 3, results={f"test_{number % 500}": number % 7 > 0})
            iteration.progress(0.4, files_changed=3)
        if number % 100 == 99:
            self._session.finish()

    def _settle(self) -> None:
        if not self._recorder.barrier(600):
            raise RuntimeError("the recorder has not come back")
        self._providers.tracers.force_flush()


def main(early: int, late: int) -> None:
    """Print the resident bytes after `early` and after `late` iterations. The journal is in the current folder."""
    running, memory = Run(Path.cwd()), psutil.Process().memory_info
    running.iterate(early)
    first = memory().rss
    running.iterate(late)
    print(json.dumps([first, memory().rss]), flush=True)
    os._exit(0)


def measure(quick: bool = False) -> dict[str, float]:
    """Run the loop.

    Returns:
        `growth_percent` from the 10,000th iteration to the last, and both in megabytes.
    """
    early, late = (50, 200) if quick else (10_000, 1_000_000)
    with folder() as home:
        program = _PROGRAM.format(early=early, late=late)
        first, last = json.loads(run(program, home, PYTHONPATH=str(Path(__file__).parent.parent)))
    return {"growth_percent": (last / first - 1) * 100, "first_mb": first / 1e6, "last_mb": last / 1e6}
