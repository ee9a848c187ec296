"""The ralph-wiggum plugin: one session, sent on by its Stop hook, which runs beside ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hooked import SECRET, Claude, plugin_file

from ralph_otel.hooks.handling import sweep
from support.seen import assert_known, signals_of


def begin(claude: Claude, limit: int = 0, promise: str = "null", **fields: str) -> None:
    claude.says("SessionStart", source="startup")
    claude.says("UserPromptSubmit", 60, prompt=f"/ralph-wiggum:ralph-loop {SECRET} --max-iterations {limit}")
    plugin_file(claude.project, 1, limit, promise, **fields)
    claude.uses("Bash", 2)


def turn(claude: Claude, number: int, limit: int = 0, promise: str = "null", first: bool = False) -> None:
    """A Stop, and the plugin sends the agent on; its hook is first or second."""
    claude.uses("Edit", 4)
    if first:
        plugin_file(claude.project, number + 1, limit, promise)
    claude.says("Stop", 4, stop_hook_active=number > 1, last_assistant_message=SECRET)
    if not first:
        plugin_file(claude.project, number + 1, limit, promise)


def gone(claude: Claude) -> None:
    (claude.project / ".claude" / "ralph-loop.local.md").unlink()


@pytest.mark.parametrize("first", [True, False])
def test_every_stop_is_an_iteration(claude: Claude, first: bool) -> None:
    begin(claude)
    for number in (1, 2, 3):
        turn(claude, number, first=first)
    [started] = claude.of_type("loop.started")
    assert (started["name"], started["runner"]) == ("proj", "ralph-wiggum")
    assert "max_iterations" not in started
    finished = claude.of_type("iteration.finished")
    assert [(line["iteration"], line["duration"]) for line in finished] == [(1, 10.0), (2, 8.0), (3, 8.0)]
    assert claude.metrics().session.sessions_created == 1
    assert len(claude.of_type("tool.called")) == 4
    assert claude.reason() is None


@pytest.mark.parametrize("first", [True, False])
def test_the_last_iteration_ends_the_loop(claude: Claude, first: bool) -> None:
    begin(claude, limit=2)
    turn(claude, 1, limit=2, first=first)
    claude.uses("Edit", 4)
    if first:
        gone(claude)
    claude.says("Stop", 4)
    if not first:
        gone(claude)
    assert claude.of_type("loop.started")[0]["max_iterations"] == 2
    assert (claude.reason(), claude.metrics().successful_iterations) == ("max_iterations", 2)


@pytest.mark.parametrize("first", [True, False])
def test_a_kept_promise_ends_the_loop(claude: Claude, first: bool) -> None:
    begin(claude, limit=9, promise='"ALL DONE"')
    turn(claude, 1, limit=9, promise='"ALL DONE"', first=first)
    claude.uses("Edit", 4)
    if first:
        gone(claude)
    claude.says("Stop", 4, last_assistant_message="It is done.\n<promise>ALL\n DONE</promise>")
    if not first:
        gone(claude)
    assert (claude.reason(), claude.metrics().successful_iterations) == ("completed", 2)
    assert "ALL DONE" not in claude.runs()[0].read_text()


def test_another_promise_does_not_end_it(claude: Claude) -> None:
    begin(claude, promise='"ALL DONE"')
    claude.says("Stop", 4, last_assistant_message="ALL DONE, almost. <promise>SOON</promise>")
    assert claude.reason() is None


def test_a_file_that_was_taken_away_by_the_agent_ends_the_loop(claude: Claude) -> None:
    begin(claude)
    gone(claude)
    claude.says("Stop", 4)
    assert (claude.reason(), claude.metrics().successful_iterations) == ("completed", 1)


def test_cancelling_is_the_user_s_end(claude: Claude) -> None:
    begin(claude)
    turn(claude, 1)
    claude.uses("Edit", 4)
    gone(claude)
    claude.says("UserPromptSubmit", 4, prompt="/ralph-wiggum:cancel-ralph")
    claude.says("Stop", 1)
    assert claude.reason(0) == "user_signal"
    assert [line["outcome"] for line in claude.of_type("iteration.finished", 0)] == ["success", "cancelled"]


def test_after_the_loop_the_session_is_one_of_its_own_again(claude: Claude) -> None:
    begin(claude, limit=1)
    claude.says("Stop", 4)
    gone(claude)
    claude.says("UserPromptSubmit", 60, prompt=SECRET)
    claude.says("Stop", 5)
    assert [claude.lines(run)[0]["runner"] for run in (0, 1)] == ["ralph-wiggum", "claude-code"]
    assert [claude.metrics(run).total_iterations for run in (0, 1)] == [1, 1]


def test_a_second_loop_in_the_session_is_a_run_of_its_own(claude: Claude, project: Path) -> None:
    begin(claude, limit=1)
    claude.says("Stop", 4)
    gone(claude)
    claude.says("UserPromptSubmit", 60, prompt="/ralph-loop again")
    path = plugin_file(project, 1, 1)
    path.write_text(path.read_text().replace("2026-01-01", "2026-01-02"))
    claude.uses("Bash", 1)
    claude.says("Stop", 4)
    assert [claude.reason(run) for run in (0, 1)] == ["max_iterations", "max_iterations"]
    assert [claude.lines(run)[0]["runner"] for run in (0, 1)] == ["ralph-wiggum"] * 2


def test_a_session_that_ends_ends_the_loop(claude: Claude) -> None:
    begin(claude)
    turn(claude, 1)
    claude.says("SessionEnd", 5, reason="prompt_input_exit")
    assert claude.reason() == "user_signal"
    assert claude.metrics().successful_iterations == 1
    assert [line["outcome"] for line in claude.of_type("iteration.finished")] == ["success"]


def test_a_process_that_was_killed_has_crashed_with_its_loop(claude: Claude) -> None:
    begin(claude)
    claude.alive = set()
    sweep(str(claude.home))
    assert claude.reason() == "crashed"


def test_a_compaction_is_a_reboot_in_the_middle_of_the_loop(claude: Claude) -> None:
    begin(claude)
    claude.says("PreCompact", 5, trigger="auto")
    claude.says("SessionStart", 5, source="compact")
    turn(claude, 1)
    metrics = claude.metrics()
    assert (metrics.total_iterations, metrics.total_reboots, metrics.session.sessions_created) == (1, 1, 2)
    assert claude.of_type("reboot.finished")[0]["reason"] == "redline"


def test_where_the_file_names_its_session_others_are_left_alone(claude: Claude) -> None:
    begin(claude, session_id="s1")
    claude.says("UserPromptSubmit", 1, "s2", prompt=SECRET)
    claude.says("Stop", 1, "s2")
    claude.says("Stop", 3, "s1")
    runs = {claude.lines(run)[0]["runner"]: claude.metrics(run) for run in (0, 1)}
    assert runs["claude-code"].successful_iterations == 1
    assert runs["ralph-wiggum"].successful_iterations == 1


def test_a_file_of_each_session_is_that_session_s_loop(claude: Claude, project: Path) -> None:
    claude.says("UserPromptSubmit", 0, "s2", prompt="/ralph-loop x")
    plugin_file(project, 1, 3).rename(project / ".claude" / "ralph-loop.s2.local.md")
    claude.uses("Bash", 1, "s2")
    claude.says("UserPromptSubmit", 60, "s1", prompt=SECRET)
    claude.says("Stop", 1, "s1")
    claude.says("Stop", 1, "s2")
    assert [claude.lines(run)[0]["runner"] for run in (0, 1)] == ["ralph-wiggum", "claude-code"]


def test_one_file_is_one_session_s_loop(claude: Claude) -> None:
    begin(claude)
    claude.says("UserPromptSubmit", 1, "s2", prompt=SECRET)
    claude.says("Stop", 1, "s2")
    assert sorted(claude.lines(run)[0]["runner"] for run in (0, 1)) == ["claude-code", "ralph-wiggum"]


@pytest.mark.parametrize(
    "text", ["", "---\n", "---\nactive: false\niteration: 1\n---\n", "iteration: 1\n", "---\nactive: true\n---\n"]
)
def test_any_other_file_is_no_loop(claude: Claude, project: Path, text: str) -> None:
    (project / ".claude").mkdir()
    (project / ".claude" / "ralph-loop.local.md").write_text(text)
    claude.prints("s1")
    assert claude.lines()[0]["runner"] == "claude-code"


def test_odd_numbers_are_no_numbers(claude: Claude, project: Path) -> None:
    path = plugin_file(project, 1, 5)
    path.write_text(path.read_text().replace("iteration: 1", "iteration: one").replace("5", "9" * 40))
    claude.uses("Bash")
    claude.says("Stop", 1)
    assert claude.of_type("iteration.finished")[0]["iteration"] == 1
    assert "max_iterations" not in claude.of_type("loop.started")[0]


def test_what_is_seen_is_what_the_table_says(claude: Claude) -> None:
    begin(claude, limit=2)
    claude.says("PreCompact", 1, trigger="auto")
    claude.says("PostCompact", 1)
    turn(claude, 1, limit=2)
    turn(claude, 2, limit=2)
    gone(claude)
    claude.says("SessionEnd", 1, reason="other")
    sweep(str(claude.home), wait=True)
    assert_known("others", "Claude Code's hooks, with ralph-wiggum", signals_of(claude.lines(), []))
