"""A run beside the runs of the same loop before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ralph_otel.journal import BadLine, decode
from ralph_otel.model import LoopMetrics
from ralph_otel.runs import fold, journals
from ralph_otel.state import RunState
from ralph_otel.views.report import wording

EARLIER = 10
"""So many earlier runs are compared with, the newest."""
_LOOKED_AT = 500
"""Journals that are looked at for the loop's name, the newest."""
_HEAD = 64 * 1024
"""Bytes of a journal in which its first line is looked for."""

Value = Callable[[LoopMetrics], float | None]


@dataclass(frozen=True)
class Figure:
    """One thing that is compared.

    Args:
        name: in JSON.
        title: in words.
        value: takes it from a run's metrics; None where the run does not know.
        written: the value as a person reads it.
        ratio: whether it is one, so that a difference is told in percentage points.
    """

    name: str
    title: str
    value: Value
    written: Callable[[float], str]
    ratio: bool = False


def _each(total: Value) -> Value:
    """An amount ÷ iterations."""

    def value(metrics: LoopMetrics) -> float | None:
        amount = total(metrics)
        return amount / metrics.total_iterations if amount is not None and metrics.total_iterations else None

    return value


def _cost(metrics: LoopMetrics) -> float | None:
    return metrics.rollups["all"].cost or None


def _tokens(metrics: LoopMetrics) -> float | None:
    return metrics.rollups["all"].tokens or None


def _pass_rate(metrics: LoopMetrics) -> float | None:
    return metrics.tests.pass_rate if metrics.tests.total_tests else None


def _progress_rate(metrics: LoopMetrics) -> float | None:
    progress = metrics.progress
    measured = progress.iterations_with_progress or progress.no_progress_streak
    return progress.progress_rate if measured else None


FIGURES = (
    Figure("iterations", "Iterations", lambda metrics: metrics.total_iterations, wording.count),
    Figure(
        "success_ratio", "Iterations that succeeded", _each(lambda metrics: metrics.successful_iterations),
        wording.percent, ratio=True,
    ),
    Figure("execution_time", "Time", lambda metrics: metrics.total_execution_time, wording.duration),
    Figure("iteration_duration", "Time per iteration", lambda m: m.avg_iteration_duration, wording.duration),
    Figure("cost_usd", "Cost", _cost, wording.money),
    Figure("iteration_cost_usd", "Cost per iteration", _each(_cost), wording.money),
    Figure("tokens", "Tokens", _tokens, wording.count),
    Figure("reboots", "Reboots", lambda metrics: metrics.total_reboots, wording.count),
    Figure("pass_rate", "Tests that passed at the end", _pass_rate, wording.percent, ratio=True),
    Figure("progress_rate", "Iterations with progress", _progress_rate, wording.percent, ratio=True),
)  # fmt: skip
"""What is compared."""


@dataclass(frozen=True)
class Comparison:
    """The earlier runs.

    Attributes:
        runs: their ids, the newest first.
        medians: by figure's name; what no earlier run knows is missing.
    """

    runs: list[str] = field(default_factory=list)
    medians: dict[str, float] = field(default_factory=dict)


def compare(state: RunState, home: Path) -> Comparison:
    """Find the last finished runs of the same loop, begun before this one, and take their medians.

    Args:
        state: the run.
        home: the home folder.
    """
    runs: list[str] = []
    values: dict[str, list[float]] = {figure.name: [] for figure in FIGURES}
    for path in _earlier(state, home):
        with suppress(OSError):
            other = fold(path).run
            if other.stopped is None or not other.total_iterations:
                continue
            runs.append(path.stem)
            metrics = other.metrics()
            for figure in FIGURES:
                if (value := figure.value(metrics)) is not None:
                    values[figure.name].append(value)
        if len(runs) == EARLIER:
            break
    return Comparison(runs, {name: median(known) for name, known in values.items() if known})


def _earlier(state: RunState, home: Path) -> Iterator[Path]:
    """The journals of the same loop's earlier runs, the newest first."""
    if not state.name or state.started is None:
        return
    for path in reversed(journals(home)[-_LOOKED_AT:]):
        name, run, started = _beginning(path)
        if name == state.name and run != state.run_id and started < state.started:
            yield path


def _beginning(path: Path) -> tuple[str, str, int]:
    """The loop's name, the run id and the time on a journal's first line; ("", "", 0) where that is none."""
    try:
        with path.open("rb") as file:
            line = decode(file.readline(_HEAD))
        return (line.get("name", ""), line["loop"], line["ts"]) if line["type"] == "loop.started" else ("", "", 0)
    except (OSError, BadLine):
        return "", "", 0
