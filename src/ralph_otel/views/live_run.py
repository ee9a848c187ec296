"""One run that is followed: where it stands, how it came there, and who is at work in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from ralph_otel.events import Line
from ralph_otel.model import LoopMetrics
from ralph_otel.state import RunState
from ralph_otel.views.history import History
from ralph_otel.views.parts import Parts

SILENT = 24 * 3600.0
"""Seconds without an event after which a run that nobody vouches for is no longer called running."""
_MOST_AGENTS = 1_000
_SHIFT = 5_000_000_000
"""Nanoseconds after which the windows of a run are reckoned anew though nothing has happened."""

RUNNING, PAUSED, STOPPED, DEAD, NO_END = "running", "paused", "stopped", "dead", "no end"


def status_of(state: RunState, dead: bool, now: int) -> str:
    """How a run stands: `running`, `paused`, `stopped`, `dead` (its process is gone), or `no end` (nobody knows).

    Args:
        state: the run's.
        dead: what `ralph_otel.processes.gone` says of it.
        now: Unix nanoseconds.
    """
    if state.stopped is not None:
        return STOPPED
    if dead:
        return DEAD
    if state.pid is None and now - state.last > SILENT * 1e9:
        return NO_END
    return PAUSED if state.paused_at is not None else RUNNING


class Agent(NamedTuple):
    """An agent that is at work."""

    name: str
    model: str | None
    pid: int | None
    started: int
    """Unix nanoseconds."""


class Used(NamedTuple):
    """What a role uses of the machine, as the journal says."""

    ts: int
    """Unix nanoseconds."""
    cpu: float
    """Processor cores."""
    memory: int
    """Bytes."""
    processes: int


@dataclass(eq=False)
class LiveRun:
    """One run, as far as its journal has been read.

    Attributes:
        key: what it goes by among all runs; its run id, unless two files say the same.
        journal: the file.
        state: where it stands.
        history: how it came there.
        agents: the agents at work, by span or name.
        tool: the last tool that was used in the iteration that runs, and when.
        used: what the runner and its agents use, by role, if the journal says it.
        dead: whether its process is gone though the journal has no end.
        parts: what was in its iterations, where that is wanted.
        version: grows with everything that changes.
    """

    key: str
    journal: Path
    state: RunState
    history: History
    agents: dict[str, Agent] = field(default_factory=dict)
    tool: tuple[str, int] | None = None
    used: dict[str, Used] = field(default_factory=dict)
    dead: bool = False
    parts: Parts | None = None
    version: int = 0
    _metrics: tuple[int, int, LoopMetrics] | None = field(default=None, repr=False)

    def status(self, now: int) -> str:
        """See `status_of`."""
        return status_of(self.state, self.dead, now)

    def going(self, now: int) -> bool:
        """Whether it is under way: running or paused."""
        return self.status(now) in (RUNNING, PAUSED)

    def end(self, now: int) -> int:
        """Up to when it is reckoned: now while it is under way, else its last event."""
        return now if self.going(now) else self.state.last

    def metrics(self, now: int) -> LoopMetrics:
        """The aggregate at a time; of a run that is not under way, at its last event.

        Where nothing has happened, the rollups' windows may be some seconds old.
        """
        end = self.end(now)
        if self._metrics is None or self._metrics[0] != self.version or end - self._metrics[1] > _SHIFT:
            self._metrics = self.version, end, self.state.metrics(end)
        return replace(self._metrics[2], total_execution_time=self.state.execution_time(end))

    def record(self, line: Line) -> None:
        """Note what neither state nor history keeps. The line is completed and says something new."""
        iteration = self.history.record(line)
        if self.parts is not None:
            self.parts.record(line, iteration)
        self.version += 1
        self.dead = False
        note = _NOTES.get(line["type"])
        if note is not None:
            note(self, line)

    def _tool_called(self, line: Line) -> None:
        self.tool = line["tool"], line["ts"]

    def _agent_started(self, line: Line) -> None:
        if len(self.agents) >= _MOST_AGENTS:
            del self.agents[next(iter(self.agents))]
        self.agents[_key(line)] = Agent(line["agent"], line.get("model"), line.get("pid"), line["ts"])

    def _agent_finished(self, line: Line) -> None:
        self.agents.pop(_key(line), None)

    def _resource_sampled(self, line: Line) -> None:
        self.used[line["role"]] = Used(line["ts"], line["cpu"], line["memory"], line["processes"])

    def _iteration_started(self, line: Line) -> None:
        self.tool = None

    def _loop_stopped(self, line: Line) -> None:
        self.tool = None
        self.agents.clear()


def _key(line: Line) -> str:
    """What an agent's beginning and its end have in common."""
    key: str = line.get("span_id") or line["agent"]
    return key


_NOTES: dict[str, Callable[[LiveRun, Line], None]] = {
    "tool.called": LiveRun._tool_called,
    "agent.started": LiveRun._agent_started,
    "agent.finished": LiveRun._agent_finished,
    "resource.sampled": LiveRun._resource_sampled,
    "iteration.started": LiveRun._iteration_started,
    "loop.stopped": LiveRun._loop_stopped,
}
