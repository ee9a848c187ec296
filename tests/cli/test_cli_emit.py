"""`ralph-otel emit`: what a shell script says becomes lines of a journal, with what it need not say filled in."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_line import call, command

from ralph_otel import tracecontext
from ralph_otel.events import Line
from ralph_otel.journal import runs_folder
from support.tape import TRACE, Tape, lines_of


def emit(*words: str) -> str:
    """Emit an event that is right; what the command prints."""
    result = call("emit", *words)
    assert (result.code, result.err) == (0, "")
    return result.out.strip()


def refused(*words: str) -> str:
    """Emit an event that is wrong; the line that says so, after the usage."""
    result = call("emit", *words)
    assert (result.code, result.out) == (2, "")
    usage, said = result.err.splitlines()
    assert usage.startswith("Usage: ralph-otel emit")
    return said.removeprefix("ralph-otel: ")


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run that has started, as a script has it."""
    run_id = emit("loop.started", "name=fix-bugs")
    monkeypatch.setenv("RALPH_OTEL_RUN", run_id)
    return run_id


def journal(home: Path, run_id: str) -> list[Line]:
    """A run's lines."""
    return lines_of(runs_folder(home) / f"{run_id}.jsonl")


def fields(line: Line) -> dict[str, Any]:
    """A line's own fields, without its envelope and its duration."""
    envelope = ("v", "type", "ts", "loop", "trace_id", "span_id", "parent_span_id", "duration")
    return {name: value for name, value in line.items() if name not in envelope}


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_loop_that_starts_is_a_new_run_whose_id_is_printed(home: Path) -> None:
    run_id = emit("loop.started", "name=fix-bugs", "max_iterations=3")
    (line,) = journal(home, run_id)
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", run_id)
    assert (line["loop"], line["name"], line["max_iterations"]) == (run_id, "fix-bugs", 3)
    assert (runs_folder(home) / f"{run_id}.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_loop_that_starts_is_never_written_into_a_run_that_is_there(home: Path, run: str) -> None:
    another = emit("loop.started", "name=again")  # the variable is still set, as in an interactive shell
    assert another != run
    assert len(journal(home, run)) == 1


def test_a_new_run_may_be_given_its_id(home: Path) -> None:
    assert emit("loop.started", "name=a", "--run", "job-17") == "job-17"
    assert len(journal(home, "job-17")) == 1


@pytest.mark.parametrize("run_id", ["job-17", "latest", "../outside", "a/b", "", "a b", "x" * 201])
def test_an_id_that_is_taken_or_cannot_be_one_is_refused(home: Path, run_id: str) -> None:
    emit("loop.started", "name=a", "--run", "job-17")
    assert "--run: " in refused("loop.started", "name=b", "--run", run_id)
    assert [path.name for path in home.rglob("*.jsonl")] == ["job-17.jsonl"]


def test_an_event_goes_into_the_run_of_the_variable_and_else_into_the_latest(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run_id in ("20260101T000000Z-a", "20260102T000000Z-b"):
        emit("loop.started", "name=a", "--run", run_id)
    emit("loop.paused")
    monkeypatch.setenv("RALPH_OTEL_RUN", "20260101T000000Z-a")
    emit("loop.resumed")
    emit("loop.paused", "--run", "20260102")
    assert [line["type"] for line in journal(home, "20260101T000000Z-a")] == ["loop.started", "loop.resumed"]
    assert [line["type"] for line in journal(home, "20260102T000000Z-b")] == ["loop.started"] + ["loop.paused"] * 2


def test_a_copied_journal_goes_on_under_its_own_runs_id(tmp_path: Path) -> None:
    copy = Tape(run="r").write(tmp_path / "copy.jsonl")
    emit("loop.paused", "--run", str(copy))
    assert [line["loop"] for line in lines_of(copy)] == ["r", "r"]


# -- what is filled in -------------------------------------------------------------------------------------------------


def test_iterations_are_numbered_and_timed(home: Path, run: str) -> None:
    for _ in range(2):
        emit("iteration.started")
        emit("iteration.finished", "outcome=success")
    _, *lines = journal(home, run)
    assert [line["iteration"] for line in lines] == [1, 1, 2, 2]
    for started, finished in zip(lines[::2], lines[1::2], strict=True):
        assert finished["duration"] == (finished["ts"] - started["ts"]) / 1e9


def test_a_number_that_was_given_is_counted_on(home: Path, run: str) -> None:
    emit("iteration.started", "iteration=7")
    emit("iteration.finished", "exit_code=0")
    emit("iteration.started")
    assert [line["iteration"] for line in journal(home, run)[1:]] == [7, 7, 8]


@pytest.mark.parametrize(
    ("code", "outcome"), [("0", "success"), ("1", "failure"), ("-9", "failure"), ("127", "failure")]
)
def test_an_exit_code_says_the_outcome(home: Path, run: str, code: str, outcome: str) -> None:
    emit("iteration.started")
    emit("iteration.finished", f"exit_code={code}")
    assert fields(journal(home, run)[-1]) == {"iteration": 1, "outcome": outcome, "exit_code": int(code)}


def test_what_is_said_counts_more_than_what_is_known(home: Path, run: str) -> None:
    emit("iteration.started")
    emit("iteration.finished", "exit_code=124", "outcome=timeout", "duration=1m30s")
    line = journal(home, run)[-1]
    assert (line["outcome"], line["duration"], line["exit_code"]) == ("timeout", 90.0, 124)


def test_an_end_without_a_beginning_takes_no_time(home: Path, run: str) -> None:
    emit("iteration.finished", "outcome=success")
    line = journal(home, run)[-1]
    assert (line["iteration"], line["duration"]) == (1, 0.0)


def test_sessions_have_an_id_and_a_reboot_keeps_its_reason(home: Path, run: str) -> None:
    emit("session.started")
    emit("reboot.started", "reason=redline", "context_percent=88")
    emit("reboot.finished")
    emit("session.ended")
    started, _, rebooted, ended = journal(home, run)[1:]
    assert started["session"] == ended["session"]
    assert re.fullmatch(r"[0-9a-f]{16}", started["session"])
    assert (rebooted["reason"], rebooted["duration"] >= 0, ended["duration"] >= 0) == ("redline", True, True)


# -- spans -------------------------------------------------------------------------------------------------------------


def test_parts_stand_inside_each_other_and_measurements_in_the_innermost(home: Path, run: str) -> None:
    for words in (
        ["session.started"],
        ["iteration.started"],
        ["agent.started", "agent=claude"],
        ["context.measured", "percent=61.5"],
        ["agent.finished", "agent=claude", "exit_code=0"],
        ["tests.finished", "passed=1", "failed=0"],
        ["iteration.finished", "exit_code=0"],
        ["session.ended"],
        ["loop.stopped", "reason=completed"],
    ):
        call("emit", *words)
    lines = journal(home, run)
    loop, session, iteration, agent, context, agent_end, tests, iteration_end, session_end, loop_end = lines
    assert len({line["trace_id"] for line in lines}) == 1
    assert len({line["span_id"] for line in (loop, session, iteration, agent)}) == 4
    assert "parent_span_id" not in loop
    assert session["parent_span_id"] == loop["span_id"]
    assert iteration["parent_span_id"] == session["span_id"]
    assert agent["parent_span_id"] == iteration["span_id"]
    assert context["span_id"] == agent["span_id"] == agent_end["span_id"]
    assert tests["span_id"] == iteration["span_id"] == iteration_end["span_id"]
    assert session_end["span_id"] == session["span_id"]
    assert loop_end["span_id"] == loop["span_id"]


def test_an_agent_that_starts_is_given_its_traceparent(home: Path, run: str) -> None:
    emit("iteration.started")
    printed = tracecontext.parse(emit("agent.started", "agent=claude"))
    line = journal(home, run)[-1]
    assert printed is not None
    assert (printed.trace_id, printed.span_id, printed.flags) == (line["trace_id"], line["span_id"], 1)


def test_a_loop_stands_in_the_trace_that_its_script_was_started_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-00f067aa0ba902b7-01")
    (line,) = journal(home, emit("loop.started", "name=a"))
    assert (line["trace_id"], line["parent_span_id"]) == (TRACE, "00f067aa0ba902b7")
    assert "trace_flags" not in line


def test_a_trace_that_is_not_sampled_stays_so_for_the_agent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-00f067aa0ba902b7-00")
    (line,) = journal(home, emit("loop.started", "name=a"))
    emit("iteration.started")
    assert line["trace_flags"] == 0
    assert emit("agent.started", "agent=claude").endswith("-00")


def test_a_journal_without_spans_gets_none(home: Path) -> None:
    Tape(run="r").write(runs_folder(home) / "r.jsonl")
    assert emit("agent.started", "agent=claude") == ""
    assert "span_id" not in journal(home, "r")[-1]


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["usage.measured", "input_tokens=10", "cost_usd=0.5"], {"input_tokens": 10, "cost_usd": 0.5}),
        (["usage.measured", "model=claude=x"], {"model": "claude=x"}),
        (["tool.called", "tool=42", "outcome=success"], {"tool": "42", "outcome": "success"}),
        (["progress.measured", "score=1", "made_progress=false"], {"score": 1, "made_progress": False}),
        (
            ["gauge.set", "name=n", "value=-3.5", 'labels={"a": "b"}'],
            {"name": "n", "value": -3.5, "labels": {"a": "b"}},
        ),
        (
            ["tests.finished", "passed=1", "failed=1", 'results={"a": true, "b": false}'],
            {"passed": 1, "failed": 1, "results": {"a": True, "b": False}},
        ),
    ],
)
def test_values_have_the_kind_of_their_field(home: Path, run: str, words: list[str], expected: dict[str, Any]) -> None:
    emit(*words)
    assert fields(journal(home, run)[-1]) == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["loop.strated"], "no event 'loop.strated'; did you mean loop.started"),
        (["zzz"], "no event 'zzz'; the events: loop.started, "),
        (["tests.finished", "passed"], "'passed' is not KEY=VALUE"),
        (["tests.finished", "fialed=1"], "tests.finished has no field 'fialed'; its fields: passed, failed, "),
        (["loop.paused", "a=1"], "loop.paused has no field 'a'; its fields: none"),
        (["tests.finished", "passed=3"], "tests.finished: failed is missing; it must be a whole number of 0 or more"),
        (["tests.finished", "passed=many", "failed=0"], "passed must be a whole number of 0 or more, got 'many'"),
        (["tests.finished", "passed=", "failed=0"], "passed must be a whole number of 0 or more, got ''"),
        (["tests.finished", "passed=-1", "failed=0"], "passed must be a whole number of 0 or more, got -1"),
        (["tests.finished", "passed=1.0", "failed=0"], "passed must be a whole number of 0 or more, got 1.0"),
        (["usage.measured", "cost_usd=NaN"], "cost_usd must be a finite number of 0 or more, got nan"),
        (["usage.measured", "cost_usd=1e999"], "cost_usd must be a finite number of 0 or more, got inf"),
        (["progress.measured", "score=1.5"], "score must be a number from 0 to 1, got 1.5"),
        (["progress.measured", "score=" + "[" * 50_000], "score must be a number from 0 to 1, got '[[["),
        (["iteration.finished", "outcome=ok"], "outcome must be one of success, failure, timeout, cancelled, got 'ok'"),
        (["iteration.finished", "outcome=success", "duration=long"], "duration must be a finite number of 0 or more"),
        (["iteration.finished"], "outcome is missing; it must be one of success, "),
        (["loop.stopped", "reason=done"], "reason must be one of completed, "),
        (["error.raised", "error_type="], "error_type must be a text of 1 to 256 characters, got ''"),
        (["error.raised", "error_type=" + "x" * 257], "error_type must be a text of 1 to 256 characters, got 'xxx"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    home: Path, run: str, words: list[str], said: str
) -> None:
    line = refused(*words)
    assert said in line
    assert len(line) < 500
    assert len(journal(home, run)) == 1


# -- when it cannot be written -----------------------------------------------------------------------------------------


def test_a_script_goes_on_where_no_journal_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RALPH_OTEL_HOME", str(tmp_path / "file" / "below"))
    started = call("emit", "loop.started", "name=a")
    assert (started.code, started.err.count("\n")) == (0, 1)
    assert "cannot write" in started.err
    assert "the event is lost" in started.err
    monkeypatch.setenv("RALPH_OTEL_RUN", started.out.strip())
    later = call("emit", "iteration.started")
    assert (later.code, later.out, later.err.count("\n")) == (0, "", 1)
    assert "the event is lost" in later.err


def test_without_a_run_the_event_is_lost_and_that_is_said(home: Path) -> None:
    result = call("emit", "iteration.started")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("ralph-otel: no run in ")
    assert result.err.endswith("the event is lost\n")


def test_where_several_runs_may_be_meant_none_is_written(home: Path) -> None:
    for run_id in ("r1", "r2"):
        emit("loop.started", "name=a", "--run", run_id)
    result = call("emit", "loop.paused", "--run", "r")
    assert "'r' may be any of 2 runs" in result.err
    assert len(journal(home, "r1")) == len(journal(home, "r2")) == 1


def test_a_line_that_was_torn_does_not_harm_the_next(home: Path, run: str) -> None:
    path = runs_folder(home) / f"{run}.jsonl"
    with path.open("ab") as file:
        file.write(b'{"v":1,"type":"iter')
    emit("loop.paused")
    last = path.read_bytes().splitlines()[-1]
    assert b'"loop.paused"' in last
    assert b'"iter' not in last


def test_several_scripts_may_write_one_journal_at_once(home: Path, run: str) -> None:
    calls = [
        subprocess.Popen(command("emit", "counter.added", f"name=worker_{number}", "value=1"), env=dict(os.environ))
        for number in range(8)
    ]
    assert [process.wait(60) for process in calls] == [0] * 8
    names = {line["name"] for line in journal(home, run)[1:]}
    assert names == {f"worker_{number}" for number in range(8)}
