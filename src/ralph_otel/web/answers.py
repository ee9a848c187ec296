"""What the page is told, as plain objects: the schemas in `openapi.json` say what each holds.

All figures come from `ralph_otel.views`; here they only get their names. Times are ISO 8601 in UTC, durations seconds,
percents 0 to 100, ratios 0 to 1, costs US dollars; null where nothing is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import islice
from typing import Any

from ralph_otel.loop.result import GOOD
from ralph_otel.runs import Folded
from ralph_otel.state import States
from ralph_otel.views.history import REDLINE
from ralph_otel.views.live import FollowedJournal
from ralph_otel.views.live_run import LiveRun
from ralph_otel.views.parts import Part
from ralph_otel.views.records import Iteration
from ralph_otel.views.report.charts import Chart
from ralph_otel.views.report.comparison import Comparison
from ralph_otel.views.report.content import Report
from ralph_otel.views.report.document import document
from ralph_otel.views.report.tables import Table
from ralph_otel.views.rows import Row
from ralph_otel.wording import iso

STRIP = 40
"""Outcomes of the last iterations that a summary has at most."""
TREND = 30
"""Shares of passing tests, and contexts, of the last iterations likewise."""
MAX_PARTS = 300
"""Parts of one iteration that are told, the newest."""

Answer = dict[str, Any]


def line(answer: Any) -> bytes:
    """An answer as one line of JSON."""
    return json.dumps(answer, separators=(",", ":"), allow_nan=False).encode()


def summary(row: Row) -> Answer:
    """A run in short: a line of the list, and what is sent when it changes."""
    run, state, metrics = row.run, row.run.state, row.metrics
    running = state.open_iterations.get(row.iteration) if row.iteration is not None else None
    return {
        "run": run.key,
        "name": row.name,
        "runner": " ".join(filter(None, (state.runner, state.runner_version))) or None,
        "state": row.status,
        "stop_reason": state.stop_reason,
        "good": _good(row),
        "ts": iso(row.now),
        "version": run.version,
        "started": iso(state.started),
        "last_event": iso(state.last or None),
        "execution_time": metrics.total_execution_time,
        "iteration": None if running is None else {"number": running.number, "started": iso(running.started)},
        "max_iterations": state.max_iterations,
        "iterations": metrics.total_iterations,
        "successful_iterations": metrics.successful_iterations,
        "iteration_p50": row.p50,
        "iteration_p90": row.p90,
        "outcomes": list(row.outcomes[-STRIP:]),
        "context": row.context,
        "contexts": _trend(run, lambda each: each.context),
        "redline": REDLINE,
        "reboots": metrics.total_reboots,
        "tests": _tests(run),
        "progress": _progress(row),
        "tokens": row.tokens,
        "tokens_per_hour": row.tokens_per_hour,
        "cost": row.cost,
        "cost_per_hour": row.cost_per_hour,
        "agents": [{"name": each.name, "model": each.model} for each in islice(run.agents.values(), 5)],
        "tool": run.tool[0] if run.tool is not None and row.going else None,
        "cpu": row.usage.cpu if row.usage is not None else None,
        "memory": row.usage.memory if row.usage is not None else None,
    }


def _good(row: Row) -> bool | None:
    if row.going or row.status == "no end":
        return None
    return row.run.state.stop_reason in GOOD


def _trend(run: LiveRun, value: Callable[[Iteration], float | None]) -> list[float]:
    found = (known for each in reversed(run.history.rows) if (known := value(each)) is not None)
    return list(islice(found, TREND))[::-1]


def _share(iteration: Iteration) -> float | None:
    tests = iteration.tests
    return tests.passed / tests.total if tests is not None and tests.total else None


def _tests(run: LiveRun) -> Answer | None:
    tests = run.state
    if not tests.total_tests:
        return None
    return {
        "passing": tests.passing_tests,
        "failing": tests.failing_tests,
        "total": tests.total_tests,
        "flaky": tests.flaky_tests,
        "trend": _trend(run, _share),
    }


def _progress(row: Row) -> Answer | None:
    progress, scores = row.metrics.progress, row.run.state.scores
    if not (scores or progress.iterations_with_progress or progress.no_progress_streak):
        return None
    return {
        "rate": progress.progress_rate,
        "no_progress_streak": progress.no_progress_streak,
        "velocity": progress.velocity,
        "scores": list(scores),
    }


# -- one run -----------------------------------------------------------------------------------------------------------


def report_of(journal: FollowedJournal, run: LiveRun, now: int) -> Report:
    """A followed run as `ralph-otel report` has it, without the runs before it."""
    states = States()
    states.by_run[run.state.run_id] = run.state
    folded = Folded(states, lines=run.version, bad_lines=journal.bad_lines)
    return Report(run.key, folded, run.history, Comparison(), now)


def detail(journal: FollowedJournal, row: Row) -> Answer:
    """A run with its charts and tables: what its page shows, but for the iterations."""
    page = document(report_of(journal, row.run, row.now), iterations=False)
    return {
        "run": summary(row),
        "status": page.status,
        "summary": page.summary,
        "warnings": page.warnings,
        "about": _pairs(page.about),
        "facts": _pairs(page.facts),
        "charts": [chart(each) for each in page.charts],
        "tables": [table(each) for each in page.tables],
    }


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[Answer]:
    return [{"title": title, "text": text} for title, text in pairs]


def chart(drawn: Chart) -> Answer:
    """A chart, with its scale in words."""
    return {
        "name": drawn.name,
        "title": drawn.title,
        "summary": drawn.summary,
        "reading": drawn.reading,
        "series": [asdict(series) for series in drawn.series],
        "top": drawn.top,
        "scale": [drawn.written(drawn.top), drawn.written(drawn.top / 2), drawn.written(0)],
        "columns": drawn.columns,
        "notes": drawn.notes,
        "stacked": drawn.stacked,
        "marked": drawn.marked,
        "dotted": drawn.dotted,
        "level": drawn.level,
    }


def table(shown: Table) -> Answer:
    """A table of texts."""
    return {
        "title": shown.title,
        "columns": [column._asdict() for column in shown.columns],
        "rows": [list(row) for row in shown.rows],
        "note": shown.note,
        "folded": shown.folded,
    }


def iterations(run: LiveRun, now: int, before: int | None, most: int) -> Answer:
    """Some iterations with what was in them, the newest first.

    Args:
        run: the run.
        now: Unix nanoseconds.
        before: the place of the iteration that follows them; None: they are the last.
        most: how many.
    """
    history = run.history
    first, end = history.forgotten, history.forgotten + len(history.rows)
    stop = end if before is None else min(max(before, first), end)
    start = max(first, stop - most)
    chosen = list(islice(history.rows, start - first, stop - first))
    parts = run.parts.of(chosen) if run.parts is not None else {}
    going = run.going(now)
    told = [_iteration(run, each, place, parts.get(id(each), []), going) for place, each in enumerate(chosen, start)]
    return {
        "run": run.key,
        "ts": iso(now),
        "total": end,
        "forgotten": first,
        "parts_forgotten": run.parts.forgotten if run.parts is not None else 0,
        "before": start if start > first else None,
        "iterations": told[::-1],
    }


def _iteration(run: LiveRun, each: Iteration, place: int, parts: list[Part], going: bool) -> Answer:
    start = each.started or each.ended or 0
    return {
        **asdict(each),
        "place": place,
        "started": iso(each.started),
        "ended": iso(each.ended),
        "running": going and each.ended is None and each.number in run.state.open_iterations,
        "parts": [_part(part, start) for part in parts[-MAX_PARTS:]],
        "parts_left_out": max(0, len(parts) - MAX_PARTS),
    }


def _part(part: Part, start: int) -> Answer:
    return {
        "kind": part.kind,
        "name": part.name,
        "offset": (part.start - start) / 1e9,
        "duration": None if part.end is None else (part.end - part.start) / 1e9,
        "outcome": part.outcome,
    }
