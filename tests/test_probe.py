"""Handles: the lines that a loop's life makes, in the right order, with the right parents."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time

import pytest

from ralph_otel import events, probe
from ralph_otel.probe import Loop
from support.sink import Lines, fields


@pytest.fixture
def lines() -> Lines:
    return Lines()


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
