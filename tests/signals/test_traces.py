"""Spans from journals written by hand: ids, parents, times, errors, links, and what a crash leaves open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode

from ralph_otel.events import Line
from ralph_otel.journal import decode, encode
from ralph_otel.signals import traces as traces_module
from ralph_otel.signals.spans import HostSpans, OwnSpans
from ralph_otel.signals.traces import TraceSignals
from ralph_otel.state import States
from support.strategies import valid_line
from support.tape import TRACE, Tape, at

LOOP, SESSION, ITERATION, AGENT, OTHER = (character * 16 for character in "12345")


class Traces:
    """Spans as a recorder makes them: for our own pipeline, or on a host's provider."""

    def __init__(self, own: bool = True) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        processor = SimpleSpanProcessor(self.exporter)
        self.provider.add_span_processor(processor)
        self.states = States()
        self.signals = TraceSignals(
            OwnSpans(processor.on_end, self.provider.resource) if own else HostSpans(lambda: self.provider)
        )

    def play(self, lines: Iterable[Line]) -> Traces:
        for line in lines:
            checked = decode(encode(line))
            state = self.states.apply(checked)
            if state is not None:
                self.signals.record(checked, state)
        return self

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.spans if span.name == name]
        return span


@pytest.fixture(params=[True, False], ids=["own", "host"])
def traces(request: pytest.FixtureRequest) -> Iterator[Traces]:
    made = Traces(own=request.param)
    yield made
    made.provider.shutdown()


def span_id(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}" if span.context else ""


def parent_id(span: ReadableSpan) -> str:
    return f"{span.parent.span_id:016x}" if span.parent else ""


def loop(name: str = "l", flags: int | None = None, parent: str | None = None, **fields: object) -> Tape:
    extra = {} if flags is None else {"trace_flags": flags}
    return Tape("").add(0, "loop.started", name=name, span=LOOP, parent_span_id=parent, **extra, **fields)


def open_parts() -> Tape:
    tape = loop(runner="r").add(1, "session.started", session="s", span=SESSION, parent_span_id=LOOP)
    tape.add(2, "iteration.started", iteration=4, span=ITERATION, parent_span_id=SESSION)
    return tape.add(3, "agent.started", agent="claude", model="m", span=AGENT, parent_span_id=ITERATION)


def test_a_span_has_the_ids_the_parent_and_the_times_of_its_events(traces: Traces) -> None:
    tape = open_parts().add(5, "agent.finished", agent="claude", span=AGENT)
    traces.play(tape.add(6, "iteration.finished", iteration=4, outcome="success", duration=4, span=ITERATION).lines)
    agent, iteration = traces.spans
    assert (agent.name, iteration.name) == ("invoke_agent claude", "iteration")
    assert (span_id(agent), parent_id(agent)) == (AGENT, ITERATION)
    assert agent.context is not None
    assert f"{agent.context.trace_id:032x}" == TRACE
    assert (agent.start_time, agent.end_time) == (at(3), at(5))
    assert (iteration.start_time, iteration.end_time) == (at(2), at(6))
    assert (agent.kind, iteration.kind) == (SpanKind.CLIENT, SpanKind.INTERNAL)
    assert agent.status.status_code is iteration.status.status_code is StatusCode.UNSET


def test_a_span_that_has_not_ended_is_not_there(traces: Traces) -> None:
    assert traces.play(open_parts().lines).spans == ()


def test_a_parent_from_outside_is_remote(traces: Traces) -> None:
    traces.play(loop(parent=OTHER).add(9, "loop.stopped", reason="completed", span=LOOP).lines)
    span = traces.named("loop l")
    assert span.parent is not None
    assert (parent_id(span), span.parent.is_remote) == (OTHER, True)


def test_a_crash_ends_everything_that_is_open_as_an_error_inside_out(traces: Traces) -> None:
    traces.play(open_parts().add(30, "loop.stopped", reason="crashed", span=LOOP).lines)
    assert [span.name for span in traces.spans] == ["invoke_agent claude", "iteration", "session", "loop l"]
    assert {span.end_time for span in traces.spans} == {at(30)}
    assert {span.status.status_code for span in traces.spans} == {StatusCode.ERROR}
    assert {(span.attributes or {})["error.type"] for span in traces.spans} == {"crashed"}
    assert (traces.named("loop l").attributes or {})["ralph.stop.reason"] == "crashed"


def test_a_stop_that_says_no_span_ends_the_loops_span_too(traces: Traces) -> None:
    traces.play(loop().add(3, "loop.stopped", reason="crashed", trace_id=TRACE, span=LOOP).lines)
    assert traces.named("loop l").end_time == at(3)


def test_an_ordinary_end_ends_open_parts_without_an_error(traces: Traces) -> None:
    traces.play(open_parts().add(30, "loop.stopped", reason="completed", span=LOOP).lines)
    assert len(traces.spans) == 4
    assert {span.status.status_code for span in traces.spans} == {StatusCode.UNSET}


def test_runs_that_end_leave_the_spans_of_others_open(traces: Traces) -> None:
    other = Tape("m", run="other")
    other.lines[0].update({"trace_id": "f" * 32, "span_id": LOOP})
    traces.play([*other.lines, *open_parts().add(9, "loop.stopped", reason="crashed", span=LOOP).lines])
    assert "loop m" not in {span.name for span in traces.spans}
    stopped = Tape("", run="other").add(10, "loop.stopped", reason="completed")
    stopped.lines[0].update({"trace_id": "f" * 32, "span_id": LOOP})
    assert traces.play(stopped.lines).named("loop m").end_time == at(10)


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ({"outcome": "failure"}, "failure"),
        ({"outcome": "failure", "exit_code": 2}, "exit_code_2"),
        ({"outcome": "failure", "exit_code": -9, "error_type": "Killed"}, "Killed"),
        ({"outcome": "timeout"}, "timeout"),
        ({"outcome": "cancelled"}, None),
        ({"outcome": "success", "exit_code": 1}, None),
    ],
)
def test_how_an_iteration_ended_is_its_status(end: dict[str, object], error: str | None, traces: Traces) -> None:
    tape = loop().add(1, "iteration.started", iteration=1, span=ITERATION)
    traces.play(tape.add(2, "iteration.finished", iteration=1, duration=1, span=ITERATION, **end).lines)
    span = traces.named("iteration")
    assert (span.attributes or {}).get("error.type") == error
    assert span.status.status_code is (StatusCode.UNSET if error is None else StatusCode.ERROR)


def test_an_error_is_on_the_span_it_was_raised_in(traces: Traces) -> None:
    tape = open_parts().add(4, "error.raised", error_type="RateLimited", span=ITERATION)
    tape.add(5, "agent.finished", agent="claude", span=AGENT)
    traces.play(tape.add(6, "iteration.finished", iteration=4, outcome="success", duration=4, span=ITERATION).lines)
    assert (traces.named("iteration").attributes or {})["error.type"] == "RateLimited"
    assert traces.named("invoke_agent claude").status.status_code is StatusCode.UNSET


def test_what_is_measured_adds_up_or_the_last_value_counts(traces: Traces) -> None:
    tape = open_parts()
    for number in (1, 2):
        tape.add(4, "usage.measured", model="m", input_tokens=number, cache_read_tokens=100, cost_usd=0.5, span=AGENT)
        tape.add(4, "context.measured", percent=number * 10, span=ITERATION)
    tape.add(5, "agent.finished", agent="claude", span=AGENT)
    traces.play(tape.add(6, "iteration.finished", iteration=4, outcome="success", duration=4, span=ITERATION).lines)
    agent = traces.named("invoke_agent claude").attributes or {}
    assert (agent["gen_ai.usage.input_tokens"], agent["gen_ai.usage.cache_read.input_tokens"]) == (203, 200)
    assert agent["ralph.cost.usd"] == 1.0
    assert "gen_ai.usage.output_tokens" not in agent
    assert (traces.named("iteration").attributes or {})["ralph.context.percent"] == 20


def test_a_run_of_the_tests_is_a_span_of_its_duration_in_the_span_of_its_line(traces: Traces) -> None:
    tape = open_parts().add(9, "tests.finished", passed=3, failed=1, duration=2.5, span=ITERATION)
    traces.play(tape.lines)
    span = traces.named("tests")
    assert (span.start_time, span.end_time) == (at(6.5), at(9))
    assert parent_id(span) == ITERATION
    assert span_id(span) not in (ITERATION, "0" * 16)
    assert span.status.status_code is StatusCode.ERROR
    again = Traces().play(tape.lines).named("tests")
    assert span_id(again) == span_id(span)  # the same in every replay


def test_a_tool_has_the_span_that_its_line_names(traces: Traces) -> None:
    tape = open_parts().add(9, "tool.called", tool="Bash", outcome="success", span=OTHER, parent_span_id=AGENT)
    span = traces.play(tape.lines).named("execute_tool Bash")
    assert (span_id(span), parent_id(span)) == (OTHER, AGENT)
    assert (span.start_time, span.end_time) == (at(9), at(9))


def test_a_session_after_a_reboot_is_linked_to_the_one_before_and_only_that(traces: Traces) -> None:
    tape = loop()
    for number, reboot in ((1, False), (2, True), (3, False)):
        own = f"{number:016x}"
        if reboot:
            tape.add(number, "reboot.started", reason="redline", span=OTHER, parent_span_id=LOOP)
            tape.add(number, "reboot.finished", reason="redline", span=OTHER)
        tape.add(number, "session.started", session=str(number), span=own, parent_span_id=LOOP)
        tape.add(number, "session.ended", session=str(number), span=own)
    sessions = [span for span in traces.play(tape.lines).spans if span.name == "session"]
    links = [[f"{link.context.span_id:016x}" for link in span.links] for span in sessions]
    assert links == [[], [f"{1:016x}"], []]


def test_a_loop_that_goes_on_after_its_stop_is_linked_to_itself_before(traces: Traces) -> None:
    tape = loop().add(5, "loop.stopped", reason="completed", span=LOOP)
    tape.add(9, "loop.started", name="l", span=OTHER).add(12, "loop.stopped", reason="max_cost", span=OTHER)
    first, second = traces.play(tape.lines).spans
    assert [f"{link.context.span_id:016x}" for link in second.links] == [LOOP]
    assert (first.end_time, second.start_time) == (at(5), at(9))


@pytest.mark.parametrize("flags", [0, 1, None])
def test_only_traces_that_are_recorded_are_exported(flags: int | None, traces: Traces) -> None:
    tape = loop(flags=flags).add(1, "iteration.started", iteration=1, span=ITERATION)
    tape.add(2, "tests.finished", passed=1, failed=0, span=ITERATION)
    tape.add(2, "iteration.finished", iteration=1, outcome="success", duration=1, span=ITERATION)
    tape.add(3, "loop.stopped", reason="completed", span=LOOP)
    assert len(traces.play(tape.lines).spans) == (0 if flags == 0 else 3)


def test_a_journal_without_ids_has_no_spans(traces: Traces) -> None:
    tape = Tape().iteration(1, 1).add(3, "tests.finished", passed=1, failed=0)
    assert traces.play(tape.add(5, "loop.stopped", reason="completed").lines).spans == ()


def test_a_span_lasts_as_long_as_it_says_whatever_the_clock_does(traces: Traces) -> None:
    tape = loop().add(10, "iteration.started", iteration=1, span=ITERATION)
    tape.add(5, "iteration.finished", iteration=1, outcome="success", duration=1, span=ITERATION)
    span = traces.play(tape.lines).named("iteration")
    assert (span.start_time, span.end_time) == (at(10), at(11))


def test_spans_that_never_end_do_not_fill_the_memory(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces_module, "MAX_OPEN", 10)
    tape = loop()
    for number in range(50):
        tape.add(1, "iteration.started", iteration=number, span=f"{number + 100:016x}")
    traces.play(tape.lines)
    assert len(traces.signals._open) == 10


def test_a_host_may_set_up_its_provider_later() -> None:
    made, provider = Traces(), [NoOpTracerProvider()]
    made.signals = TraceSignals(HostSpans(lambda: provider[0]))
    early = loop().add(1, "iteration.started", iteration=1, span=ITERATION)
    made.play(early.add(2, "iteration.finished", iteration=1, outcome="success", duration=1, span=ITERATION).lines)
    provider[:] = [made.provider]  # type: ignore[list-item]  # both are providers
    late = Tape("").add(3, "iteration.started", iteration=2, span=OTHER)
    made.play(late.add(4, "iteration.finished", iteration=2, outcome="success", duration=1, span=OTHER).lines)
    assert [span_id(span) for span in made.spans] == [OTHER]


@given(st.lists(valid_line(runs=2), max_size=40))
def test_any_valid_lines_make_sound_spans(lines: list[Line]) -> None:
    made = Traces().play(lines)
    for run in ("run-1", "run-2"):
        made.play(Tape("", run=run).add(1, "loop.stopped", reason="crashed", span=LOOP).lines)
    for span in made.spans:
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time
        assert span.context is not None
        assert span.context.is_valid
