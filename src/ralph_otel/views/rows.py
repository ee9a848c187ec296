"""What is known of a run as one row: plain values, made from the fold; and their order and filter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ralph_otel.model import LoopMetrics
from ralph_otel.state import RunState
from ralph_otel.state.iterations import OpenIteration
from ralph_otel.views.live_run import STOPPED, LiveRun
from ralph_otel.views.usage import Usage

STRIP = 100
"""Outcomes that a row has at most."""
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Row:
    """One run at one time. None: not known, or not said."""

    run: LiveRun
    now: int
    """Unix nanoseconds."""
    status: str
    """See `ralph_otel.views.live_run.status_of`."""
    metrics: LoopMetrics
    iteration: int | None
    """Number of the iteration that runs, the latest to begin."""
    age: float | None
    """Seconds since it began, less pauses; after the run's end none is running."""
    outcomes: tuple[str | None, ...]
    """Of the last finished iterations, the newest last."""
    context: float | None
    """Percent."""
    cost_per_hour: float
    """US dollars; in the last hour, or in a shorter run since its start."""
    tokens_per_hour: float
    usage: Usage | None

    @property
    def name(self) -> str:
        """The loop's name; as it is in the journal."""
        return self.run.state.name

    @property
    def going(self) -> bool:
        """Whether the run is under way."""
        return self.run.going(self.now)

    @property
    def state(self) -> str:
        """The status; of a run that has stopped, why."""
        return (self.run.state.stop_reason or STOPPED) if self.status == STOPPED else self.status

    @property
    def cost(self) -> float:
        """US dollars."""
        return self.metrics.rollups["all"].cost

    @property
    def tokens(self) -> int:
        """Tokens of all kinds."""
        return self.metrics.rollups["all"].tokens

    @property
    def success_ratio(self) -> float | None:
        """Successful ÷ finished iterations."""
        total = self.metrics.total_iterations
        return self.metrics.successful_iterations / total if total else None

    @property
    def p50(self) -> float | None:
        """Seconds that half of the run's iterations take at most."""
        return self.metrics.rollups["all"].duration_p50 if self.metrics.total_iterations else None

    @property
    def p90(self) -> float | None:
        """Seconds that nine in ten of the run's iterations take at most."""
        return self.metrics.rollups["all"].duration_p90 if self.metrics.total_iterations else None

    @property
    def lateness(self) -> float:
        """Age of the running iteration ÷ what nine in ten take at most; 0 where either is unknown."""
        return self.age / self.p90 if self.age is not None and self.p90 else 0.0


def row_of(run: LiveRun, now: int, usage: Usage | None = None) -> Row:
    """A run as it stands now (Unix nanoseconds)."""
    state, metrics = run.state, run.metrics(now)
    going = run.going(now)
    current = next(reversed(state.open_iterations.values()), None) if going else None
    hours = min(metrics.total_execution_time, _HOUR) / _HOUR
    last = metrics.rollups["1h"]
    finished = (row.outcome for row in reversed(run.history.rows) if row.outcome is not None)
    return Row(
        run=run,
        now=now,
        status=run.status(now),
        metrics=metrics,
        iteration=current.number if current is not None else None,
        age=_age(state, current, now) if current is not None else None,
        outcomes=tuple(reversed([outcome for outcome, _ in zip(finished, range(STRIP), strict=False)])),
        context=state.context_percent if state.context_at else None,
        cost_per_hour=last.cost / hours if going and hours else 0.0,
        tokens_per_hour=last.tokens / hours if going and hours else 0.0,
        usage=(usage or _said(run, now)) if going else None,
    )


def _age(state: RunState, current: OpenIteration, now: int) -> float:
    """Seconds that an iteration has run for, which a pause does not make late."""
    end = now if state.paused_at is None else min(now, state.paused_at)
    return max(0, end - current.started - (state.paused_ns - current.paused)) / 1e9


def _said(run: LiveRun, now: int) -> Usage | None:
    """What the journal says of the machine, if that is not old."""
    fresh = {role: used for role, used in run.used.items() if now - used.ts < 60e9}
    if not fresh:
        return None
    runner, agents = fresh.get("runner"), fresh.get("agent")
    return Usage(
        runner.cpu if runner else None,
        runner.memory if runner else None,
        agents.cpu if agents else None,
        agents.memory if agents else None,
        agents.processes if agents else 0,
    )


Key = Callable[[Row], Any]
SORTS: dict[str, Key] = {
    "state": lambda row: (not row.going, -((row.run.state.started or 0) if row.going else row.run.state.last)),
    "cost": lambda row: (-row.cost, row.run.key),
    "iterations": lambda row: (-row.metrics.total_iterations, row.run.key),
    "age": lambda row: (-row.lateness, -(row.age or 0.0), row.run.key),
    "context": lambda row: (-(row.context or 0.0), row.run.key),
    "stuck": lambda row: (not row.going, -row.metrics.progress.no_progress_streak, row.run.key),
    "name": lambda row: (row.name.casefold(), row.run.key),
}
"""The orders there are, the usual one first."""


def ordered(rows: Iterable[Row], sort: str = "state", backwards: bool = False) -> list[Row]:
    """The rows in an order of `SORTS`, or from its end."""
    return sorted(rows, key=SORTS[sort], reverse=backwards)


def matches(row: Row, wanted: str) -> bool:
    """Whether a row's name, run id, runner or state has that in it; capitals do not matter."""
    texts = (row.name, row.run.key, row.run.state.runner, row.state, row.status)
    return any(wanted.casefold() in text.casefold() for text in texts)
