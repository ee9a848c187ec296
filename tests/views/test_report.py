"""What a report says of a run, whatever the format: totals, rankings, comparison, and of runs that are odd."""

from __future__ import annotations

import io
import json
import os
import stat
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ralph_otel.cli.report import command
from ralph_otel.events import STOP_REASONS
from ralph_otel.tracecontext import host_name
from ralph_otel.views.report import WRITERS, gather, wording
from support.tape import Tape, at
from support.watched import loop_process


def write(home: Path, tape: Tape) -> Path:
    """A journal in the home folder."""
    return tape.write(home / "runs" / f"{tape.run}.jsonl")


@dataclass(frozen=True)
class Result:
    """What the command printed, and how it ended."""

    code: int
    out: str
    err: str


def call(*arguments: str) -> Result:
    """Call `ralph-otel report`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        command.main(list(arguments))
    return Result(int(end.value.code or 0), out.getvalue(), err.getvalue())


def report(run: str) -> dict[str, Any]:
    """A run's report as JSON."""
    result = call(run, "--format", "json")
    assert result.code == 0
    read: dict[str, Any] = json.loads(result.out)
    return read


def in_words(run: str) -> str:
    """A run's report as Markdown."""
    result = call(run, "--format", "markdown")
    assert result.code == 0
    return result.out


def a_run(run: str = "20261101T000000Z-aaaaaa", name: str = "fix-bugs", start: float = 0) -> Tape:
    """Eight iterations of 1 to 8 seconds that cost 8 to 1 dollars; the third failed; one reboot; tests get better."""
    tape = Tape("", run).add(start, "loop.started", name=name, runner="ralphify", runner_version="0.3.0")
    for number in range(1, 9):
        begin = start + 10 * number
        tape.add(begin, "iteration.started", iteration=number)
        tape.add(begin, "usage.measured", model="m", input_tokens=10, cost_usd=9.0 - number)
        tape.add(begin, "tests.finished", passed=number, failed=8 - number)
        tape.add(
            begin + number, "iteration.finished", iteration=number, duration=float(number),
            **({"outcome": "failure", "error_type": "AgentError"} if number == 3 else {"outcome": "success"}),
        )  # fmt: skip
    tape.add(start + 90, "reboot.started", reason="redline", context_percent=90)
    return tape.add(start + 100, "loop.stopped", reason="tests_passed")


# -- what it says ------------------------------------------------------------------------------------------------------


def test_json_has_what_ran_when_and_why_it_stopped(home: Path) -> None:
    write(home, a_run())
    said = report("latest")
    assert (said["run"], said["name"], said["runner"]) == ("20261101T000000Z-aaaaaa", "fix-bugs", "ralphify")
    assert (said["status"], said["stop_reason"]) == ("stopped", "tests_passed")
    assert datetime.fromisoformat(said["started"]).timestamp() * 1e9 == at(0)
    assert datetime.fromisoformat(said["stopped"]).timestamp() * 1e9 == at(100)
    assert said["metrics"]["total_iterations"] == 8
    assert said["metrics"]["total_execution_time"] == 100.0
    assert said["outcomes"] == {"success": 7, "failure": 1}
    assert said["cost_usd"] == 36.0


def test_json_has_every_iteration(home: Path) -> None:
    write(home, a_run())
    iterations = report("latest")["iterations"]
    assert [row["number"] for row in iterations] == list(range(1, 9))
    third = iterations[2]
    assert (third["outcome"], third["error_type"], third["cost"]) == ("failure", "AgentError", 6.0)
    assert third["tests"] == {"passed": 3, "failed": 5, "skipped": 0, "total": 8}


def test_the_slowest_and_the_most_expensive_iterations_are_named_the_most_first(home: Path) -> None:
    write(home, a_run())
    said = report("latest")
    assert said["slowest"] == [8, 7, 6, 5, 4]
    assert said["most_expensive"] == [1, 2, 3, 4, 5]


def test_where_nobody_spoke_of_money_tokens_say_what_is_expensive(home: Path) -> None:
    tape = Tape(run="r").iteration(1, 1).add(2.5, "usage.measured", input_tokens=5)
    write(home, tape.iteration(3, 2).add(4.5, "usage.measured", input_tokens=50))
    assert report("r")["most_expensive"] == [2, 1]


def test_the_words_say_what_happened(home: Path) -> None:
    write(home, a_run())
    words = in_words("latest")
    assert "## Ralph loop `fix-bugs`" in words
    assert "Stopped, tests passed: all tests pass." in words
    assert "8 iterations in 1m40s, 7 of them successful." in words
    assert "Tests: at first 1 of 8 passed, at the end 8 of 8." in words
    assert "It cost $36.00." in words
    assert "The context was thrown away 1 time." in words
    assert "| Runner | `ralphify 0.3.0` |" in words


def test_the_redline_is_drawn_where_the_context_is(home: Path) -> None:
    tape = Tape(run="r").add(1, "iteration.started", iteration=1).add(2, "context.measured", percent=60)
    page = WRITERS["html"](gather(write(home, tape), home))
    assert "Across: the redline, 85%." in page
    assert page.count('class="level"') == 1


def test_money_that_was_estimated_is_said_to_be(home: Path) -> None:
    tape = Tape(run="r").add(1, "usage.measured", cost_usd=1.0)
    write(home, tape.add(2, "usage.measured", cost_usd=3.0, cost_source="estimated"))
    assert "It cost $4.00, $3.00 of it estimated." in in_words("r")


@pytest.mark.parametrize("reason", STOP_REASONS)
def test_every_stop_reason_is_explained(home: Path, reason: str) -> None:
    write(home, Tape(run="r").add(1, "loop.stopped", reason=reason))
    explained = in_words("r").split("**")[1]
    assert explained.startswith(f"Stopped, {reason.replace('_', ' ')}: ")
    assert len(explained) > len(f"Stopped, {reason}: .")


def test_what_another_runner_calls_completed_is_not_said_to_be_our_goal(home: Path) -> None:
    for runner, why in (("ralph-otel", "goal's command"), ("ralphify", "as its runner says")):
        write(home, Tape(run=runner, runner=runner).add(1, "loop.stopped", reason="completed"))
        assert why in in_words(runner).split("**")[1]


def test_the_iteration_in_which_a_run_was_killed_is_named(home: Path) -> None:
    tape = Tape(run="r").iteration(1, 1).add(3, "iteration.started", iteration=2)
    write(home, tape.add(9, "loop.stopped", reason="crashed"))
    assert "Iteration 2 did not finish." in in_words("r")
    with loop_process(home / "runs" / "s.jsonl") as loop:
        loop.add("iteration.started", iteration=7)
        assert "Iteration 7 is running." in in_words("s")
    assert "Iteration 7 did not finish." in in_words("s")
    write(home, Tape(run="t").iteration(1, 1).add(9, "loop.stopped", reason="completed"))
    assert "did not finish" not in in_words("t")


def test_failing_and_flaky_tests_are_named_with_their_failures(home: Path) -> None:
    tape = Tape(run="r")
    for turn in range(8):
        tape.add(turn, "tests.finished", passed=1, failed=1, results={"shaky": turn % 2 == 0, "broken": False})
    write(home, tape)
    tests = report("r")["tests"]
    assert tests["runs"] == 8
    assert tests["failing"] == [{"test": "broken", "failures": 8}, {"test": "shaky", "failures": 4}]
    assert tests["flaky"] == [{"test": "shaky", "failures": 4}]
    assert "<summary>Flaky tests (1)</summary>\n\n| Test | Failed runs |\n| --- | ---: |\n| `shaky` | 4 |" in in_words(
        "r"
    )


def test_tools_models_errors_reboots_and_conditions_have_tables(home: Path) -> None:
    tape = Tape(run="r").add(1, "tool.called", tool="Bash", outcome="failure", duration=1.5)
    tape.add(1, "usage.measured", model="opus", output_tokens=7).add(1, "error.raised", error_type="RateLimit")
    tape.add(1, "reboot.started", reason="iteration_limit", context_percent=50)
    tape.add(3, "reboot.finished", reason="iteration_limit")
    write(home, tape.add(3, "stop_condition.triggered", condition="max_cost"))
    words = in_words("r")
    for row in (
        "| `Bash` | 1 | 1 | 1.5s | 1.5s |",
        "| `opus` | 7 |",
        "| `RateLimit` | 1 |",
        "| iteration limit | 50% | 2s |",
        "| `max_cost` | 1 |",
    ):
        assert row in words
    said = report("r")
    assert said["tools"] == {"Bash": {"calls": 1, "failures": 1, "seconds": 1.5, "turns": 0}}
    assert said["reboots"][0]["reason"] == "iteration_limit"
    assert (said["errors"], said["stop_conditions"]) == ({"RateLimit": 1}, {"max_cost": 1})


# -- comparison --------------------------------------------------------------------------------------------------------


def earlier(home: Path, number: int, iterations: int, name: str = "fix-bugs", end: bool = True) -> str:
    """A run before the one of `a_run`, of so many iterations of 2 seconds."""
    tape = Tape("", f"2026100{number}T000000Z-aaaaaa").add(-10_000 + number, "loop.started", name=name)
    for index in range(iterations):
        tape.iteration(-9_000 + index * 3, index + 1, duration=2.0)
    if end:
        tape.add(-8_000, "loop.stopped", reason="max_iterations")
    write(home, tape)
    return tape.run


def test_a_run_is_compared_with_the_median_of_the_finished_ones_before_it(home: Path) -> None:
    runs = [earlier(home, number, iterations) for number, iterations in ((1, 4), (2, 16), (3, 5))]
    earlier(home, 4, 100, name="another loop")
    earlier(home, 5, 100, end=False)
    earlier(home, 6, 0)
    write(home, a_run())
    write(home, a_run("20261201T000000Z-bbbbbb", start=5_000))
    comparison = report("20261101")["comparison"]
    assert comparison["runs"] == runs[::-1]
    assert comparison["figures"]["iterations"] == {"this": 8, "median": 5}
    assert comparison["figures"]["iteration_duration"] == {"this": 4.5, "median": 2.0}
    assert comparison["figures"]["cost_usd"] == {"this": 36.0, "median": None}
    words = in_words("20261101")
    assert "| Iterations | 8 | 5 | +60% |" in words
    assert "| Iterations that succeeded | 87.5% | 100% | −12 points |" in words
    assert "the median of the 3 finished runs of this loop" in words


def test_of_many_earlier_runs_the_last_ten_count(home: Path) -> None:
    for number in range(1, 13):
        tape = Tape("", f"202610{number:02}T000000Z-aaaaaa").add(-900 + number, "loop.started", name="fix-bugs")
        tape.iteration(-500, 1, duration=float(number)).add(-400, "loop.stopped", reason="completed")
        write(home, tape)
    write(home, a_run())
    comparison = report("20261101")["comparison"]
    assert [run[6:8] for run in comparison["runs"]] == [f"{number:02}" for number in range(12, 2, -1)]
    assert comparison["figures"]["iteration_duration"]["median"] == 7.5


def test_the_first_run_of_a_loop_is_compared_with_nothing(home: Path) -> None:
    write(home, a_run())
    assert report("latest")["comparison"]["runs"] == []
    assert "Compared with" not in in_words("latest")


# -- odd runs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("process", "status", "words"),
    [
        ({}, "open", "Without an end"),
        ({"pid": os.getpid(), "host": host_name()}, "running", "Still running."),
        ({"pid": 2**22 + 1, "host": host_name()}, "killed", "Killed: its process is gone"),
        ({"pid": 2**22 + 1, "host": "elsewhere"}, "open", "Without an end"),
    ],
)
def test_a_run_without_an_end_runs_or_was_killed(home: Path, process: Any, status: str, words: str) -> None:
    tape = Tape("", "r")
    tape.lines.append({"v": 1, "type": "loop.started", "ts": 2**62, "loop": "r", "name": "n", **process})
    write(home, tape)
    said = report("r")
    assert (said["status"], said["stop_reason"], said["stopped"]) == (status, None, None)
    assert words in in_words("r")


def test_a_run_that_is_known_to_run_takes_time_until_now(home: Path) -> None:
    start = (time.time_ns() - at(0)) / 1e9
    for run, process, seconds in (("r", {"pid": os.getpid(), "host": host_name()}, 60.0), ("s", {}, 2.0)):
        tape = Tape("", run).add(start, "loop.started", name="n", **process).iteration(start + 1, 1)
        made = gather(write(home, tape), home, now=at(start + 60))
        assert made.metrics.total_execution_time == pytest.approx(seconds)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\xff\n{}\n", b'{"v":1,"type":"loop.sta'])
@pytest.mark.parametrize("format_", WRITERS)
def test_a_journal_without_a_usable_line_is_said_to_be_empty(home: Path, content: bytes, format_: str) -> None:
    (home / "runs").mkdir(parents=True)
    (home / "runs" / "r.jsonl").write_bytes(content)
    result = call("r", "--format", format_)
    assert result.code == 0
    assert ('"status": "empty"' if format_ == "json" else "the journal has no usable line") in result.out


def test_bad_lines_are_counted_and_explained(home: Path) -> None:
    path = write(home, a_run())
    with path.open("ab") as file:
        file.write(b'{"v":1,"type":"loop.stopped","ts":1,"loop":"r","reason":"tired"}\nnonsense\n{"v":1,"ty')
    result = call("latest", "--format", "json")
    journal = json.loads(result.out)["journal"]
    assert (journal["bad_lines"], journal["torn"]) == (2, True)
    assert "'tired'" in journal["problems"][0]
    assert result.err == "ralph-otel: 20261101T000000Z-aaaaaa.jsonl: lines skipped: 2; the report says why\n"
    words = in_words("latest")
    assert "> 2 lines of the journal could not be used and are left out." in words
    assert "'tired'" in words


def test_a_file_with_several_runs_is_reported_for_the_last_and_says_so(tmp_path: Path) -> None:
    both = Tape("")
    both.lines = [*Tape("one", "a").iteration(1, 1).lines, *Tape("two", "b").lines]
    words = in_words(str(both.write(tmp_path / "both.jsonl")))
    assert "## Ralph loop `two`" in words
    assert "> The journal holds 1 other run; this report is of the last one." in words


@pytest.mark.parametrize("format_", WRITERS)
def test_a_run_of_thousands_of_iterations_gives_a_report_of_bearable_size(home: Path, format_: str) -> None:
    tape = Tape(run="r")
    for number in range(1, 3001):
        tape.iteration(number * 2, number, "failure" if number % 7 == 0 else "success")
        tape.add(number * 2, "context.measured", percent=number % 100).add(number * 2, "usage.measured", cost_usd=0.5)
        tape.add(number * 2, "reboot.started", reason="redline").add(number * 2, "progress.measured", score=0.5)
        tape.add(number * 2, "tests.finished", passed=number, failed=1)
    write(home, tape)
    result = call("r", "--format", format_)
    assert result.code == 0
    most = {"html": 500_000, "markdown": 65_536, "json": 2_500_000}[format_]
    assert 1_000 < len(result.out) < most


def test_times_beyond_the_calendar_and_huge_numbers_are_shown_somehow(home: Path) -> None:
    tape = Tape("", "r")
    for type_, fields in (
        ("loop.started", {"name": "n", "max_iterations": 2**63 - 1}),
        ("iteration.finished", {"iteration": 2**63 - 1, "outcome": "success", "duration": 1e300}),
        ("usage.measured", {"input_tokens": 2**63 - 1, "cost_usd": 1e300}),
        ("tests.finished", {"passed": 2**63 - 1, "failed": 2**63 - 1, "total": 2**63 - 1}),
        ("context.measured", {"percent": 1e300}),
        ("tool.called", {"tool": "t", "outcome": "success", "duration": 1e300}),
    ):
        tape.lines.append({"v": 1, "type": type_, "ts": 2**63 - 1, "loop": "r", **fields})
    write(home, tape)
    for format_ in WRITERS:
        result = call("r", "--format", format_)
        assert result.code == 0


# -- where it goes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "begins"), [("r.html", "<!doctype html>"), ("r.md", "## Ralph"), ("r.json", "{"), ("r.txt", "## Ralph")]
)
def test_the_output_files_name_says_the_format(home: Path, tmp_path: Path, name: str, begins: str) -> None:
    write(home, a_run())
    result = call("--output", str(tmp_path / name))
    assert result == Result(0, "", "")
    assert (tmp_path / name).read_text().startswith(begins)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_format_that_is_asked_for_counts_more_than_the_files_name(home: Path, tmp_path: Path) -> None:
    write(home, a_run())
    assert call("latest", "--format", "json", "--output", str(tmp_path / "r.html")).code == 0
    assert json.loads((tmp_path / "r.html").read_text())["name"] == "fix-bugs"


def test_an_output_that_cannot_be_written_is_one_line(home: Path, tmp_path: Path) -> None:
    write(home, a_run())
    result = call("--output", str(tmp_path / "no" / "r.html"))
    assert (result.code, result.out) == (1, "")
    assert f"--output: cannot write {tmp_path / 'no' / 'r.html'}: No such file or directory" in result.err
    assert result.err.count("\n") == 1


# -- numbers in words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dollars", "said"),
    [(0, "$0.00"), (0.00001, "$0.0000"), (0.0123, "$0.0123"), (0.25, "$0.25"), (0.3, "$0.30"), (1204.333, "$1,204.33")],
)
def test_money_is_written_to_the_cent_and_small_sums_to_a_hundredth_of_it(dollars: float, said: str) -> None:
    assert wording.money(dollars) == said


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(0, "0%"), (1, "100%"), (0.5, "50%"), (0.9999, "> 99.9%"), (0.00001, "< 0.1%"), (0.875, "87.5%")],
)
def test_a_ratio_is_all_or_nothing_only_if_it_is(ratio: float, said: str) -> None:
    assert wording.percent(ratio) == said


@pytest.mark.parametrize(
    ("value", "usual", "ratio", "said"),
    [
        (12, 10, False, "+20%"), (5, 10, False, "−50%"), (10.01, 10, False, "same"), (0, 0, False, "same"),
        (3, 0, False, "new"), (0.9, 0.5, True, "+40 points"), (0, 0.25, True, "−25 points"),
        (0.3, 0, True, "+30 points"),
    ],
)  # fmt: skip
def test_a_difference_is_in_percent_and_for_ratios_in_points(
    value: float, usual: float, ratio: bool, said: str
) -> None:
    assert wording.difference(value, usual, ratio) == said
