"""`python -m benchmarks.soak.emitter long|short ACCOUNTS SEED ITERATIONS SECONDS`: a process with loops in it.

`long` runs loops one after another, two more beside them, until so many iterations are done or `most` seconds have
passed; says so, and waits for a line on stdin before it sends the rest, and for another before it ends. `short` runs
one loop until it is killed or told to end, or so many iterations are done.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import ralph_otel
from benchmarks.soak.figures import COST_UNIT, Account, Turn
from ralph_otel import MetricsCollector
from ralph_otel.probe import Loop, Session

LANES = 3
"""Loops of the long-lived process that run at the same time."""
_NIGHT = (300, 3000)
"""The fewest and the most iterations of a loop."""
_SESSION = 100
"""Iterations of a session."""
_NAMES = 8
"""Different names of loops: a name is on every metric."""
_AHEAD = 0.05
"""Seconds ahead of the pace from which on a pause is worth it."""


@dataclass
class Pace:
    """How many iterations are to be done, and how fast.

    Args:
        iterations: in all.
        seconds: in which they are to be done, evenly.
        most: seconds after which it is over, however many are missing.
    """

    iterations: int
    seconds: float
    most: float
    _given: int = 0
    _began: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, wanted: int) -> int:
        """Iterations for another loop; 0 where all are given out."""
        with self._lock:
            given = min(wanted, self.iterations - self._given)
            self._given += given
            return given if not self.over else 0

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() - self._began > self.most

    def wait(self, done: int, share: float) -> None:
        """Let time pass, where `done` iterations are more than this share of all should have by now."""
        ahead = done / (self.iterations * share) * self.seconds - (time.monotonic() - self._began)
        if ahead > _AHEAD:
            time.sleep(ahead)


def iterate(loop: Loop | Session, turn: Turn) -> None:
    """One iteration, as drawn."""
    with loop.iteration() as iteration:
        iteration.usage("model-a", *turn.tokens, cost_usd=turn.cost / COST_UNIT)
        if turn.tests is not None:
            iteration.tests(10 if turn.tests else 9, 0 if turn.tests else 1)
        if turn.outcome != "success":
            iteration.fail(turn.outcome if turn.outcome != "failure" else "ValueError")


class Lane:
    """Loops one after another.

    Args:
        collector: the process's.
        accounts: the folder for the loops' own accounts.
        dice: decides what happens.
        pace: how long and how fast.
        share: of all iterations, those that this lane should do.
    """

    def __init__(
        self, collector: MetricsCollector, accounts: Path, dice: random.Random, pace: Pace, share: float
    ) -> None:
        self._collector, self._accounts, self._dice, self._pace, self._share = collector, accounts, dice, pace, share
        self.done = 0

    def run(self) -> None:
        """Run loops until all iterations are given out."""
        low, high = _NIGHT
        while iterations := self._pace.take(round(low * (high / low) ** self._dice.random())):
            self.loop(iterations)

    def loop(self, iterations: int) -> None:
        """Run one loop."""
        loop = self._collector.loop(f"night-{self._dice.randrange(_NAMES)}", max_iterations=iterations, runner="soak")
        account = Account(self._accounts / self._collector.instance_id / loop.run_id)
        with loop:
            for start in range(0, iterations, _SESSION):
                with loop.session() as session:
                    for _ in range(min(_SESSION, iterations - start)):
                        turn = Turn.drawn(self._dice)
                        account.begin(turn)
                        iterate(session, turn)
                        account.end()
                        self.done += 1
                        self._pace.wait(self.done, self._share)
                if self._pace.over:
                    loop.stop("max_duration")
                    break
        account.close()


def long(accounts: Path, seed: str, pace: Pace) -> None:
    """The process that lives on."""
    collector = ralph_otel.register()
    collector.wait_ready(60.0)
    lanes = [Lane(collector, accounts, random.Random(f"{seed}/{n}"), pace, 1 / LANES) for n in range(LANES)]
    _say(instance=collector.instance_id, prometheus=collector.prometheus_url)
    threads = [threading.Thread(target=lane.run, name=f"lane-{n}") for n, lane in enumerate(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _say(written=sum(lane.done for lane in lanes))
    sys.stdin.readline()
    began = time.monotonic()
    while not collector.flush_events(60.0):
        pass
    behind = time.monotonic() - began
    collector.flush(60.0)
    metrics = collector.get_metrics()
    rollup = metrics.rollups["all"]
    _say(behind=behind, iterations=metrics.total_iterations, tokens=rollup.tokens, cost=rollup.cost * COST_UNIT)
    sys.stdin.readline()
    collector.shutdown()


def short(accounts: Path, seed: str, pace: Pace) -> None:
    """The process that is ended; SIGTERM ends it as it would a program that cleans up after itself."""
    signal.signal(signal.SIGTERM, _end)
    lane = Lane(ralph_otel.register(), accounts, random.Random(seed), pace, 1.0)
    lane.loop(pace.iterations)


def _end(signum: int, frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def main(kind: str, accounts: str, seed: str, iterations: str, seconds: str, most: str) -> None:
    """Run one of the two kinds. Arguments as the module says; the last are seconds."""
    pace = Pace(int(iterations), float(seconds), float(most))
    {"long": long, "short": short}[kind](Path(accounts), seed, pace)


if __name__ == "__main__":
    main(*sys.argv[1:])
