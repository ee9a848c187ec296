"""What the runner and its agents use of the machine: processors, memory, threads, files.

A thread of its own reads it every few seconds; OpenTelemetry's callbacks only look at the last sample, so that no
export waits for `/proc`. Two roles: `runner`, one process, and `agent`, all processes below it together.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import psutil
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.util.types import AttributeValue

from ralph_otel.catalog import RESOURCES, ROLE, Kind
from ralph_otel.events import ResourceSampled
from ralph_otel.signals.process_tree import (
    AGENT,
    RUNNER,
    CpuRound,
    Process,
    cores_in_use,
    find,
    machine_times,
    machine_utilization,
    probe,
    read_below,
    read_runner,
)

_SHORTEST = 0.1
"""Seconds that must lie between two CPU times to compare them: they tick every 0.01 s."""
_FIRST = 1.0
"""Seconds from the start to the first sample with CPU values."""

Number = int | float


@dataclass(frozen=True)
class Usage:
    """What one role uses. None: not known yet, or not on this platform, or not to this user."""

    role: str
    processes: int
    """Living processes, so no zombies."""
    cpu: float | None = None
    """Processor cores in use since the sample before: 0 to the number of cores."""
    cpu_utilization: float | None = None
    """The same as a fraction of all cores, 0 to 1."""
    memory: int | None = None
    """Resident bytes; a page that several processes share counts in each."""
    threads: int | None = None
    file_descriptors: int | None = None
    """Open file descriptors; of the runner only."""


@dataclass(frozen=True)
class Sample:
    """One look at everything. None: as in `Usage`."""

    usages: tuple[Usage, ...]
    """The runner's and the agents', in this order; empty once the runner has ended."""
    cpu_utilization: float | None
    """The machine's processors in use since the sample before, 0 to 1."""
    memory_utilization: float | None
    """The machine's memory in use, 0 to 1."""
    load_average: float | None
    """Runnable threads of the machine, mean over the last minute."""


class ResourceSampler:
    """Samples the runner, its agents and the machine; on a thread of its own once started.

    `last` is the newest sample, None before the first. The first has no CPU values, since they need two; after
    `start()` the second follows within a second.

    Args:
        runner_pid: the runner's process id; None: this process. Where it is another one, this process and those below
            it never count as agents.
        interval: seconds between two samples, at least 0.1.
    """

    def __init__(self, runner_pid: int | None = None, interval: float = 10.0) -> None:
        self.interval = max(interval, _SHORTEST)
        self.last: Sample | None = None
        self._runner = find(runner_pid)
        self._cores = psutil.cpu_count() or 1
        self._lock = threading.Lock()
        self._earlier: CpuRound | None = None
        self._latest: CpuRound | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sample, the first time at once. Does nothing while it runs."""
        if self._thread is None or self._stopped.is_set() or not self._thread.is_alive():
            self._stopped = threading.Event()
            run = threading.Thread(target=self._run, args=(self._stopped,), name="ralph-otel-resources", daemon=True)
            self._thread = run
            run.start()

    def stop(self) -> None:
        """End the thread; `last` stays."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=1)

    def sample(self) -> Sample:
        """Take one sample now, on the caller's thread. Raises nothing."""
        with self._lock:
            at = time.monotonic()
            runner = read_runner(self._runner)
            agents = read_below(runner.ident) if runner else []
            times = {process.ident: process.cpu for process in (runner, *agents) if process and process.cpu}
            now = CpuRound(at, self._runner, times, probe(machine_times))
            if self._latest is None or at - self._latest.at >= _SHORTEST:
                self._earlier, self._latest = self._latest, now
            cpu = cores_in_use(self._earlier, now, self._cores)
            self.last = Sample(
                usages=self._usages(runner, agents, cpu) if runner else (),
                cpu_utilization=machine_utilization(self._earlier, now),
                memory_utilization=probe(lambda: psutil.virtual_memory().percent / 100),
                load_average=probe(lambda: os.getloadavg()[0]),
            )
            return self.last

    def events(self) -> list[ResourceSampled]:
        """The last sample for the journal: an event for each role whose CPU and memory are known."""
        return [
            ResourceSampled(usage.role, usage.cpu, usage.memory, usage.processes)
            for usage in (self.last.usages if self.last else ())
            if usage.cpu is not None and usage.memory is not None
        ]

    def _run(self, stopped: threading.Event) -> None:
        self.sample()
        delay = min(_FIRST, self.interval)
        while not stopped.wait(delay):
            self.sample()
            delay = self.interval

    def _usages(self, runner: Process, agents: list[Process], cpu: Mapping[str, float]) -> tuple[Usage, Usage]:
        living = [process for process in agents if process.alive]
        if living and all(process.cpu is None for process in living):
            cpu = {role: value for role, value in cpu.items() if role != AGENT}
        share = {role: value / self._cores for role, value in cpu.items()}
        files = probe(lambda: runner.ident.num_fds())
        return (
            Usage(RUNNER, 1, cpu.get(RUNNER), share.get(RUNNER), runner.memory, runner.threads, files),
            Usage(
                role=AGENT,
                processes=len(living),
                cpu=cpu.get(AGENT),
                cpu_utilization=share.get(AGENT),
                memory=_sum([process.memory for process in living]),
                threads=_sum([process.threads for process in living]),
            ),
        )


def _sum(values: Sequence[int | None]) -> int | None:
    """The sum of the known values; None if there are values and none is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known or not values else None


Attributes = Callable[[], Mapping[str, AttributeValue] | None]
Values = Callable[[Sample], list[tuple[Number, str | None]]]
"""The known values of a metric in a sample, each with its role; the machine's have none."""


def _by_role(value: Callable[[Usage], Number | None]) -> Values:
    return lambda sample: [(known, usage.role) for usage in sample.usages if (known := value(usage)) is not None]


def _of_machine(value: Callable[[Sample], Number | None]) -> Values:
    return lambda sample: [(known, None)] if (known := value(sample)) is not None else []


VALUES: dict[str, Values] = {
    "process.cpu.utilization": _by_role(lambda usage: usage.cpu_utilization),
    "process.memory.usage": _by_role(lambda usage: usage.memory),
    "process.thread.count": _by_role(lambda usage: usage.threads),
    "process.unix.file_descriptor.count": _by_role(lambda usage: usage.file_descriptors),
    "ralph.process.count": _by_role(lambda usage: usage.processes),
    "system.cpu.utilization": _of_machine(lambda sample: sample.cpu_utilization),
    "system.memory.utilization": _of_machine(lambda sample: sample.memory_utilization),
    "system.cpu.load_average.1m": _of_machine(lambda sample: sample.load_average),
}
"""Where each row of `catalog.RESOURCES` has its values from."""


def observe(meter: Meter, sampler: ResourceSampler, attributes: Attributes) -> None:
    """Create an instrument for each metric, which shows the sampler's last sample.

    Args:
        attributes: gives the attributes that every value carries, asked anew at each collection; None: there are none
            yet, and nothing is shown, for a value without them would be a series of its own.
    """
    create = {
        Kind.OBSERVABLE_GAUGE: meter.create_observable_gauge,
        Kind.OBSERVABLE_UPDOWN: meter.create_observable_up_down_counter,
    }
    for metric in RESOURCES:
        callback = _callback(VALUES[metric.name], sampler, attributes)
        create[metric.kind](metric.name, [callback], metric.unit, metric.description)


def _callback(
    values: Values, sampler: ResourceSampler, attributes: Attributes
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observations(_: CallbackOptions) -> list[Observation]:
        common = attributes()
        if sampler.last is None or common is None:
            return []
        return [
            Observation(value, {**common, ROLE.name: role} if role else common) for value, role in values(sampler.last)
        ]

    return observations
