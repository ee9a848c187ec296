"""Handles: the lines that a loop's life makes, in the right order, with the right parents."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from ralph_otel import events, probe
from ralph_otel.events import Line, problem_with
from ralph_otel.probe import Loop
from ralph_otel.tracecontext import TraceContext, parse

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Lines(list[Line]):
    """A sink that checks every line."""

    def __call__(self, line: Line) -> None:
        assert problem_with(line) is None, problem_with(line)
        self.append(line)

    def types(self) -> list[str]:
        return [line["type"] for line in self]

    def of(self, type_: str) -> list[Line]:
        return [line for line in self if line["type"] == type_]

    def only(self, type_: str) -> Line:
        [line] = self.of(type_)
        return line


@pytest.fixture
def lines() -> Lines:
    return Lines()


def fields(line: Line) -> dict[str, Any]:
    """The event's own fields."""
    envelope = {field.name for field in events.ENVELOPE}
    return {name: value for name, value in line.items() if name not in envelope and name != "duration"}


# -- a loop's life ----------------------------------------------------------------------------------------------------


def test_a_whole_loop_is_these_lines(lines: Lines) -> None:
    began = time.time_ns()
    with Loop("fix-bugs", lines, max_iterations=30, runner="r", runner_version="1.2", attributes={"team": "a"}) as loop:
        with loop.session("s1") as session, loop.iteration() as it:
            with it.agent("claude", model="claude-x", pid=77) as agent:
                agent.exit_code, agent.turns, agent.conversation = 0, 5, "c-1"
                agent.usage(model="claude-x", input_tokens=10, output_tokens=300, cost_usd=0.0123)
            it.context_usage(61.0, tokens=122_000, window=200_000)
            it.tests(passed=41, failed=1, results={"test_a": True})
            it.progress(0.4, files_changed=3, lines_added=10, lines_removed=2, commits=1)
            it.tool("Bash", "failure", 0.5)
            it.error("RateLimited")
            it.exit_code = 0
        with loop.reboot("redline", context_percent=88):
            pass
        loop.pause()
        loop.resume()
        loop.stop("tests_passed")
    assert lines.types() == [
        "loop.started", "session.started", "iteration.started", "agent.started", "usage.measured", "agent.finished",
        "context.measured", "tests.finished", "progress.measured", "tool.called", "error.raised", "iteration.finished",
        "session.ended", "reboot.started", "reboot.finished", "loop.paused", "loop.resumed", "stop_condition.triggered",
        "loop.stopped",
    ]  # fmt: skip
    assert {line["loop"] for line in lines} == {loop.run_id}
    assert {line["trace_id"] for line in lines} == {loop.trace_id}
    times = [line["ts"] for line in lines]
    assert times == sorted(times)
    assert began <= times[0]
    assert times[-1] <= time.time_ns()
    assert fields(lines.only("loop.started")) == {
        "name": "fix-bugs", "runner": "r", "runner_version": "1.2", "max_iterations": 30, "attributes": {"team": "a"},
        "pid": os.getpid(), "host": os.uname().nodename,
    }  # fmt: skip
    assert fields(lines.only("agent.started")) == {"agent": "claude", "model": "claude-x", "pid": 77}
    assert fields(lines.only("agent.finished")) == {
        "agent": "claude", "exit_code": 0, "turns": 5, "pid": 77, "conversation": "c-1"
    }  # fmt: skip
    assert fields(lines.only("usage.measured")) == {
        "model": "claude-x", "input_tokens": 10, "output_tokens": 300, "cost_usd": 0.0123
    }  # fmt: skip
    assert fields(lines.only("context.measured")) == {"percent": 61.0, "tokens": 122_000, "window": 200_000}
    assert fields(lines.only("tests.finished")) == {"passed": 41, "failed": 1, "results": {"test_a": True}}
    assert fields(lines.only("tool.called")) == {"tool": "Bash", "outcome": "failure"}
    assert fields(lines.only("iteration.finished")) == {"iteration": 1, "outcome": "success", "exit_code": 0}
    assert fields(lines.only("reboot.started")) == {"reason": "redline", "context_percent": 88}
    assert fields(lines.only("loop.stopped")) == {"reason": "tests_passed"}
    assert session.session == "s1"
    assert not any(part.open for part in (loop, session, it, agent))


def test_each_part_stands_in_the_one_around_it(lines: Lines) -> None:
    with Loop("l", lines) as loop, loop.session() as session, loop.iteration() as it, it.agent("claude") as agent:
        it.tests(1, 0)
        agent.tool("Bash")
        it.progress(0.5)
    own = {line["type"]: line["span_id"] for line in lines}
    parents = {line["type"]: line.get("parent_span_id") for line in lines}
    assert parents["loop.started"] is None
    assert parents["session.started"] == loop.span_id == own["loop.started"]
    assert parents["iteration.started"] == session.span_id == own["session.started"] == own["session.ended"]
    assert parents["agent.started"] == it.span_id == own["iteration.finished"] == own["progress.measured"]
    assert parents["tests.finished"] == it.span_id != own["tests.finished"]
    assert parents["tool.called"] == agent.span_id == own["agent.finished"]
    assert len({own[name] for name in own if name.endswith("started")}) == 4


def test_durations_are_measured(lines: Lines) -> None:
    with Loop("l", lines) as loop, loop.session(), loop.iteration() as it, it.agent("claude"):
        time.sleep(0.02)
    for type_ in ("session.ended", "iteration.finished", "agent.finished"):
        assert 0.02 <= lines.only(type_)["duration"] < 10


def test_a_handle_works_without_with(lines: Lines) -> None:
    loop = Loop("l", lines).start()
    session = loop.session().start()
    iteration = loop.iteration().start()
    agent = iteration.agent("codex").start()
    for part in (agent, iteration, session):
        part.finish()
        part.finish()
    loop.stop("max_iterations")
    loop.finish()
    assert lines.types() == [
        "loop.started", "session.started", "iteration.started", "agent.started", "agent.finished", "iteration.finished",
        "session.ended", "stop_condition.triggered", "loop.stopped",
    ]  # fmt: skip
    assert lines.only("iteration.started")["parent_span_id"] == session.span_id


def test_starting_twice_and_measuring_afterwards_do_no_harm(lines: Lines) -> None:
    loop = Loop("l", lines)
    it = loop.iteration().start().start()
    it.finish()
    it.progress(0.3)
    loop.finish()
    assert lines.types() == [
        "loop.started", "iteration.started", "iteration.finished", "progress.measured", "loop.stopped"
    ]  # fmt: skip


def test_a_part_starts_its_loop(lines: Lines) -> None:
    loop = Loop("l", lines)
    with loop.iteration():
        assert loop.open
    assert lines.types()[:2] == ["loop.started", "iteration.started"]


def test_finishing_a_loop_finishes_everything_in_it_inside_out(lines: Lines) -> None:
    loop = Loop("l", lines).start()
    session = loop.session().start()
    loop.iteration().start().agent("claude").start()
    loop.reboot("manual")
    loop.finish()
    assert lines.types()[-5:] == [
        "reboot.finished", "agent.finished", "iteration.finished", "session.ended", "loop.stopped"
    ]  # fmt: skip
    assert not session.open


def test_one_handle_entered_twice_is_left_in_peace(lines: Lines) -> None:
    with Loop("l", lines) as loop, loop:
        assert probe.current() is loop
    assert probe.current() is None
    assert lines.types() == ["loop.started", "loop.stopped"]


def test_the_current_part_is_known_and_restored(lines: Lines) -> None:
    assert probe.current() is None
    with Loop("l", lines) as loop:
        assert probe.current() is loop
        with loop.iteration() as it:
            assert probe.current() is it
        assert probe.current() is loop
    assert probe.current() is None


def test_iterations_are_numbered_from_one_and_go_on_after_a_given_number(lines: Lines) -> None:
    with Loop("l", lines) as loop:
        for number in (None, None, 7, None, 3, None):
            with loop.iteration(number):
                pass
        assert loop.iterations == 9
    assert [line["iteration"] for line in lines.of("iteration.started")] == [1, 2, 7, 8, 3, 9]


# -- failures ---------------------------------------------------------------------------------------------------------


class Boom(Exception):
    """An error of the host's."""


@pytest.mark.parametrize(
    ("error", "outcome", "error_type"),
    [
        (ValueError("secret"), "failure", "ValueError"),
        (Boom("secret"), "failure", f"{__name__}.Boom"),
        (TimeoutError(), "timeout", "TimeoutError"),
        (subprocess.TimeoutExpired(["claude", "secret"], 3), "timeout", "subprocess.TimeoutExpired"),
        (KeyboardInterrupt(), "cancelled", "KeyboardInterrupt"),
        (asyncio.CancelledError("secret"), "cancelled", "asyncio.exceptions.CancelledError"),
        (GeneratorExit(), "cancelled", "GeneratorExit"),
        (SystemExit(3), "failure", "SystemExit"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_goes_through_and_leaves_outcome_and_class_but_no_message(
    error: BaseException, outcome: str, error_type: str, lines: Lines
) -> None:
    with pytest.raises(type(error)) as raised, Loop("l", lines) as loop, loop.iteration() as it, it.agent("claude"):
        raise error
    assert raised.value is error
    assert fields(lines.only("iteration.finished")) == {"iteration": 1, "outcome": outcome, "error_type": error_type}
    assert lines.only("agent.finished")["outcome"] == outcome
    assert lines.only("error.raised")["error_type"] == error_type
    assert lines.only("loop.stopped")["reason"] == ("user_signal" if outcome == "cancelled" else "error")
    assert "secret" not in repr(lines)


@pytest.mark.parametrize("code", [0, None])
def test_a_program_that_exits_well_inside_the_loop_has_not_failed(code: int | None, lines: Lines) -> None:
    with pytest.raises(SystemExit), Loop("l", lines) as loop, loop.iteration():
        raise SystemExit(code)
    assert lines.only("iteration.finished")["outcome"] == "success"
    assert lines.only("loop.stopped")["reason"] == "completed"
    assert lines.of("error.raised") == []


@pytest.mark.parametrize(
    ("word", "outcome", "error_type"),
    [
        ("timeout", "timeout", "timeout"),
        ("cancelled", "cancelled", "cancelled"),
        ("failure", "failure", "failure"),
        ("success", "failure", "success"),
        ("RateLimited", "failure", "RateLimited"),
        ("", "failure", "error"),
        ("x" * 300, "failure", "x" * 256),
    ],
)
def test_an_iteration_can_be_said_to_fail(word: str, outcome: str, error_type: str, lines: Lines) -> None:
    with Loop("l", lines) as loop, loop.iteration() as it:
        it.fail(word)
    assert fields(lines.only("iteration.finished")) == {"iteration": 1, "outcome": outcome, "error_type": error_type}
    assert lines.only("loop.stopped")["reason"] == "completed"


def test_a_failure_inside_that_is_caught_does_not_fail_the_loop(lines: Lines) -> None:
    with Loop("l", lines) as loop:
        with pytest.raises(Boom), loop.iteration():
            raise Boom
        with loop.iteration():
            pass
    assert [line["outcome"] for line in lines.of("iteration.finished")] == ["failure", "success"]
    assert lines.of("error.raised") == []
    assert lines.only("loop.stopped")["reason"] == "completed"


def stop_and_fail(loop: Loop) -> None:
    with loop.iteration():
        loop.stop("max_cost")
        raise Boom


def test_a_reason_given_before_the_error_counts(lines: Lines) -> None:
    with pytest.raises(Boom), Loop("l", lines) as loop:
        stop_and_fail(loop)
    assert lines.only("loop.stopped")["reason"] == "max_cost"


# -- stopping ---------------------------------------------------------------------------------------------------------


def test_a_stop_inside_waits_for_what_is_open(lines: Lines) -> None:
    with Loop("l", lines) as loop:
        with loop.session(), loop.iteration() as it:
            loop.stop("no_progress")
            open_inside = loop.open
            it.tests(1, 0)
        assert (open_inside, loop.open) == (True, False)
    assert lines.types()[3:] == [
        "stop_condition.triggered", "tests.finished", "iteration.finished", "session.ended", "loop.stopped"
    ]  # fmt: skip
    assert lines.only("stop_condition.triggered")["condition"] == "no_progress"


def test_a_stop_outside_ends_the_loop_at_once_and_the_first_reason_counts(lines: Lines) -> None:
    with Loop("l", lines) as loop:
        loop.stop("file_found")
        loop.stop("error")
        assert not loop.open
    assert lines.types() == ["loop.started", "stop_condition.triggered", "loop.stopped"]
    assert lines.only("loop.stopped")["reason"] == "file_found"


@pytest.mark.parametrize("reason", events.STOP_REASONS)
def test_every_reason_is_taken_as_it_is(reason: str, lines: Lines, heard: list[str]) -> None:
    Loop("l", lines).start().stop(reason)
    assert lines.only("loop.stopped")["reason"] == reason
    assert heard == []


def test_an_unknown_reason_is_said_and_taken_as_the_usual_one(lines: Lines, heard: list[str]) -> None:
    loop = Loop("l", lines).start()
    loop.reboot("because")
    loop.stop("enough")
    assert lines.only("reboot.started")["reason"] == "manual"
    assert lines.only("loop.stopped")["reason"] == "completed"
    assert heard == [
        "ralph-otel: loop.reboot: unknown reason 'because', taken as 'manual'; known ones: "
        + ", ".join(events.REBOOT_REASONS),
        "ralph-otel: loop.stop: unknown reason 'enough', taken as 'completed'; known ones: "
        + ", ".join(events.STOP_REASONS),
    ]


def test_who_asked_is_told_when_a_loop_has_stopped(lines: Lines) -> None:
    stopped: list[Loop] = []
    loop = Loop("l", lines, on_stop=stopped.append)
    with loop, loop.iteration():
        loop.stop()
        assert stopped == []
    assert stopped == [loop]


# -- reboots ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["session", "iteration"])
def test_a_reboot_ends_when_the_next_part_begins(part: str, lines: Lines) -> None:
    with Loop("l", lines) as loop:
        loop.reboot("degradation", 70)
        with getattr(loop, part)():
            pass
    assert lines.types()[1:4] == ["reboot.started", "reboot.finished", f"{part}.started"]
    assert fields(lines.only("reboot.finished")) == {"reason": "degradation", "context_percent": 70}


def test_a_reboot_does_not_hold_up_a_stop(lines: Lines) -> None:
    with Loop("l", lines) as loop:
        loop.reboot()
        loop.stop("completed")
        assert not loop.open
    assert lines.types()[-2:] == ["reboot.finished", "loop.stopped"]


def test_a_reboot_inside_a_session_belongs_to_it(lines: Lines) -> None:
    with Loop("l", lines) as loop, loop.session() as session:
        loop.reboot()
    assert lines.only("reboot.started")["parent_span_id"] == session.span_id


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


# -- bad input --------------------------------------------------------------------------------------------------------


def test_texts_are_cut_and_empty_ones_left_out(lines: Lines) -> None:
    with Loop("n" * 300, lines, runner="", runner_version="v" * 300) as loop, loop.iteration() as it:
        it.usage(model="", input_tokens=5)
        it.tool("t" * 300)
        it.tests(1, 0, results={"x" * 300: True})
    assert lines.only("loop.started")["name"] == "n" * 256
    assert "runner" not in lines.only("loop.started")
    assert lines.only("loop.started")["runner_version"] == "v" * 256
    assert fields(lines.only("usage.measured")) == {"input_tokens": 5}
    assert lines.only("tool.called")["tool"] == "t" * 256
    assert lines.only("tests.finished")["results"] == {"x" * 256: True}


def test_attributes_that_will_not_do_are_left_out_one_by_one(lines: Lines, heard: list[str]) -> None:
    attributes = {
        "team": "a", "level": 3, "share": 0.5, "urgent": True, 7: "seven", "none": None, "list": ["secret"],
        "nan": float("nan"), "inf": float("inf"), "huge": 2**63,
    }  # fmt: skip
    with Loop("l", lines, attributes=attributes):  # type: ignore[arg-type]  # that is the point
        pass
    assert lines.only("loop.started")["attributes"] == {
        "team": "a", "level": 3, "share": 0.5, "urgent": True, "7": "seven"
    }  # fmt: skip
    assert len(heard) == 5
    assert heard[1] == (
        "ralph-otel: loop attributes: 'list', a list, is left out; it must be a text, a finite number, true or false"
    )


@pytest.mark.parametrize("odd", ["text", 5, ["a"], object()])
def test_what_is_no_mapping_raises_nothing(odd: Any, heard: list[str]) -> None:
    written: list[Line] = []
    with Loop("l", written.append, attributes=odd) as loop, loop.iteration() as it:
        it.tests(1, 0, results=odd)
    assert [problem_with(line) is None for line in written] == [True, True, False, True, True]
    assert len(heard) == 1


def test_an_empty_name_is_called_loop(lines: Lines) -> None:
    with Loop("", lines) as loop:
        assert loop.name == "loop"


def test_values_of_wrong_types_raise_nothing() -> None:
    written: list[Line] = []
    odd: Any = object()
    with Loop(odd, written.append, max_iterations=odd, runner=odd, attributes={"a": odd}) as loop:
        with loop.session(odd), loop.iteration(odd) as it, it.agent(odd, odd, odd):
            it.usage(odd, odd, odd, odd, odd, odd, odd)
            it.context_usage(odd, odd, odd)
            it.tests(odd, odd, odd, odd, odd, {odd: odd})
            it.progress(odd, odd, odd, odd, odd, odd)
            it.tool(odd, odd, odd)
            it.error(odd)
            it.fail(odd)
        loop.reboot(odd, odd)
        loop.stop(odd)
    assert written[-1]["type"] == "loop.stopped"


# -- threads and tasks ------------------------------------------------------------------------------------------------


def test_threads_share_a_loop_without_losing_events_or_numbers(lines: Lines) -> None:
    def work() -> None:
        barrier.wait(20)
        for _ in range(20):
            with loop.iteration() as it, it.agent("claude") as agent:
                agent.usage(output_tokens=1)
                it.progress(0.5)
                it.tests(1, 0)

    barrier = threading.Barrier(20)
    with Loop("l", lines) as loop, loop.session() as session:
        threads = [threading.Thread(target=work) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(lines.of("usage.measured")) == len(lines.of("tests.finished")) == 400
    assert sorted(line["iteration"] for line in lines.of("iteration.started")) == list(range(1, 401))
    assert {line["parent_span_id"] for line in lines.of("iteration.started")} == {session.span_id}
    spans = {line["span_id"] for line in lines.of("iteration.started")}
    assert {line["parent_span_id"] for line in lines.of("agent.started")} == spans
    assert lines.types()[-1] == "loop.stopped"


def test_three_loops_at_once_in_asyncio_keep_their_parts_apart() -> None:
    async def run(name: str) -> Lines:
        own = Lines()
        with Loop(name, own) as loop:
            for _ in range(5):
                with loop.session(), loop.iteration() as it:
                    await asyncio.sleep(0)
                    assert probe.current() is it
                    with it.agent("claude"):
                        await asyncio.sleep(0)
        return own

    async def main() -> list[Lines]:
        return await asyncio.gather(*(run(name) for name in "abc"))

    for lines in asyncio.run(main()):
        own = {line["span_id"] for line in lines}
        assert all(line.get("parent_span_id") in {None, *own} for line in lines)
        assert lines.types() == [
            "loop.started",
            *["session.started", "iteration.started", "agent.started", "agent.finished", "iteration.finished",
              "session.ended"] * 5,
            "loop.stopped",
        ]  # fmt: skip
        for session, iteration in zip(lines.of("session.started"), lines.of("iteration.started"), strict=True):
            assert iteration["parent_span_id"] == session["span_id"]


def test_sessions_of_one_loop_in_several_tasks_keep_their_iterations_apart(lines: Lines) -> None:
    async def work(loop: Loop, name: str) -> None:
        with loop.session(name):
            for _ in range(3):
                with loop.iteration():
                    await asyncio.sleep(0)

    async def main() -> None:
        with Loop("l", lines) as loop:
            await asyncio.gather(*(work(loop, name) for name in "abc"))

    asyncio.run(main())
    sessions = {line["span_id"]: line["session"] for line in lines.of("session.started")}
    parents = [sessions[line["parent_span_id"]] for line in lines.of("iteration.started")]
    assert sorted(parents) == list("aaabbbccc")


def test_a_block_left_in_another_thread_or_task_raises_and_says_nothing(
    lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop("l", lines)
    loop.__enter__()
    iteration = loop.iteration()
    iteration.__enter__()

    def leave_here() -> None:
        iteration.__exit__(None, None, None)
        loop.__exit__(None, None, None)

    thread = threading.Thread(target=leave_here)
    thread.start()
    thread.join(20)
    assert lines.types() == ["loop.started", "iteration.started", "iteration.finished", "loop.stopped"]
    assert caplog.records == []
    probe._current.set(None)
    otel_context.attach(otel_context.Context())


def test_a_generator_that_is_closed_elsewhere_says_nothing(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    async def stream() -> Any:
        with Loop("l", lines) as loop, loop.iteration():
            yield 1

    async def main() -> None:
        generator = stream()
        await asyncio.create_task(anext(generator))
        await asyncio.create_task(generator.aclose())

    asyncio.run(main())
    assert lines.only("iteration.finished")["outcome"] == "cancelled"
    assert lines.only("loop.stopped")["reason"] == "user_signal"
    assert caplog.records == []
