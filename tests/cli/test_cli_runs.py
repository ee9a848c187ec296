"""`ralph-otel runs`: the table and the array."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ralph_otel.runs import RunError, find, matching, short_ids
from ralph_otel.views.runs import SORTS, table
from support.tape import T0, Tape


def array(*arguments: str) -> list[dict[str, Any]]:
    """What `--json` gives."""
    result = call("runs", "--json", *arguments)
    assert result.code == 0
    rows = json.loads(result.out)
    assert isinstance(rows, list)
    return rows


def write(home: Path, run: str, tape: Tape) -> Path:
    """A journal in the home folder."""
    return tape.write(home / "runs" / f"{run}.jsonl")


@pytest.fixture
def finished(home: Path) -> Path:
    """The journal of a run that has ended."""
    tape = Tape("fix-bugs", "20261101T000000Z-aaaaaa", runner="ralphify")
    tape.iteration(1, 1).iteration(3, 2, "failure")
    tape.add(4.5, "tests.finished", passed=3, failed=1)
    tape.add(4.6, "usage.measured", input_tokens=10, output_tokens=5, cost_usd=0.25)
    tape.add(4.7, "reboot.started", reason="redline")
    return write(home, tape.run, tape.add(5, "loop.stopped", reason="no_progress"))


def test_json_is_an_array_of_what_is_known_of_each_run(finished: Path) -> None:
    assert array() == [
        {
            "run": "20261101T000000Z-aaaaaa",
            "short": "aaaaaa",
            "name": "fix-bugs",
            "runner": "ralphify",
            "state": "stopped",
            "started": "2023-11-14T22:13:20.000+00:00",
            "stopped": "2023-11-14T22:13:25.000+00:00",
            "last_event": "2023-11-14T22:13:25.000+00:00",
            "stop_reason": "no_progress",
            "iterations": 2,
            "successful_iterations": 1,
            "execution_time": 5.0,
            "tokens": 15,
            "cost_usd": 0.25,
            "reboots": 1,
            "tests": {"total": 4, "passing": 3},
            "bad_lines": 0,
            "journal": str(finished),
        }
    ]


def test_without_runs_json_is_an_empty_array_and_the_table_says_how_to_begin(home: Path) -> None:
    assert array() == []
    result = call("runs")
    assert (result.code, result.out) == (0, "")
    assert str(home / "runs") in result.err
    assert "ralph-otel run" in result.err


def test_a_run_that_has_not_ended_has_no_stop(home: Path) -> None:
    write(home, "r", Tape(run="r").iteration(1, 1))
    row = array()[0]
    assert (row["stopped"], row["stop_reason"]) == (None, None)
    assert row["last_event"] == "2023-11-14T22:13:22.000+00:00"
    assert "no end" in call("runs").out


def test_the_newest_is_the_last_and_only_so_many_are_shown(home: Path) -> None:
    for number in range(25):
        run = f"20261101T0000{number:02}Z-aaaaaa"
        write(home, run, Tape(run=run).iteration(1, 1))
    assert [row["run"][13:15] for row in array()] == [f"{number:02}" for number in range(5, 25)]
    assert [row["run"][13:15] for row in array("-n", "2")] == ["23", "24"]
    assert len(call("runs", "-n", "3").out.splitlines()) == 4


def test_of_one_name_only_those_are_shown(home: Path) -> None:
    for number, name in enumerate("abab"):
        write(home, f"r{number}", Tape(name, f"r{number}"))
    assert [row["run"] for row in array("--name", "a")] == ["r0", "r2"]
    assert [row["run"] for row in array("--name", "a", "-n", "1")] == ["r2"]
    assert array("--name", "c") == []


def test_a_number_below_one_is_refused(home: Path) -> None:
    result = call("runs", "-n", "0")
    assert result.code == 2
    assert "0 is not in the range x>=1" in result.err


def test_a_journal_that_cannot_be_read_costs_a_line_not_the_list(finished: Path) -> None:
    (finished.parent / "zzz.jsonl").symlink_to(finished)  # journals are not read through links
    result = call("runs", "--json")
    assert [row["run"] for row in json.loads(result.out)] == [finished.stem]
    assert result.err.startswith(f"ralph-otel: cannot read {finished.parent / 'zzz.jsonl'}: ")
    assert result.err.count("\n") == 1


def test_files_without_a_usable_line_are_listed_too(home: Path) -> None:
    (home / "runs").mkdir(parents=True)
    (home / "runs" / "r.jsonl").write_bytes(b"\x00\xff\n{}\n")
    (home / "runs" / "notes.txt").write_text("no journal")
    (home / "runs" / "folder.jsonl").mkdir()
    row = array()[0]
    assert (row["run"], row["name"], row["iterations"], row["bad_lines"]) == ("r", "", 0, 2)
    assert call("runs").code == 0


def test_times_beyond_the_calendar_are_left_out(home: Path) -> None:
    line = {"v": 1, "type": "loop.started", "ts": 2**63 - 1, "loop": "r", "name": "later"}
    (home / "runs").mkdir(parents=True)
    (home / "runs" / "r.jsonl").write_text(json.dumps(line) + "\n")
    assert array()[0]["name"] == "later"
    assert call("runs").code == 0


def test_runs_may_be_sorted_and_the_largest_is_the_last(home: Path) -> None:
    for number, cost in enumerate([0.3, 0.9, 0.1]):
        tape = Tape(run=f"r{number}").add(1, "usage.measured", cost_usd=cost)
        for iteration in range(3 - number):
            tape.iteration(2 + iteration, iteration + 1)
        write(home, tape.run, tape.add(10 * number + 10, "loop.stopped", reason="completed"))
    assert [row["run"] for row in array("--sort", "cost")] == ["r2", "r0", "r1"]
    assert [row["run"] for row in array("--sort", "iterations")] == ["r2", "r1", "r0"]
    assert [row["run"] for row in array("--sort", "time", "-n", "1")] == ["r2"]
    assert [row["run"] for row in array("--sort", "cost", "--reverse", "-n", "2")] == ["r1", "r0"]
    assert [row["run"] for row in array("--sort", "last")] == ["r0", "r1", "r2"]
    assert call("runs", "--sort", "colour").code == 2


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_takes_runs_of_which_little_is_known(sort: str, finished: Path) -> None:
    (finished.parent / "r.jsonl").write_bytes(b"{}\n")
    assert {row["run"] for row in array("--sort", sort)} == {"r", finished.stem}


def test_runs_are_found_by_patterns_of_name_runner_and_state(home: Path) -> None:
    for name, runner, reason in (
        ("fix-bugs", "ralphify", "completed"),
        ("fix-docs", "shell", "error"),
        ("port [1]", "shell", "no_progress"),
    ):
        write(home, name, Tape(name, name, runner=runner).add(1, "loop.stopped", reason=reason))
    for options, runs in {
        ("--name", "fix-*"): ["fix-bugs", "fix-docs"],
        ("--name", "port [1]"): ["port [1]"],
        ("--name", "fix-bugs", "--name", "p*"): ["fix-bugs", "port [1]"],
        ("--runner", "shell", "--state", "no_*"): ["port [1]"],
        ("--state", "completed", "--state", "error"): ["fix-bugs", "fix-docs"],
        ("--state", "stopped", "--runner", "ralph*"): ["fix-bugs"],
        ("--state", "running"): [],
    }.items():
        assert [row["run"] for row in array(*options)] == runs, options


def test_only_those_that_run_or_have_run_lately_are_shown(home: Path) -> None:
    now = time.time()
    for run, age, end in (("old", 7200.0, True), ("ended", 60.0, True), ("running", 30.0, False)):
        tape = Tape(run=run)
        if end:
            tape.add(1, "loop.stopped", reason="completed")
        for line in tape.lines:
            line["ts"] += round((now - age) * 1e9) - T0
        path = write(home, run, tape)
        os.utime(path, (now - age, now - age))
    write(home, "silent", Tape(run="silent"))  # since 2023, and nobody to ask
    assert [(row["run"], row["state"]) for row in array("--running")] == [("running", "running")]
    assert [row["run"] for row in array("--since", "1h")] == ["ended", "running"]
    assert {row["run"] for row in array("--since", "1d")} == {"old", "ended", "running"}
    assert "No run is like that" in call("runs", "--since", "1s").err


@pytest.mark.parametrize("age", ["x", "-1h", "yesterday"])
def test_an_age_that_is_none_is_refused_in_one_line(age: str) -> None:
    result = call("runs", f"--since={age}")
    assert result.code == 2
    assert "--since" in result.err.splitlines()[-1]
    assert "1d" in result.err.splitlines()[-1]


def test_a_run_whose_process_is_gone_is_dead(home: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    write(home, "r", Tape(run="r", pid=process.pid, host=os.uname().nodename).iteration(1, 1))
    assert array()[0]["state"] == "dead"
    assert array("--running") == []


def test_a_run_goes_by_any_part_of_its_id_that_follows_a_dash(home: Path) -> None:
    for run in ("20261101T000000Z-bce148", "20261101T000000Z-bce148-2", "20261102T000000Z-bce999"):
        write(home, run, Tape(run=run))
    for part, run in {
        "bce148": "20261101T000000Z-bce148",
        "bce148-2": "20261101T000000Z-bce148-2",
        "bce9": "20261102T000000Z-bce999",
        "20261102": "20261102T000000Z-bce999",
    }.items():
        assert find(part, home).stem == run
    with pytest.raises(RunError, match="any of 3 runs"):
        find("bce", home)
    with pytest.raises(RunError, match="no run"):
        find("ce148", home)
    with pytest.raises(RunError, match="no run"):
        find("", home)


def test_the_table_has_a_line_a_run(finished: Path) -> None:
    titles, line = call("runs").out.splitlines()
    assert titles.split() == ["run", "loop", "state", "iter", "ok", "tests", "cost", "time", "last,", "UTC"]
    known = ["fix-bugs", "no_progress", "2", "50%", "3/4", "$0.25", "5s", "2023-11-14", "22:13"]
    assert line.split() == ["aaaaaa", *known]
    assert call("runs", "--long").out.splitlines()[1].split() == [finished.stem, *known, "ralphify", "15", "1"]


def test_in_a_pipe_nothing_is_cut(home: Path) -> None:
    write(home, "r", Tape("a very " + "long " * 40 + "name", "r"))
    assert "long name" in call("runs").out


@pytest.mark.parametrize("width", [40, 52, 60, 72, 80])
@pytest.mark.parametrize("name", ["a-very-long-name-of-a-loop-that-nobody-would-type", "日本語のループ" * 9])
def test_in_a_narrow_terminal_the_loops_name_is_cut_and_the_id_is_whole(width: int, name: str, home: Path) -> None:
    run = "20261101T000000Z-aaaaaa"
    write(home, run, Tape(name, run).iteration(1, 1).add(10_168, "loop.stopped", reason="completed"))
    titles, line = table(array(), width=width)
    assert line.startswith(f"aaaaaa {name[:1]}")
    assert "…" in line
    assert "2h49m28s" in line
    assert max(cell_len(titles), cell_len(line)) <= width


@given(
    st.lists(
        st.one_of(
            st.from_regex(r"2026110[12]T000000Z-[ab2]{1,3}(-[ab2])?", fullmatch=True), st.text("ab2-", min_size=1)
        ),
        unique=True,
    )
)
def test_a_short_id_finds_its_run_and_no_other(run_ids: list[str]) -> None:
    known = [Path(f"{run_id}.jsonl") for run_id in run_ids]
    for run_id, short in short_ids(run_ids).items():
        assert [path.stem for path in matching(short, known)] == [run_id]
