"""Real loops, and what of them is at the far end: metrics, traces, log records, exemplars."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from backends import Backends
from projects import AGENT, MODEL, Project, Run, Spent
from stack.clients import LogRecord, Span, log_records

from support.waiting import until

SHELL = f"for i in 1 2 3; do {AGENT} < PROMPT.md > out.$i; done"


@dataclass(frozen=True)
class Loop:
    """A loop: how it is started, and what must come of it."""

    name: str
    runner: str
    command: tuple[str, ...]
    calls: int
    outcomes: dict[str, int]
    reason: str
    tests: tuple[int, int] | None = None
    """Passing and failing at the end."""


RUN = ("ralph-otel", "run", "--")
EMBEDDED = ("ralph-otel", "loop", "-n", "10", "--test", "python -m pytest -q", "--", *AGENT.split())
LOOPS = (
    Loop("fix-tests", "ralphify", (*RUN, "ralph", "run", "fix-tests", "-n", "3"), 3, {"success": 3}, "max_iterations"),
    Loop("project", "ralph-otel", EMBEDDED, 6, {"success": 5, "failure": 1}, "tests_passed", (9, 0)),
    Loop("bash", "shell", (*RUN, "bash", "-c", SHELL), 3, {"success": 3}, "completed"),
)


@dataclass(frozen=True)
class Ran:
    """A loop that has run."""

    loop: Loop
    run: Run
    backends: Backends

    def value(self, expression: str) -> float | None:
        """The value of an expression over this run's series (`{}` stands for what selects them); None: no series."""
        asked = expression.replace("{}", f'{{instance="{self.run.id}"}}')
        samples = self.backends.prometheus.query(asked)
        return samples[0].value if samples else None

    def by(self, metric: str, label: str) -> dict[str, float]:
        """A metric's values by one of its labels."""
        samples = self.backends.prometheus.query(f'sum by ({label}) ({metric}{{instance="{self.run.id}"}})')
        return {sample.labels.get(label, ""): sample.value for sample in samples}

    @property
    def spans(self) -> list[Span]:
        """Its trace."""
        return self.backends.jaeger.trace(self.run.trace_id)

    @property
    def records(self) -> list[LogRecord]:
        """Its log records."""
        records = log_records(self.backends.collector.logs)
        return [record for record in records if record.resource["service.instance.id"] == self.run.id]


@pytest.fixture(scope="session", params=LOOPS, ids=lambda loop: loop.runner)
def ran(request: pytest.FixtureRequest, backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Each loop, run to its end; its last metrics have arrived."""
    loop: Loop = request.param
    project = Project(tmp_path_factory.mktemp(loop.runner), backends)
    ran = Ran(loop, project.run(*loop.command), backends)
    until(lambda: ran.value("ralph_loop_runs_total{}"), what="for the end of the run in Prometheus")
    return ran


def test_iterations_and_the_end_are_counted(ran: Ran) -> None:
    assert ran.by("ralph_loop_iterations_total", "ralph_outcome") == ran.loop.outcomes
    assert ran.by("ralph_loop_runs_total", "ralph_stop_reason") == {ran.loop.reason: 1}
    assert ran.by("ralph_loop_iterations_total", "ralph_loop_name") == {ran.loop.name: sum(ran.loop.outcomes.values())}
    assert ran.by("ralph_loop_iterations_total", "ralph_runner") == {ran.loop.runner: sum(ran.loop.outcomes.values())}
    for part in ("runs", "sessions", "iterations"):
        assert ran.value(f"ralph_loop_active_{part}{{}}") == 0


def test_tokens_and_costs_are_what_the_agent_said(ran: Ran) -> None:
    spent = Spent(ran.loop.calls)
    assert ran.by("ralph_loop_tokens_total", "gen_ai_token_type") == spent.tokens
    assert ran.by("ralph_loop_cost_USD_total", "gen_ai_request_model") == {MODEL: pytest.approx(spent.cost)}
    assert ran.by("ralph_loop_cost_USD_total", "ralph_cost_source") == {"reported": pytest.approx(spent.cost)}
    assert ran.value("sum(ralph_loop_turns_total{})") == 2 * ran.loop.calls


def test_durations_are_those_of_the_journal(ran: Ran) -> None:
    finished = ran.run.lines("iteration.finished")
    assert ran.value("sum(ralph_loop_iteration_duration_seconds_count{})") == len(finished)
    total = math.fsum(line["duration"] for line in finished)
    assert ran.value("sum(ralph_loop_iteration_duration_seconds_sum{})") == pytest.approx(total)
    agents = math.fsum(line["duration"] for line in ran.run.lines("agent.finished") if "duration" in line)
    assert ran.value("sum(ralph_loop_agent_duration_seconds_sum{})") == pytest.approx(agents)


def test_progress_is_what_git_says(ran: Ran) -> None:
    measured = ran.run.lines("progress.measured")
    assert ran.value("ralph_loop_commits_total{}") == (sum(line["commits"] for line in measured) or None)
    assert ran.value("ralph_loop_files_changed_total{}") == sum(line["files_changed"] for line in measured)
    if ran.loop.runner == "ralph-otel":  # others are watched from beside, which may come too late for the first commit
        assert ran.value("ralph_loop_commits_total{}") == ran.loop.outcomes["success"]
        assert ran.value("ralph_loop_iterations_with_progress_total{}") == ran.loop.outcomes["success"]


def test_tests_are_counted_where_the_loop_runs_them(ran: Ran) -> None:
    if ran.loop.tests is None:
        assert ran.value("ralph_loop_tests{}") is None
    else:
        passing, failing = ran.loop.tests
        status = ran.by("ralph_loop_tests", "ralph_test_status")
        assert (status["passing"], status["failing"]) == (passing, failing)


def test_the_trace_is_whole(ran: Ran) -> None:
    iterations, agents = sum(ran.loop.outcomes.values()), ran.loop.calls
    started = {line["span_id"] for line in ran.run.lines() if line["type"].endswith(".started")}
    edits = agents - ran.loop.outcomes.get("failure", 0)

    def all_here() -> bool:
        """They come by several requests, which nobody keeps in order."""
        spans = ran.spans
        edited = sum(span.name == "execute_tool Edit" for span in spans)
        return started <= {span.span_id for span in spans} and edited >= edits

    until(all_here, what="for all spans in Jaeger")
    spans = ran.spans
    [root] = [span for span in spans if not span.parent_id]
    assert root.name == f"loop {ran.loop.name}"
    ids = {span.span_id for span in spans}
    assert all(span.parent_id in ids for span in spans if span is not root)
    names = Counter(span.name for span in spans)
    assert (names["iteration"], names["invoke_agent claude"]) == (iterations, agents)
    assert names["execute_tool Edit"] == edits
    assert {span.resource["service.instance.id"] for span in spans} == {ran.run.id}


def test_every_event_is_a_log_record_in_its_span(ran: Ran) -> None:
    until(lambda: len(ran.records) >= len(ran.run.lines()), what="for the last log record")
    records = ran.records
    assert Counter(record.event for record in records) == Counter(f"ralph.{line['type']}" for line in ran.run.lines())
    assert {record.trace_id for record in records} == {ran.run.trace_id}
    until(
        lambda: {record.span_id for record in records} <= {span.span_id for span in ran.spans},
        what="for the records' spans in Jaeger",
    )


def test_exemplars_lead_to_the_iterations_spans(ran: Ran) -> None:
    # Each comes with one export only. By remote write all arrive; a scrape may miss those between two exports.
    asked = f'ralph_loop_iteration_duration_seconds_bucket{{instance="{ran.run.id}"}}'

    def found() -> list[dict[str, Any]]:
        return ran.backends.written_prometheus.exemplars(asked, time.time() - 600, time.time() + 60)

    until(found, what="for an exemplar")

    def ids() -> set[str]:
        return {span.span_id for span in ran.spans if span.name == "iteration"}

    until(lambda: len(ids()) == sum(ran.loop.outcomes.values()), what="for the iterations' spans in Jaeger")
    assert {exemplar["labels"]["trace_id"] for exemplar in found()} == {ran.run.trace_id}
    assert {exemplar["labels"]["span_id"] for exemplar in found()} <= ids()


def test_statsd_arrives(backends: Backends, tmp_path: Path) -> None:
    with backends.another_collector("statsd") as collector:  # what came by StatsD has no instance but the Collector's
        by_statsd = {"RALPH_OTEL_EXPORT_FORMAT": "statsd", "RALPH_OTEL_EXPORT_TARGET": collector.statsd}
        Project(tmp_path / "p", backends).run(*RUN[:-1], "--name", "by-statsd", "--", "bash", "-c", SHELL, **by_statsd)
        series = f'{{instance="{collector.metrics}",ralph_loop_name="by-statsd"}}'
        wanted = {
            f"ralph_loop_runs_total{series}": 1,
            f"ralph_loop_iterations_total{series}": 3,
            f"ralph_loop_iteration_duration_seconds_count{series}": 3,
            f"sum(ralph_loop_cost_USD_total{series})": pytest.approx(Spent(3).cost),
        }
        for expression, value in wanted.items():
            until(
                lambda: [each.value for each in backends.prometheus.query(expression)] == [value],  # noqa: B023 — now
                what=f"for {expression} = {value}",
            )
