"""The Collector is restarted while a loop runs: at the far end the totals are exact all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from backends import Backends
from projects import AGENT, Project, Run, Spent
from stack.backends import Collector
from stack.clients import log_records

from support.waiting import until

_CALLS = 5
GATED = f"for i in 1 2 3 4 5; do until [ -e ../go.$i ]; do sleep 0.02; done; {AGENT} < PROMPT.md > out.$i; done"
"""Each iteration waits for a file."""


@pytest.mark.parametrize("end", [Collector.stop, Collector.kill], ids=["stopped", "killed"])
def test_nothing_is_lost_or_counted_twice_when_the_collector_is_restarted(
    backends: Backends, tmp_path: Path, end: Callable[[Collector], None], request: pytest.FixtureRequest
) -> None:
    place = tmp_path / "p"
    project = Project(place, backends)

    def release(*numbers: int) -> None:
        for number in numbers:
            (place / f"go.{number}").touch()

    def iterations(run: str) -> float:
        samples = backends.prometheus.query(f'sum(ralph_loop_iterations_total{{instance="{run}"}})')
        return samples[0].value if samples else 0

    def spans_of(run: Run) -> Counter[str]:
        return Counter(span.name for span in backends.jaeger.trace(run.trace_id))

    def recorded() -> Counter[str]:
        return Counter(record.event for record in log_records(collector.logs))

    def finished(count: int) -> None:
        until(lambda: len(project.only_run().lines("iteration.finished")) == count, what=f"for iteration {count}")

    with backends.another_collector(f"restarted-{request.node.callspec.id}") as collector:
        loop = project.started(
            "ralph-otel", "run", "--", "bash", "-c", GATED, OTEL_EXPORTER_OTLP_ENDPOINT=collector.otlp
        )
        with loop as process:
            release(1, 2)
            until(lambda: list((place / "home" / "runs").glob("*.jsonl")), what="for a journal")
            finished(2)
            run = project.only_run()
            until(lambda: iterations(run.id) == 2, what="for two iterations in Prometheus")
            # Of what a Collector has passed on, but not said so when it is killed, there will be two.
            until(lambda: sum(recorded().values()) >= len(run.lines()), what="for the log records so far")
            until(lambda: spans_of(run)["invoke_agent claude"] == 2, what="for the spans so far")
            end(collector)
            release(3)
            finished(3)
            collector.start()
            release(4, 5)
            process.communicate(timeout=100)
        assert process.returncode == 0
        until(lambda: iterations(run.id) == _CALLS, what=f"for {_CALLS} iterations, not {iterations(run.id)}")
        tokens = backends.prometheus.query(
            f'sum by (gen_ai_token_type) (ralph_loop_tokens_total{{instance="{run.id}"}})'
        )
        assert {each.labels["gen_ai_token_type"]: each.value for each in tokens} == Spent(_CALLS).tokens

        names = Counter({"iteration": _CALLS, "invoke_agent claude": _CALLS, "loop bash": 1})
        until(lambda: names <= spans_of(run), what="for all spans in Jaeger")
        assert spans_of(run)["iteration"] == _CALLS
        until(lambda: sum(recorded().values()) >= len(run.lines()), what="for all log records")
        assert recorded() == Counter(f"ralph.{line['type']}" for line in run.lines())


def test_what_a_loop_left_that_ended_during_an_outage_the_next_one_delivers(backends: Backends, tmp_path: Path) -> None:
    place = tmp_path / "p"
    project = Project(place, backends)
    with backends.another_collector("away") as collector:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp}
        command = ["ralph-otel", "run", "--", "bash", "-c", GATED.replace(" 3 4 5", "")]
        with project.started(*command, **variables) as process:
            (place / "go.1").touch()
            until(lambda: list((place / "home" / "runs").glob("*.jsonl")), what="for a journal")
            run = project.only_run()
            until(lambda: len(run.lines("iteration.finished")) == 1, what="for the first iteration")
            collector.kill()
            (place / "go.2").touch()
            process.communicate(timeout=100)
        assert process.returncode == 0
        collector.start()
        with project.started(*command, **variables) as process:
            process.communicate(timeout=100)

        def total() -> float:
            samples = backends.prometheus.query(f'sum(ralph_loop_iterations_total{{instance="{run.id}"}})')
            return samples[0].value if samples else 0

        until(lambda: total() == 2, what="for both iterations in Prometheus")
        names = Counter({"iteration": 2, "invoke_agent claude": 2, "loop bash": 1})
        until(
            lambda: names <= Counter(span.name for span in backends.jaeger.trace(run.trace_id)),
            what="for all spans in Jaeger",
        )
        spans = Counter(span.name for span in backends.jaeger.trace(run.trace_id))
        assert {name: spans[name] for name in names} == names

        def recorded() -> list[str]:
            records = log_records(collector.logs)
            return [record.event for record in records if record.attributes["ralph.run.id"] == run.id]

        until(lambda: len(recorded()) >= len(run.lines()), what="for all log records")
        assert Counter(recorded()) == Counter(f"ralph.{line['type']}" for line in run.lines())
