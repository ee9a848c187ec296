"""What each tier takes: processor time and resident memory of its processes."""

from __future__ import annotations

import contextlib
import statistics
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import psutil

_TICK = 1.0


@dataclass(frozen=True)
class Usage:
    """What a tier took.

    Args:
        cpu: seconds of processor time, of all its processes.
        memory: resident bytes of all its processes together, the most at a time.
        usual_memory: the same, the median over time.
        processes: how many there were at a time.
    """

    cpu: float
    memory: int
    usual_memory: int
    processes: int


class Meter(threading.Thread):
    """Looks at processes once a second, until `stop`.

    A process that is killed takes up to a second's figures with it.
    """

    def __init__(self) -> None:
        super().__init__(name="meter", daemon=True)
        self._pids: dict[str, list[Callable[[], int]]] = defaultdict(list)
        self._first: dict[tuple[str, int], float] = {}
        self._last: dict[tuple[str, int], float] = {}
        self._memory: dict[str, list[int]] = defaultdict(list)
        self._done = threading.Event()

    def watch(self, tier: str, pid: Callable[[], int]) -> None:
        """Count a process to a tier; its id is asked for each time, for it may be started anew."""
        self._pids[tier].append(pid)

    def run(self) -> None:
        """Look, and look again."""
        while not self._done.wait(_TICK):
            self.look(began=True)

    def look(self, began: bool = False) -> None:
        """Look once; what a process has taken before the first look does not count unless it `began` since."""
        for tier, pids in self._pids.items():
            found = [self._look_at(tier, pid(), began) for pid in pids]
            if all(found):
                self._memory[tier].append(sum(found))

    def _look_at(self, tier: str, pid: int, began: bool) -> int:
        """Resident bytes; 0 where it is gone."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            with process.oneshot():
                times, memory = process.cpu_times(), process.memory_info()
                if process.status() != psutil.STATUS_ZOMBIE:
                    self._first.setdefault((tier, pid), 0.0 if began else times.user + times.system)
                    self._last[tier, pid] = times.user + times.system
                    return memory.rss
        return 0

    def stop(self) -> dict[str, Usage]:
        """Look a last time. Returns the tiers."""
        self._done.set()
        self.join()
        self.look(began=True)
        return {tier: self._usage(tier) for tier in self._pids}

    def _usage(self, tier: str) -> Usage:
        cpu = sum(last - self._first[key] for key, last in self._last.items() if key[0] == tier)
        memory = self._memory[tier] or [0]
        return Usage(cpu, max(memory), round(statistics.median(memory)), len(self._pids[tier]))
