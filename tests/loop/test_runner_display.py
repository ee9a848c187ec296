"""What a loop shows its user, and that nothing of it gets in the way."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from io import StringIO
from pathlib import Path
from typing import IO

import pytest
from rich.console import Console
from scripted_loops import CLI, Workshop, claude_says

from ralph_otel.events import TestsFinished
from ralph_otel.loop.agent_process import AgentReport
from ralph_otel.loop.conditions import IterationReport
from ralph_otel.loop.display import Display, duration
from ralph_otel.loop.result import LoopResult
from ralph_otel.progress.worktree import Changes

ESCAPES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")


def command_line(*arguments: str, stdout: int | IO[bytes] | None = None) -> tuple[int, str]:
    """Run the command line with a terminal as its standard error, and output where nothing else is said.

    Returns:
        Its exit code, and what the terminal got.
    """
    ours, theirs = pty.openpty()
    with subprocess.Popen([*CLI, *arguments], stdin=theirs, stdout=stdout or theirs, stderr=theirs) as popen:
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other end is closed: the end of a terminal on Linux
                break
            if not data:
                break
            shown += data
        os.close(ours)
    return popen.returncode, shown.decode()


def test_a_line_for_every_iteration_and_a_summary(workshop: Workshop) -> None:
    agent = workshop.script(claude_says(percent=61, cost=0.25), "claude")
    workshop.run(agent, test="echo '=== 1 failed, 4 passed, 2 skipped in 0.1s ==='; exit 1", max_iterations=2)
    said = workshop.said.splitlines()
    assert re.fullmatch(r"ralph-otel: loop workshop, run \S+; ctrl-C stops it", said[0])
    line = r"success in [\d.]+s · tests 4 passed, 1 failed, 2 skipped · \$0.2500 · context 61%"
    assert re.fullmatch(rf"ralph-otel: iteration 1/20 {line}", said[1])
    assert re.fullmatch(rf"ralph-otel: iteration 2/20 {line}", said[2])
    assert re.fullmatch(r"ralph-otel: stopped after 2 iterations in [\d.]+s; max_iterations: all .* have run", said[3])
    assert [entry.split(maxsplit=1) for entry in said[4:]] == [
        ["outcomes", "2 success"],
        ["tests", "4 passed, 1 failed, 2 skipped"],
        ["cost", "$0.5000"],
        ["tokens", "244,014"],
    ]


def test_a_failure_is_named(workshop: Workshop) -> None:
    workshop.run(workshop.script("exit 4"), max_iterations=1)
    assert re.search(r"iteration 1/20 failure \(exit_code_4\) in [\d.]+s\n", workshop.said)


def test_an_agent_that_could_tell_more_is_pointed_out_once(workshop: Workshop) -> None:
    workshop.run(workshop.script("echo plain text", "claude"), max_iterations=2)
    hint = "claude tells neither cost nor context; add --output-format stream-json --verbose to its command"
    assert workshop.said.count(hint) == 1


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (IterationReport(7, duration=75.4), "iteration 7 success in 1m15s"),
        (
            IterationReport(8, changes=Changes(1, 0, 20, 4, 1), duration=0.26),
            "iteration 8 success in 0.3s · 1 file +20 −4, 1 commit",
        ),
        (
            IterationReport(9, AgentReport("timeout", "timeout", cost=1.5), tests=TestsFinished(3, 0), duration=7500),
            "iteration 9 timeout in 2h05m · tests 3 passed, 0 failed · $1.5000",
        ),
    ],
)
def test_an_iterations_line(report: IterationReport, line: str) -> None:
    file = StringIO()
    Display(console=Console(file=file, width=40)).iteration_finished(report, None)
    assert file.getvalue() == f"ralph-otel: {line}\n"


def test_the_summary_says_where_to_find_the_journal_and_the_metrics() -> None:
    file = StringIO()
    result = LoopResult("user_signal", "r", 1, {"cancelled": 1}, 61.0, 2, 1, 3, 5, None, None, 2, None)
    Display(console=Console(file=file)).finished(result, Path("/runs/r.jsonl"), "http://[::1]:9464/metrics")
    assert [line.split(maxsplit=1) for line in file.getvalue().splitlines()[1:]] == [
        ["outcomes", "1 cancelled"],
        ["sessions", "2"],
        ["reboots", "1"],
        ["files", "3 changed"],
        ["tokens", "5"],
        ["journal", "/runs/r.jsonl"],
        ["metrics", "http://[::1]:9464/metrics"],
    ]


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0, 9.94, 9.96, 59.4, 59.6, 3599, 3601)] == [
        "0.0s",
        "9.9s",
        "10s",
        "59s",
        "1m00s",
        "59m59s",
        "1h00m",
    ]


def test_control_characters_do_not_reach_the_terminal(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = workshop.folder / "evil\x1b]0;title\x07\nname"
    folder.mkdir()
    (folder / "PROMPT.md").write_text("x")
    monkeypatch.chdir(folder)
    workshop.run(workshop.script("exit 1"), max_iterations=1)
    workshop.run("no\x1b[31m-such-agent", max_iterations=1)
    assert all(character.isprintable() or character == "\n" for character in workshop.said)
    assert "loop evil�]0;title��name, run" in workshop.said


def test_without_a_terminal_there_are_plain_lines(workshop: Workshop) -> None:
    agent = workshop.script("echo out")
    done = subprocess.run([*CLI, "-n", "2", "--", agent], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "out\nout\n")
    assert "\x1b" not in done.stderr
    assert len(re.findall(r"^ralph-otel: iteration \d/2 success", done.stderr, re.M)) == 2
    assert re.search(r"^  journal    \S+\.jsonl$", done.stderr, re.M)


def test_quiet_says_only_what_goes_wrong(workshop: Workshop) -> None:
    agent = workshop.script("echo out; rm -f PROMPT.md")
    done = subprocess.run([*CLI, "-q", "-n", "2", "--", agent], capture_output=True, text=True, check=False)
    assert done.stdout == "out\nout\n"
    assert re.fullmatch(r"ralph-otel: PROMPT.md does not exist; .* is used\n", done.stderr)


def test_a_terminal_gets_a_progress_bar_that_goes_away(workshop: Workshop, tmp_path: Path) -> None:
    agent = workshop.script(f"echo out; sleep 0.5; {claude_says(cost=0.5)}", "claude")
    with (tmp_path / "stdout").open("wb") as file:
        exit_code, shown = command_line("-n", "3", "--", agent, stdout=file)
    assert exit_code == 0
    assert {"0/3", "1/3", "2/3", "3/3"} <= set(re.findall(r"\d/3", ESCAPES.sub("", shown)))
    assert "ralph-otel: iteration 2 ━" in ESCAPES.sub("", shown)
    assert "$1.0000" in shown, "what it has cost so far"
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor is back"
    assert shown[shown.rindex("stopped after") :].count("━") == 0
    output = (tmp_path / "stdout").read_text()
    assert "\x1b" not in output
    assert output.startswith("out\n{")


def test_the_agents_lines_stay_whole_beside_the_bar(workshop: Workshop) -> None:
    agent = workshop.script("printf 'one half, '; sleep 0.6; echo 'and the other'; sleep 0.6; printf 'no end'")
    exit_code, shown = command_line("-n", "1", "--", agent)
    assert exit_code == 0
    assert "one half, and the other\r\n" in shown, "nothing is drawn in the middle of a line"
    assert "no end\r\nralph-otel: iteration 1/1" in shown, "our own line begins a line"


def test_no_bar_where_the_number_of_iterations_is_not_known(workshop: Workshop) -> None:
    exit_code, shown = command_line("--until-file", "agent", "--", workshop.script("true"))
    assert exit_code == 0
    assert "━" not in shown
    assert "ralph-otel: iteration 1 " in shown


def test_the_loop_goes_on_when_nobody_reads_its_output_any_more(workshop: Workshop) -> None:
    agent = workshop.script("echo x >> count; head -c 100000 /dev/zero")
    with subprocess.Popen([*CLI, "-n", "3", "--", agent], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as popen:
        assert popen.stdout is not None
        assert popen.stderr is not None
        popen.stdout.read(1)
        popen.stdout.close()
        said = popen.stderr.read().decode()
    assert popen.returncode == 0
    assert workshop.read("count") == "x\n" * 3
    assert said.count("the agent's output cannot be passed on: Broken pipe") == 1


def test_the_loop_goes_on_when_nobody_reads_what_it_says_any_more(workshop: Workshop) -> None:
    agent = workshop.script("echo x >> count; while test ! -e go; do sleep 0.01; done")
    with subprocess.Popen([*CLI, "-n", "3", "--", agent], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as popen:
        assert popen.stderr is not None
        assert select.select([popen.stderr], [], [], 20)[0]
        popen.stderr.close()
        (workshop.folder / "go").touch()
    assert popen.returncode == 0
    assert workshop.read("count") == "x\n" * 3


def test_the_loop_runs_without_standard_streams(workshop: Workshop) -> None:
    agent = workshop.script("echo x >> count; echo lost; echo lost >&2")
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *CLI, "-n", "2", "--", agent], check=False)
    assert done.returncode == 0
    assert workshop.read("count") == "x\n" * 2
