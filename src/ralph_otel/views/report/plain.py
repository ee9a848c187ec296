"""A report as JSON, for programs.

One object. Times are ISO 8601 in UTC, durations seconds, percents 0 to 100, ratios 0 to 1, costs US dollars; null where
nothing is known. `version` is 1; keys are added without changing it.

- `run`, `name`, `runner`, `runner_version`: what ran; `max_iterations`: the most it may run.
- `status`: `stopped`, `running`, `killed` (its process is gone, it has no end), `open` (no end), `empty`;
  `stop_reason`: as in the journal; `started`, `stopped`, `last_event`; `reported`: when the report was made.
- `metrics`: the aggregate, as `ralph-otel export --format json` gives it.
- `outcomes`: iterations by outcome; `cost_usd`, of which `estimated_cost_usd`; `tokens`; `commits`, `lines_added`,
  `lines_removed`.
- `iterations`: the newest 20,000, each with `number`, `started`, `ended`, `outcome` (null: not finished), `duration`,
  `error_type`, `exit_code`, `tests` (`passed`, `failed`, `skipped`, `total`), `context` (percent), `score`, `progress`,
  `cost`, `tokens`, `files`, `tools`, `reboots`, `errors`; `forgotten`: how many older ones there are.
- `slowest`, `most_expensive`: numbers of iterations, the most first.
- `tests`: `runs`; `first`: the first run's counts; `failing`, `flaky`: arrays of {`test`, `failures`}.
- `reboots`: the newest 1,000, each with `ts`, `reason`, `iteration`, `context_percent`, `duration`; `reboot_reasons`.
- `tools`, `agents`: by name {`calls`, `failures`, `seconds`, `turns`}; `models`: by name {`input_tokens`,
  `output_tokens`, `cache_read_tokens`, `cache_creation_tokens`, `cost`, `estimated`}; the name is "" where none was
  given; `errors`, `stop_conditions`: counts by name.
- `comparison`: `runs`: the ids of the earlier runs; `figures`: by name {`this`, `median`}.
- `journal`: `lines`, `bad_lines`, `problems` (the first few reasons), `torn`: whether the last line has no end.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from ralph_otel.views.records import Iteration, Reboot, Tests
from ralph_otel.views.report.comparison import FIGURES
from ralph_otel.views.report.content import Report
from ralph_otel.wording import iso

VERSION = 1
"""The format's version."""


def json_text(report: Report) -> str:
    """The report as JSON, see the module; a line a key, for indenting all of a long run takes long."""
    lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in plain(report).items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def plain(report: Report) -> dict[str, Any]:
    """The report as plain dicts, lists and numbers, see the module."""
    state, history = report.state, report.history
    return {
        "version": VERSION,
        "run": report.run,
        "name": state.name,
        "runner": state.runner or None,
        "runner_version": state.runner_version or None,
        "max_iterations": state.max_iterations,
        "status": report.status.value,
        "stop_reason": state.stop_reason,
        "started": iso(state.started),
        "stopped": iso(state.stopped),
        "last_event": iso(state.last or None),
        "reported": iso(report.now),
        "metrics": report.metrics.to_dict(),
        "outcomes": dict(history.outcomes),
        "cost_usd": history.cost,
        "estimated_cost_usd": sum(usage.estimated for usage in history.models.values()),
        "tokens": report.tokens,
        "commits": history.commits,
        "lines_added": history.lines_added,
        "lines_removed": history.lines_removed,
        "iterations": [_iteration(row) for row in history.rows],
        "forgotten": history.forgotten,
        "slowest": [row.number for row in report.slowest],
        "most_expensive": [row.number for row in report.most_expensive],
        "tests": {
            "runs": history.test_runs,
            "first": _tests(history.first_tests),
            "failing": _failures(report.failing_tests),
            "flaky": _failures(report.flaky_tests),
        },
        "reboots": [_reboot(reboot) for reboot in history.reboots],
        "reboot_reasons": dict(history.reboot_reasons),
        "tools": {name: asdict(calls) for name, calls in history.tools.items()},
        "agents": {name: asdict(calls) for name, calls in history.agents.items()},
        "models": {name: asdict(usage) for name, usage in history.models.items()},
        "errors": dict(history.errors),
        "stop_conditions": dict(history.conditions),
        "comparison": {"runs": report.comparison.runs, "figures": _figures(report)},
        "journal": {
            "lines": report.folded.lines,
            "bad_lines": report.folded.bad_lines,
            "problems": report.folded.bad,
            "torn": report.folded.torn,
        },
    }


def _iteration(row: Iteration) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _ITERATION}
    return {**values, "started": iso(row.started), "ended": iso(row.ended), "tests": _tests(row.tests)}


_ITERATION = [field.name for field in fields(Iteration)]
_TESTS = [field.name for field in fields(Tests)]


def _reboot(reboot: Reboot) -> dict[str, Any]:
    return {**asdict(reboot), "ts": iso(reboot.ts)}


def _tests(tests: Tests | None) -> dict[str, int] | None:
    return None if tests is None else {name: getattr(tests, name) for name in _TESTS}


def _failures(tests: list[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"test": test, "failures": failures} for test, failures in tests]


def _figures(report: Report) -> dict[str, dict[str, float | None]]:
    medians = report.comparison.medians
    return {
        figure.name: {"this": figure.value(report.metrics), "median": medians.get(figure.name)} for figure in FIGURES
    }
