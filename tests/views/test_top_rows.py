"""A run as a row, a line, a table and in detail: all of it pure."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from ralph_otel.cli.top import command
from ralph_otel.events import Line
from ralph_otel.journal import decode, encode
from ralph_otel.views.history import History
from ralph_otel.views.live_run import LiveRun
from ralph_otel.views.rows import SORTS, Row, matches, ordered, row_of
from ralph_otel.views.top import detail as details
from ralph_otel.views.top.marks import amount, dollars, gauge, joined, plain, span, strip, trend
from ralph_otel.views.top.table import COLUMNS, PLAIN, columns_for, heading, line, table
from ralph_otel.views.usage import Meters, Usage
from support.tape import Tape, at, fold
from support.watched import ago, loop_process

EVIL = "a\x1b[31mb\x07\u202ec\nd"


def live_run(tape: Tape) -> LiveRun:
    """A run as it is after a tape."""
    states = fold([])
    run: LiveRun | None = None
    for written in tape.lines:
        checked: Line = decode(encode(written))
        state = states.apply(checked)
        assert state is not None
        run = run or LiveRun(tape.run, Path("/journal"), state, History(tape.run))
        run.record(checked)
    assert run is not None
    return run


def row(tape: Tape, now: float = 0.0, usage: Usage | None = None) -> Row:
    """The row of a tape, so many seconds after it began."""
    return row_of(live_run(tape), at(now), usage)


def detail(found: Row, width: int, budget: float | None = None) -> str:
    """The detail as a text."""
    return "\n".join(text.plain for text in details.detail(found, width, budget))


def said(tape: Tape, now: float, width: int = 200, **more: Any) -> dict[str, str]:
    """The detail's lines by their labels."""
    lines = detail(row(tape, now), width, **more).split("\n\n")[0].splitlines()[1:]
    return {text[:11].strip(): text[11:] for text in lines}


def cells(tape: Tape, now: float, width: int = 240, usage: Usage | None = None) -> dict[str, str]:
    """A line's cells by their titles."""
    columns = columns_for(width)
    text, found, place = line(row(tape, now, usage), columns), {}, 0
    for column, wide in columns:
        end = place + wide
        while cell_len(text.plain[place:end]) > wide:
            end -= 1
        found[column.title] = text.plain[place:end].strip()
        place = end + 1
    return found


def busy() -> Tape:
    """A loop with four finished iterations of 10, 20, 30 and 40 seconds, in its fifth."""
    tape = Tape("fix-bugs", "20261101T000000Z-aaaaaa", runner="ralphify", runner_version="0.3.0", max_iterations=30)
    tape.add(0, "session.started", session="s1")
    for number, outcome in enumerate(("success", "failure", "timeout", "success"), 1):
        tape.iteration(number * 50, number, outcome, 10.0 * number)
        tape.add(number * 50 + 45, "tests.finished", passed=38 + number, failed=4 - number)
        tape.add(number * 50 + 46, "progress.measured", score=0.1 * (number - 1), files_changed=number)
        tape.add(number * 50 + 47, "usage.measured", model="opus", input_tokens=1000, output_tokens=500, cost_usd=0.25)
    tape.add(300, "reboot.started", reason="redline", context_percent=88).add(301, "reboot.finished", reason="redline")
    tape.add(302, "context.measured", percent=61.4).add(310, "iteration.started", iteration=5)
    tape.add(311, "agent.started", agent="claude", model="opus", span="a" * 16)
    return tape.add(320, "tool.called", tool="Bash", outcome="success")


# -- the row -----------------------------------------------------------------------------------------------------------


def test_a_row_says_how_old_the_running_iteration_is_and_what_is_usual() -> None:
    found = row(busy(), 350)
    assert (found.iteration, found.age) == (5, 40.0)
    assert found.p50 == pytest.approx(20, rel=0.02)
    assert found.p90 == pytest.approx(30, rel=0.4)
    assert found.outcomes == ("success", "failure", "timeout", "success")
    assert (found.success_ratio, found.context, found.status) == (0.5, 61.4, "running")


def test_money_and_tokens_are_reckoned_by_the_hour() -> None:
    found = row(busy(), 360)
    assert (found.cost, found.tokens) == (1.0, 6000)
    assert found.cost_per_hour == pytest.approx(10.0)  # 1 dollar in a tenth of an hour
    assert found.tokens_per_hour == pytest.approx(60_000)
    later = Tape().add(100, "usage.measured", cost_usd=8.0).add(7000, "usage.measured", cost_usd=3.0)
    assert row(later, 7200).cost_per_hour == pytest.approx(3.0)  # of the last hour only


def test_a_run_that_is_over_has_no_age_and_no_rate() -> None:
    found = row(busy().add(400, "loop.stopped", reason="max_cost"), 9000)
    assert (found.status, found.state, found.going) == ("stopped", "max_cost", False)
    assert (found.iteration, found.age, found.cost_per_hour, found.usage) == (None, None, 0.0, None)
    assert found.metrics.total_execution_time == 400.0


def test_a_dead_run_stands_still_at_its_last_event() -> None:
    run = live_run(busy())
    run.dead = True
    found = row_of(run, at(100_000))
    assert (found.state, found.age, found.metrics.total_execution_time) == ("dead", None, 320.0)


def test_what_the_journal_says_of_the_machine_counts_while_it_is_new() -> None:
    tape = Tape().add(10, "resource.sampled", role="runner", cpu=0.5, memory=1000, processes=1)
    tape.add(10, "resource.sampled", role="agent", cpu=1.5, memory=5000, processes=3)
    assert row(tape, 20).usage == Usage(0.5, 1000, 1.5, 5000, 3)
    assert row(tape, 100).usage is None
    seen = Usage(0.1, 1, None, None, 0)
    assert row(tape, 20, seen).usage == seen
    assert (seen.cpu, seen.memory, Usage(None, None, None, None, 0).cpu) == (0.1, 1, None)


def test_running_loops_come_first_and_every_order_is_kept() -> None:
    cheap, dear, over = (Tape(run=run) for run in ("cheap", "dear", "over"))
    cheap.add(1, "usage.measured", cost_usd=0.1).iteration(2, 1, duration=3).iteration(6, 2, duration=3)
    cheap.add(10, "iteration.started", iteration=3)
    dear.add(5, "usage.measured", cost_usd=7.0).add(6, "progress.measured", score=0.0).iteration(7, 1, duration=9)
    dear.add(20, "iteration.started", iteration=2)
    over.add(6, "usage.measured", cost_usd=0.5).add(7, "context.measured", percent=90)
    over.add(8, "loop.stopped", reason="completed")
    rows = [row(tape, 30) for tape in (over, cheap, dear)]
    orders = {sort: [each.run.key for each in ordered(rows, sort)] for sort in SORTS}
    assert set(orders.pop("state")[:2]) == {"cheap", "dear"}
    assert orders == {
        "cost": ["dear", "over", "cheap"],
        "iterations": ["cheap", "dear", "over"],
        "age": ["cheap", "dear", "over"],
        "context": ["over", "cheap", "dear"],
        "stuck": ["dear", "cheap", "over"],
        "name": ["cheap", "dear", "over"],
    }
    assert [each.run.key for each in ordered(rows, "cost", backwards=True)] == ["cheap", "over", "dear"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("", True), ("FIX", True), ("aaaaaa", True), ("ralphify", True), ("running", True), ("gemini", False)],
)
def test_a_filter_looks_into_name_id_runner_and_state(wanted: str, found: bool) -> None:
    assert matches(row(busy(), 350), wanted) is found


# -- lines -------------------------------------------------------------------------------------------------------------


def test_a_line_says_the_most_important_things_in_80_cells() -> None:
    assert cells(busy(), 350, 80) == {
        "loop": "fix-bugs",
        "state": "running",
        "iter": "5/30",
        "last": "✓✗t✓",
        "ok": "50%",
        "age": "40s",
        "ctx": "61%",
        "tests": "42/42",
        "cost": "$1.00",
    }


def test_a_wide_terminal_shows_everything() -> None:
    found = cells(busy(), 360, 240, Usage(0.02, 2**20, 1.2, 3 * 2**20, 2))
    assert list(found) == [column.title for column in COLUMNS]
    assert {title: found[title] for title in ("$/h", "tool", "cpu", "mem", "time", "quiet", "run")} == {
        "$/h": "$10.00",
        "tool": "Bash",
        "cpu": "122%",
        "mem": "4M",
        "time": "6m00s",
        "quiet": "40s",
        "run": "20261101T000000Z-aaaaaa",
    }


@given(
    st.text(max_size=60).filter(bool),
    st.integers(40, 300),
    st.floats(0, 1e9),
    st.integers(0, 2**60),
    st.floats(0, 1e12),
    st.integers(0, 2**40),
)
def test_every_line_is_as_wide_as_the_terminal_and_obeyed_by_none(
    name: str, width: int, seconds: float, tokens: int, cost: float, tests: int
) -> None:
    name = name.encode("utf-8", "replace").decode()[:60]
    tape = Tape(name, max_iterations=tests).iteration(1, min(tests, 2**60), duration=1.0)
    tape.add(2, "usage.measured", input_tokens=tokens, cost_usd=cost).add(2, "context.measured", percent=cost)
    tape.add(3, "tests.finished", passed=tests, failed=tests).add(4, "tool.called", tool=name, outcome="success")
    tape.add(5, "iteration.started", iteration=2)
    found = row(tape, min(seconds, 1e8))
    columns = columns_for(width)
    for text in (line(found, columns), heading(columns)):
        assert text.cell_len == sum(wide + 1 for _, wide in columns) - 1
        assert text.cell_len == width
        assert text.plain.isprintable()
    for text in details.detail(found, width, 5.0):
        assert text.cell_len <= width
        assert text.plain.isprintable()


def test_what_is_late_or_too_full_is_marked_without_colour() -> None:
    tape = Tape()
    for number in range(6):
        tape.iteration(number * 20, number + 1, duration=10.0)
    tape.add(200, "iteration.started", iteration=7).add(201, "context.measured", percent=91)
    assert cells(tape, 205)["age"] == "5.0s"
    assert cells(tape, 215)["age"] == "15s!"
    assert cells(tape, 215)["ctx"] == "91%!"
    assert "late, 2.0 × p90" in said(tape, 220)["iteration"]
    assert "beyond the redline of 85 %" in said(tape, 220)["context"]


def test_a_pause_makes_no_iteration_late() -> None:
    tape = Tape()
    for number in range(6):
        tape.iteration(number * 20, number + 1, duration=10.0)
    tape.add(200, "iteration.started", iteration=7).add(205, "loop.paused")
    assert (row(tape, 900).age, cells(tape, 900)["age"]) == (5.0, "5.0s")
    assert "paused for 11m35s, ran 3m25s" in details.detail(row(tape, 900), 80)[0].plain
    assert row(tape.add(1000, "loop.resumed"), 1004).age == 9.0


@pytest.mark.parametrize(
    ("limit", "number", "text"),
    [(1000, 37, "37/1000"), (30, 5, "5/30"), (None, 5, "5"), (100_000, 50_000, "50.0k"), (None, 1234, "1234")],
)
def test_iterations_are_told_exactly_where_there_is_room(limit: int | None, number: int, text: str) -> None:
    assert cells(Tape(max_iterations=limit).add(1, "iteration.started", iteration=number), 5)["iter"] == text


# -- the detail --------------------------------------------------------------------------------------------------------


def test_the_detail_answers_what_an_owner_asks() -> None:
    found = said(busy(), 350)
    assert found["iteration"] == "5 of 30 · age 40s · usual 20s, p90 30s"
    assert found["outcomes"] == "✓✗t✓"
    assert found["success"] == "50%  2 of 4 · ✗ 1 failure · t 1 timeout"
    assert found["progress"] == "75% · score ▁▁▂▃ 0.30 · velocity +0.10 · 10 files"
    assert found["tests"].startswith("42/42 · 100% · ")
    assert found["tests"].endswith("+3 since the first run")
    assert "61 %  redline 85 %" in found["context"]
    assert found["reboots"] == "1 · redline 1 · at 88 % on average"
    assert found["tokens"] == "6.00k · 61.7k/h · 4.00k in, 2.00k out · opus"
    assert found["cost"] == "$1.00 · $10.29/h"
    assert found["doing"] == "Bash 30s ago · last event 30s ago"
    assert found["open"] == "agent claude opus 39s · iteration 5 40s · session s1 5m50s"


def test_the_gauge_of_the_context_has_a_mark_at_the_redline() -> None:
    bar = said(busy(), 350)["context"].split("  61 %")[0]
    assert bar == "▕████████████▎    │  ▏"
    assert gauge(0.95, 20, 0.85).plain == "▕█████████████████│█ ▏"


def test_a_budget_is_shown_as_a_gauge_with_the_time_it_will_last() -> None:
    assert said(busy(), 360, budget=2.0)["cost"] == "$1.00 of $2.00 ▕██████████          ▏ · $10.00/h · spent in 6m00s"
    assert said(busy(), 360, budget=0.5)["cost"].endswith("over budget")
    assert said(Tape(), 1, budget=5.0)["cost"].startswith("$0.00 of $5.00")


def test_tests_that_go_up_and_down_are_drawn_so() -> None:
    tape = Tape()
    for number, passed in enumerate((10, 30, 20, 40)):
        tape.iteration(number * 10, number + 1).add(
            number * 10 + 5, "tests.finished", passed=passed, failed=40 - passed
        )
    assert "▁▆▃█" in said(tape, 50)["tests"]


def test_the_last_iterations_are_listed_the_newest_first() -> None:
    lines = detail(row(busy(), 350), 100).split("\n\n")[1].splitlines()
    assert lines[0].split()[:3] == ["iteration", "took", "tests"]
    assert [text.split()[:3] for text in lines[1:]] == [
        ["▸", "5", "40s"],
        ["✓", "4", "40s"],
        ["t", "3", "30s"],
        ["✗", "2", "20s"],
        ["✓", "1", "10s"],
    ]


def test_a_run_that_is_over_says_so() -> None:
    title = detail(row(busy().add(400, "loop.stopped", reason="max_cost"), 1000), 120).splitlines()[0]
    assert title == "fix-bugs · ralphify 0.3.0 · 20261101T000000Z-aaaaaa · max_cost after 6m40s, 10m00s ago"


def test_an_empty_run_has_a_detail_too() -> None:
    assert said(Tape(), 5) == {"iteration": "0", "doing": "last event 5.0s ago"}


def test_nothing_from_a_journal_is_obeyed_by_the_terminal() -> None:
    tape = Tape(EVIL, runner=EVIL, runner_version=EVIL).add(1, "session.started", session=EVIL)
    tape.add(1, "iteration.started", iteration=1).add(1, "agent.started", agent=EVIL, model=EVIL)
    tape.add(2, "tool.called", tool=EVIL, outcome="success").add(2, "error.raised", error_type=EVIL)
    tape.add(2, "usage.measured", model=EVIL, cost_usd=1).add(3, "context.measured", percent=5)
    tape.add(4, "iteration.finished", iteration=1, outcome="failure", duration=3, error_type=EVIL)
    tape.add(5, "iteration.started", iteration=2).add(6, "tool.called", tool=EVIL, outcome="success")
    tape.run = EVIL
    found = row(tape, 10)
    shown = [line(found, columns_for(300)).plain, *detail(found, 300).splitlines(), *table([found]).splitlines()]
    assert all(text.isprintable() for text in shown)
    assert any(r"a\x1b[31mb\x07\u202ec\nd" in text for text in shown)


# -- marks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"), (-1, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (59.4, "59s"), (59.6, "1m00s"), (192, "3m12s"),
        (3599.6, "1h00m"), (7380, "2h03m"), (86_400, "1d00h"), (363_600, "4d05h"), (float("inf"), "?"),
    ],
)  # fmt: skip
def test_a_span_of_time_is_short(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00k"), (9999, "10.0k"), (12_345, "12.3k"), (999_499, "999k"),
     (999_500, "1.00M"), (1.5e9, "1.50G"), (9e18, ">999P")],
)  # fmt: skip
def test_a_number_is_short(value: float, text: str) -> None:
    assert amount(value) == text


def test_dollars_are_as_exact_as_they_need_be() -> None:
    assert [dollars(value) for value in (0, 0.0012, 0.5, 12.345, 1234.5)] == [
        "$0.00", "$0.0012", "$0.50", "$12.35", "$1,234",
    ]  # fmt: skip


def test_parts_are_joined_and_empty_ones_left_out() -> None:
    assert joined(("a", "", Text("b"), Text(""))).plain == "a · b"
    assert joined(()).plain == ""
    assert strip(("success", None, "cancelled")).plain == "✓?c"
    assert trend([], 5).plain == ""
    assert plain("日本語", 5).plain == "日本…"
    assert [gauge(ratio, 4).plain for ratio in (-1, 0, 0.5, 2)] == ["▕    ▏", "▕    ▏", "▕██  ▏", "▕████▏"]


# -- for scripts -------------------------------------------------------------------------------------------------------


def once(*arguments: str) -> list[dict[str, str]]:
    """What `top --once` prints, by its columns."""
    result = CliRunner().invoke(command, ["--once", *arguments])
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    titles, *lines = result.output.splitlines()
    assert titles.split() == list(PLAIN)
    return [dict(zip(PLAIN, text.split(maxsplit=len(PLAIN) - 1), strict=True)) for text in lines]


def test_once_without_a_run_is_a_heading(home: Path) -> None:
    assert once() == []
    assert not home.exists()


def test_once_prints_a_line_a_run_with_a_value_in_every_column(home: Path) -> None:
    tape = ago(busy(), 350)
    tape.lines[0]["name"] = "fix all bugs"
    tape.write(home / "runs" / f"{tape.run}.jsonl")
    Tape("", "empty").add(0, "error.raised", error_type="E").write(home / "runs" / "empty.jsonl")
    first, second = once()
    assert float(first.pop("AGE")) == pytest.approx(40, abs=5)
    assert float(first.pop("USD/H")) == pytest.approx(10.3, abs=0.3)
    assert float(first.pop("TIME")) == pytest.approx(350, abs=5)
    assert first == {
        "RUN": tape.run, "STATE": "running", "ITER": "4", "MAX": "30", "OK": "0.500", "LAST": "✓✗t✓",
        "P50": "19.9", "P90": "30.3", "CTX": "61", "REBOOTS": "1", "PASS": "42", "TESTS": "42", "STREAK": "0",
        "TOKENS": "6000", "USD": "1.0000", "TOOL": "Bash", "LOOP": "fix all bugs",
    }  # fmt: skip
    assert (second["RUN"], second["STATE"], second["AGE"], second["LOOP"]) == ("empty", "no_end", "-", "-")


def test_so_many_ended_runs_are_shown(home: Path) -> None:
    for number in range(6):
        tape = Tape(run=f"r{number}").add(number, "loop.stopped", reason="completed")
        path = tape.write(home / "runs" / f"r{number}.jsonl")
        os.utime(path, (time.time() - 100 + number, time.time() - 100 + number))
    assert [each["RUN"] for each in once("-n", "2")] == ["r5", "r4"]


# -- the machine -------------------------------------------------------------------------------------------------------


def test_what_a_runner_on_this_machine_uses_is_seen(home: Path) -> None:
    with loop_process(home / "runs" / "r.jsonl") as loop:
        run = live_run(Tape(run="r", pid=loop.pid, host=os.uname().nodename))
        usage = Meters().look([run])["r"]
        assert usage.runner_memory == pytest.approx(psutil.Process(loop.pid).memory_info().rss, rel=0.2)
        assert (usage.runner_cpu, usage.processes) == (None, 0)  # one look is not enough
    assert Meters().look([run]) == {}


def test_runners_elsewhere_are_left_alone() -> None:
    assert Meters().look([live_run(Tape(run="r", pid=1, host="elsewhere")), live_run(Tape(run="s"))]) == {}
