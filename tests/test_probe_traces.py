"""Where a loop's lines stand in a trace: parents from outside, agents' environments, long loops."""

from __future__ import annotations

import os

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from ralph_otel.probe import Loop
from ralph_otel.tracecontext import TraceContext, parse
from support.sink import Lines

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def lines() -> Lines:
    return Lines()


# -- the trace context ------------------------------------------------------------------------------------------------


def test_without_a_parent_a_loop_begins_a_trace_and_a_loop_inside_it_stands_there(lines: Lines) -> None:
    inside = Lines()
    with Loop("l", lines) as loop, loop.iteration() as it, Loop("m", inside) as other:
        assert other.trace_id == loop.trace_id
    assert "parent_span_id" not in lines.only("loop.started")
    assert "trace_flags" not in lines.only("loop.started")
    assert inside.only("loop.started")["parent_span_id"] == it.span_id


def test_traceparent_from_the_environment_is_the_parent(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", PARENT)
    monkeypatch.setenv("TRACESTATE", "v=1")
    with Loop("l", lines) as loop, loop.iteration() as it:
        context = parse(it.environment()["TRACEPARENT"])
        assert context == TraceContext(PARENT[3:35], it.span_id, 1)
        assert it.environment()["TRACESTATE"] == "v=1"
    assert lines.only("loop.started")["parent_span_id"] == PARENT[36:52]
    assert {line["trace_id"] for line in lines} == {PARENT[3:35]}


@pytest.mark.parametrize("broken", ["", "nonsense", PARENT.upper(), "00-" + "0" * 32 + PARENT[35:]])
def test_a_broken_traceparent_is_no_parent(broken: str, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", broken)
    with Loop("l", lines):
        pass
    assert "parent_span_id" not in lines.only("loop.started")


def test_the_hosts_current_span_comes_before_the_environment(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", PARENT)
    with TracerProvider().get_tracer("host").start_as_current_span("outside") as span:
        outside = span.get_span_context()
        with Loop("l", lines) as loop:
            assert loop.trace_id == f"{outside.trace_id:032x}"
    assert lines.only("loop.started")["parent_span_id"] == f"{outside.span_id:016x}"


def test_a_given_parent_comes_first(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", PARENT)
    given = TraceContext("c" * 32, "d" * 16)
    with Loop("l", lines, parent=given) as loop:
        assert loop.environment({}) == {"TRACEPARENT": f"00-{'c' * 32}-{loop.span_id}-01"}
    assert lines.only("loop.started")["parent_span_id"] == "d" * 16


def test_a_trace_that_is_not_recorded_outside_is_not_recorded_inside(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", PARENT[:-1] + "0")
    with Loop("l", lines) as loop, loop.iteration() as it, it.agent("claude") as agent:
        assert agent.environment({})["TRACEPARENT"].endswith("-00")
    assert lines.only("loop.started")["trace_flags"] == 0


@pytest.mark.parametrize(("sampler", "flags"), [("always_off", 0), ("always_on", 1)])
def test_a_trace_that_begins_here_is_sampled_as_the_variables_say(
    sampler: str, flags: int, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    with Loop("l", lines) as loop:
        assert loop.environment({})["TRACEPARENT"].endswith(f"-0{flags}")
    assert lines.only("loop.started").get("trace_flags", 1) == flags


def test_an_agent_gets_the_environment_and_its_own_span_as_parent(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXISTING", "1")
    with Loop("l", lines) as loop, loop.iteration() as it, it.agent("claude") as agent:
        assert agent.environment() == {**os.environ, "TRACEPARENT": f"00-{loop.trace_id}-{agent.span_id}-01"}
        assert agent.environment({"A": "b", "TRACEPARENT": "old"}) == {
            "A": "b", "TRACEPARENT": f"00-{loop.trace_id}-{agent.span_id}-01"
        }  # fmt: skip
        assert "TRACEPARENT" not in os.environ


def test_what_the_host_records_inside_a_block_nests_in_it(lines: Lines) -> None:
    tracer = TracerProvider().get_tracer("host")
    with Loop("l", lines) as loop, loop.iteration() as it, tracer.start_as_current_span("inside") as span:
        assert span.parent is not None  # type: ignore[attr-defined]  # of the SDK's span
        assert f"{span.parent.span_id:016x}" == it.span_id  # type: ignore[attr-defined]
        assert f"{span.get_span_context().trace_id:032x}" == loop.trace_id
    assert not trace.get_current_span().get_span_context().is_valid


# -- long loops -------------------------------------------------------------------------------------------------------


def test_a_long_loop_goes_on_in_traces_of_its_own(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", PARENT)
    with Loop("l", lines, trace_iterations=2) as loop:
        for _ in range(5):
            with loop.session(), loop.iteration() as it, it.agent("claude"):
                pass
    continued = lines.of("trace.continued")
    assert [line["part"] for line in continued] == [2, 3]
    traces = list(dict.fromkeys(line["trace_id"] for line in lines))
    assert traces[0] == PARENT[3:35]
    assert [line["previous_trace_id"] for line in continued] == traces[:2]
    assert continued[0]["previous_span_id"] == lines.only("loop.started")["span_id"]
    assert continued[1]["previous_span_id"] == continued[0]["span_id"]
    assert [traces.index(line["trace_id"]) for line in lines.of("iteration.started")] == [0, 0, 1, 1, 2]
    assert lines.only("loop.stopped")["span_id"] == continued[1]["span_id"]


@pytest.mark.parametrize("how", ["loop", "session"])
def test_every_part_of_a_long_loop_has_its_parent_in_its_own_trace(how: str, lines: Lines) -> None:
    with Loop("l", lines, trace_iterations=2) as loop, loop.session() as session:
        for _ in range(7):
            with (loop if how == "loop" else session).iteration() as it, it.agent("claude"):
                it.tests(1, 0)
    spans = {(line["trace_id"], line["span_id"]) for line in lines}
    for line in lines:
        if "parent_span_id" in line:
            assert (line["trace_id"], line["parent_span_id"]) in spans
    assert len(lines.of("trace.continued")) == 3
