"""One run of the fleet: start the tiers, let the loops run and things go wrong, wait, compare."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from stack.backends import Collector

from benchmarks.fleet import tiers as programs
from benchmarks.fleet.arrival import CHUNK, Arrival, compare, events_held, resets
from benchmarks.fleet.incidents import INCIDENTS
from benchmarks.fleet.recording import Loops, record
from benchmarks.fleet.story import Story
from benchmarks.fleet.tiers import Tiers, count
from benchmarks.fleet.usage import Meter, Usage
from benchmarks.fleet.writing import write

_MOST = 50
"""Loops whose recorders share a process, at the most."""
_SHORTEST, _LONGEST = 0.7, 0.95
"""How long a loop runs, as a part of the time that the fleet runs."""
_ARRIVE = 120.0
"""Seconds that the last figures have to arrive."""
_LOOK = 0.5
_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Args:
        loops: how many.
        seconds: how long the fleet runs.
        told: how many seconds of the loops' stories that is.
        interval: seconds between two exports of a loop.
        road: one of `tiers.ROADS`.
        seed: decides what happens in the loops.
    """

    loops: int
    seconds: float = 180.0
    told: float = 3600.0
    interval: float = 10.0
    road: str = "otlp"
    seed: int = 1


@dataclass
class Result:
    """What a run found.

    Args:
        plan: what was run.
        arrival: whether everything has arrived.
        events: lines of all journals.
        accepted: data points that the agents took.
        samples: samples that Prometheus stored.
        head_series: series that Prometheus has in memory, its own included.
        recorder_base: resident bytes of a recording process before its first loop.
        took: seconds from the first event until the last figure had arrived.
        tiers: by name, what each took.
        happened: what went wrong meanwhile.
    """

    plan: Plan
    arrival: Arrival = field(default_factory=Arrival)
    events: int = 0
    accepted: float = 0.0
    samples: float = 0.0
    head_series: float = 0.0
    recorder_base: int = 0
    took: float = 0.0
    tiers: dict[str, Usage] = field(default_factory=dict)
    happened: list[str] = field(default_factory=list)


def run(plan: Plan, folder: Path) -> Result:
    """Run a fleet.

    Raises:
        StackError: a program of the stack cannot be had or does not start.
        RuntimeError: a process of the fleet failed, or the figures did not arrive in time.
    """
    result = Result(plan)
    stories = _stories(plan)
    journals = [folder / "runs" / f"{story.run_id}.jsonl" for story in stories]
    with ExitStack() as stack:
        running = programs.start(folder / "tiers", stack, plan.road)
        recorders = _start_recorders(plan, running, journals, folder, stack)
        result.recorder_base = max(base for _, base in recorders)
        meter = _metered(running, [process for (process, _), _ in recorders])
        begin = time.monotonic()
        loops = stack.enter_context(_process(write, stories, folder / "runs", plan.told / plan.seconds))
        _let_happen(running, plan, begin, result)
        loops.join(2 * plan.seconds)
        if loops.exitcode != 0:
            raise RuntimeError(f"the process of the loops has not come to its end, code {loops.exitcode}")
        for (process, connection), _ in recorders:
            result.events += _told(process, connection, 3 * plan.seconds + _ARRIVE)
        _await_events(running, result.events)
        result.took = time.monotonic() - begin
        result.tiers = meter.stop()
        _count(running, result)
        result.arrival = _compare(running, journals)
    return result


def _stories(plan: Plan) -> list[Story]:
    """Loops that begin one after another, and end between 70 % of the time and its end."""
    dice, begin = random.Random(plan.seed), time.time_ns() - round(plan.told * 1e9)
    stories = []
    for number in range(plan.loops):
        late = dice.uniform(0.0, 1 - _LONGEST)
        ends = dice.uniform(_SHORTEST, _LONGEST)
        start = begin + round(late * plan.told * 1e9)
        stories.append(Story(f"fleet-{plan.seed}-{number:05}", dice.getrandbits(32), start, (ends - late) * plan.told))
    return stories


# -- its processes -----------------------------------------------------------------------------------------------------

_Recorder = tuple[SpawnProcess, Connection]


@contextmanager
def _process(target: Any, *arguments: Any) -> Iterator[SpawnProcess]:
    process = _spawn.Process(target=target, args=arguments, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _start_recorders(
    plan: Plan, running: Tiers, journals: Sequence[Path], folder: Path, stack: ExitStack
) -> list[tuple[_Recorder, int]]:
    """Start processes that record all loops, each for one agent. Returns each with its resident bytes before that."""
    agents = len(running.agents)
    processes = agents * -(-plan.loops // (agents * _MOST))
    started: list[_Recorder] = []
    for number in range(min(processes, plan.loops)):
        share = Loops(
            tuple(journals[number::processes]), running.agents[number % agents].otlp, folder / "home", plan.interval
        )
        ours, theirs = _spawn.Pipe()
        started.append((stack.enter_context(_process(record, share, theirs)), ours))
    bases = [_told(*recorder, 120) for recorder in started]
    for recorder in started:
        _told(*recorder, 120 + plan.interval)
    return list(zip(started, bases, strict=True))


def _told(process: SpawnProcess, connection: Connection, seconds: float) -> int:
    """The next number that a process says."""
    deadline = time.monotonic() + seconds
    while not connection.poll(_LOOK):
        if not process.is_alive() and not connection.poll():
            raise RuntimeError(f"a recording process ended, code {process.exitcode}; what it said is above")
        if time.monotonic() > deadline:
            raise RuntimeError(f"a recording process has said nothing for {seconds:.0f} s")
    number: int = connection.recv()
    return number


def _metered(running: Tiers, recorders: Sequence[SpawnProcess]) -> Meter:
    meter = Meter()
    for process in recorders:
        meter.watch("recorders", partial(int, process.pid or 0))
    for tier, members in (
        ("agents", running.agents),
        ("gateway", (running.gateway,)),
        ("Prometheus", (running.prometheus,)),
    ):
        for member in members:
            meter.watch(tier, partial(getattr, member, "pid"))
    meter.look()
    meter.start()
    return meter


# -- what happens, and what comes of it --------------------------------------------------------------------------------


def _let_happen(running: Tiers, plan: Plan, begin: float, result: Result) -> None:
    def before(collector: Collector) -> None:
        if collector in running.agents:
            result.accepted += _accepted(collector)

    for incident in INCIDENTS:
        time.sleep(max(0.0, begin + incident.at * plan.seconds - time.monotonic()))
        incident.happen(running, plan.seconds, before)
        result.happened.append(f"{incident.what}, for {incident.down * plan.seconds:.0f} s")


def _accepted(agent: Collector) -> float:
    return count(agent.telemetry, "otelcol_receiver_accepted_metric_points")


def _await_events(running: Tiers, events: int) -> None:
    """Wait until Prometheus has the last word of every loop; what is missing then the comparison will show."""
    deadline = time.monotonic() + _ARRIVE
    while events_held(running.client) < events and time.monotonic() < deadline:
        time.sleep(_LOOK)


def _count(running: Tiers, result: Result) -> None:
    result.accepted += sum(_accepted(agent) for agent in running.agents)
    own = running.prometheus.url.removeprefix("http://")
    result.samples = count(own, "prometheus_tsdb_head_samples_appended")
    result.head_series = count(own, "prometheus_tsdb_head_series")


def _compare(running: Tiers, journals: Sequence[Path]) -> Arrival:
    arrival = Arrival(resets=resets(running.client))
    chunks = [journals[start : start + CHUNK] for start in range(0, len(journals), CHUNK)]
    with ProcessPoolExecutor(2, mp_context=_spawn) as pool:
        for part in pool.map(partial(compare, running.prometheus.url), chunks):
            arrival.absorb(part)
    return arrival
