"""What the runners on this machine and their agents use of it, asked of the machine itself."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

import psutil

from ralph_otel.signals.process_tree import AGENT, RUNNER, CpuRound, cores_in_use, find, read_below, read_runner
from ralph_otel.tracecontext import host_name
from ralph_otel.views.live_run import LiveRun

_OFTEN, _SELDOM = 2.0, 10.0
"""Seconds between two looks at the run that is shown in detail, and at any other one."""
_AT_ONCE = 2
"""Runs that are looked at in one call, at most, besides that in detail."""


class Usage(NamedTuple):
    """Processor cores in use, resident bytes, living agent processes. None: not known (yet)."""

    runner_cpu: float | None
    runner_memory: int | None
    agents_cpu: float | None
    agents_memory: int | None
    processes: int

    @property
    def cpu(self) -> float | None:
        """Cores that all use together."""
        known = [cpu for cpu in (self.runner_cpu, self.agents_cpu) if cpu is not None]
        return sum(known) if known else None

    @property
    def memory(self) -> int | None:
        """Bytes that all use together."""
        known = [memory for memory in (self.runner_memory, self.agents_memory) if memory is not None]
        return sum(known) if known else None


class Meter:
    """Looks at one runner and the processes below it.

    Args:
        pid: the runner's process id.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.sampled = 0.0
        """When it was looked at last, in monotonic seconds."""
        self.usage: Usage | None = None
        """What was seen; None before the first look, and when the runner is gone."""
        self.looks = 0
        self._runner = find(pid)
        self._before: CpuRound | None = None
        self._cores = psutil.cpu_count() or 1

    def sample(self) -> None:
        """Look now. Raises nothing."""
        self.sampled = at = time.monotonic()
        self.looks += 1
        runner = read_runner(self._runner)
        if runner is None:
            self.usage = None
            return
        agents = read_below(runner.ident)
        times = {process.ident: process.cpu for process in (runner, *agents) if process.cpu is not None}
        now = CpuRound(at, self._runner, times)
        cpu = cores_in_use(self._before, now, self._cores)
        self._before = now
        living = [agent for agent in agents if agent.alive]
        memory = sum(agent.memory or 0 for agent in living)
        self.usage = Usage(cpu.get(RUNNER), runner.memory, cpu.get(AGENT), memory, len(living))


class Meters:
    """The meters of all runs that are under way on this machine; a few of them read at each call."""

    def __init__(self) -> None:
        self._host = host_name()
        self._meters: dict[str, Meter] = {}

    def look(self, runs: Iterable[LiveRun], chosen: str | None = None) -> dict[str, Usage]:
        """Look at the runs whose turn it is.

        Args:
            runs: those that are under way.
            chosen: the key of the one that is shown in detail.

        Returns:
            What is known of each, by key.
        """
        here = {run.key: run.state.pid for run in runs if run.state.pid is not None and run.state.host == self._host}
        kept = {key: self._meters.get(key) for key in here}
        self._meters = {
            key: meter if (meter := kept[key]) is not None and meter.pid == pid else Meter(pid)
            for key, pid in here.items()
        }
        now = time.monotonic()
        waiting = {key: now - meter.sampled for key, meter in self._meters.items()}
        due = [key for key, meter in self._meters.items() if waiting[key] >= (_OFTEN if meter.looks < 2 else _SELDOM)]
        turns = set(sorted(due, key=lambda key: -waiting[key])[:_AT_ONCE])
        if chosen is not None and waiting.get(chosen, 0.0) >= _OFTEN:
            turns.add(chosen)
        for key in turns:
            self._meters[key].sample()
        return {key: meter.usage for key, meter in self._meters.items() if meter.usage is not None}
