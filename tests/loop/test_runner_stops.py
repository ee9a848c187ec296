"""Why a loop stops: every reason, with an agent that brings it about."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import psutil
import pytest
from scripted_loops import Hastened, Workshop, claude_says

from ralph_otel.events import STOP_REASONS
from ralph_otel.loop.interrupts import Interrupts
from ralph_otel.loop.result import STOPPED_BECAUSE, LoopResult
from support.waiting import until

COUNT = "echo x >> count"
"""An agent that leaves a line for every time it runs."""


def runs(workshop: Workshop) -> int:
    return workshop.read("count").count("x")


def assert_stopped(workshop: Workshop, result: LoopResult, reason: str, iterations: int) -> None:
    assert (result.reason, result.iterations) == (reason, iterations)
    assert workshop.values("loop.stopped", "reason") == [reason]
    assert workshop.values("stop_condition.triggered", "condition") == [reason]
    assert workshop.values("iteration.finished", "iteration") == list(range(1, iterations + 1))
    assert workshop.lines[-1]["type"] == "loop.stopped"
    assert len(workshop.of("session.started")) == len(workshop.of("session.ended")) == result.sessions


def test_after_the_iterations_that_were_asked_for(workshop: Workshop) -> None:
    result = workshop.run(workshop.script(COUNT), max_iterations=3)
    assert_stopped(workshop, result, "max_iterations", 3)
    assert (runs(workshop), result.exit_code, dict(result.outcomes)) == (3, 0, {"success": 3})
    assert workshop.values("loop.started", "max_iterations") == [3]


def test_when_all_tests_pass(workshop: Workshop) -> None:
    result = workshop.run(workshop.script(COUNT), test="echo '=== 2 passed in 0.1s ==='; test $(wc -l < count) -ge 2")
    assert_stopped(workshop, result, "tests_passed", 2)
    assert workshop.values("tests.finished", "failed") == [1, 0]
    assert result.exit_code == 0


def test_not_when_no_test_was_run(workshop: Workshop) -> None:
    result = workshop.run(workshop.script(COUNT), test="echo '=== no tests ran in 0.1s ==='; exit 5", max_iterations=2)
    assert_stopped(workshop, result, "max_iterations", 2)


def test_not_when_all_tests_pass_if_told_to_keep_going(workshop: Workshop) -> None:
    result = workshop.run(workshop.script(COUNT), test="true", keep_going=True, max_iterations=2)
    assert_stopped(workshop, result, "max_iterations", 2)


def test_when_the_tests_fail_again_and_again(workshop: Workshop) -> None:
    passes_second = "test $(wc -l < count) -eq 2"
    result = workshop.run(workshop.script(COUNT), test=passes_second, keep_going=True, max_failure_streak=2)
    assert_stopped(workshop, result, "test_failure_streak", 4)
    assert result.exit_code == 1


def test_when_the_goal_command_says_so(workshop: Workshop) -> None:
    result = workshop.run(workshop.script(COUNT), until_command="test $(wc -l < count) -eq 3")
    assert_stopped(workshop, result, "completed", 3)
    assert result.exit_code == 0


def test_when_the_file_is_there(workshop: Workshop) -> None:
    result = workshop.run(
        workshop.script(f"{COUNT}; test $(wc -l < count) -lt 2 || touch done"), until_file=Path("done")
    )
    assert_stopped(workshop, result, "file_found", 2)
    assert result.exit_code == 0


@pytest.mark.parametrize(
    "prints",
    [
        "echo before; echo 'all DONE here'; echo after",
        "printf 'all DO'; sleep 0.01; printf 'NE here'",
        r"printf 'all DONE here\r\n'",
        r"printf 'Ünïcode \377 all DONE here\n'",
    ],
    ids=["a line", "pieces without an end", "with a carriage return", "with bytes that are no text"],
)
def test_when_a_line_of_the_agents_output_matches(workshop: Workshop, prints: str) -> None:
    result = workshop.run(workshop.script(prints), until_output="DONE here$")
    assert_stopped(workshop, result, "output_pattern", 1)
    assert result.exit_code == 0


def test_not_when_only_two_lines_together_match(workshop: Workshop) -> None:
    result = workshop.run(workshop.script("echo DO; echo NE"), until_output="DO.?NE", max_iterations=1)
    assert_stopped(workshop, result, "max_iterations", 1)


def test_when_the_money_is_spent(workshop: Workshop) -> None:
    result = workshop.run(workshop.script(claude_says(cost=0.25), "claude"), max_cost=0.5)
    assert_stopped(workshop, result, "max_cost", 2)
    assert (result.cost, result.exit_code) == (0.5, 0)


def test_a_limit_of_money_that_cannot_hold_is_said(workshop: Workshop) -> None:
    workshop.run(workshop.script(COUNT), max_cost=1.0, max_iterations=2)
    assert workshop.said.count("--max-cost cannot hold: agent tells no cost") == 1


def test_when_the_time_is_used_up_in_the_middle_of_an_iteration(workshop: Workshop) -> None:
    result = workshop.run(workshop.script("exec sleep 60"), max_duration=0.3, test="true")
    assert_stopped(workshop, result, "max_duration", 1)
    assert workshop.values("iteration.finished", "outcome") == ["timeout"]
    assert not workshop.of("tests.finished"), "there is no time left for them"
    assert result.duration < 30
    assert result.exit_code == 0


def test_when_the_time_is_used_up_while_it_rests(workshop: Workshop) -> None:
    rests = Hastened(lambda: workshop.of("iteration.finished"))
    result = workshop.run(workshop.script(COUNT), max_duration=60.0, delay=7200.0, interrupts=rests)
    assert_stopped(workshop, result, "max_duration", 1)
    assert workshop.values("iteration.finished", "outcome") == ["success"]


def test_when_the_agent_fails_again_and_again(workshop: Workshop) -> None:
    result = workshop.run(workshop.script("exit 3"), max_failures=3)
    assert_stopped(workshop, result, "error", 3)
    assert workshop.values("iteration.finished", "error_type") == ["exit_code_3"] * 3
    assert workshop.values("iteration.finished", "exit_code") == [3] * 3
    assert result.exit_code == 1


def test_not_when_it_succeeds_in_between(workshop: Workshop) -> None:
    agent = workshop.script(f"{COUNT}; test $(wc -l < count) -eq 2")
    result = workshop.run(agent, max_failures=3)
    assert_stopped(workshop, result, "error", 5)
    assert dict(result.outcomes) == {"failure": 4, "success": 1}


def test_never_for_failures_if_told_so(workshop: Workshop) -> None:
    result = workshop.run(workshop.script("exit 1"), max_failures=0, max_iterations=7)
    assert_stopped(workshop, result, "max_iterations", 7)


def test_when_the_iterations_bring_no_progress(workshop: Workshop) -> None:
    agent, tests = workshop.script(COUNT), "echo '=== 1 failed, 2 passed in 0.1s ==='; exit 1"
    result = workshop.run(agent, test=tests, max_no_progress=2)
    assert_stopped(workshop, result, "no_progress", 3)
    assert workshop.values("progress.measured", "made_progress") == [False, False], "the first has nothing to go by"
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("command", "says", "exit_code"),
    [
        ("no-such-agent", "'no-such-agent': no such command; install it, or give its path after --", 127),
        ("./PROMPT.md", "'./PROMPT.md': not executable; chmod +x it", 126),
        ("./no-interpreter", "the program that its first line names is missing", 127),
        ("./no-program", "not a program; a script needs a first line such as #!/bin/sh", 126),
    ],
)
def test_at_once_when_the_agent_cannot_be_started(workshop: Workshop, command: str, says: str, exit_code: int) -> None:
    workshop.script("#!/no/such/interpreter\n", "no-interpreter")
    Path(workshop.script("#!", "no-program")).write_text("text without a first line\n")
    result = workshop.run(command, test="true", max_failures=3)
    assert_stopped(workshop, result, "error", 1)
    assert result.exit_code == exit_code
    assert workshop.said.count(says) == 1
    assert workshop.values("agent.finished", "outcome") == ["failure"]
    assert workshop.values("iteration.finished", "outcome") == ["failure"]
    assert not workshop.of("tests.finished")


def test_when_another_thread_asks(workshop: Workshop) -> None:
    interrupts = Interrupts()
    started = workshop.folder / "started"

    def ask() -> None:
        until(started.exists)
        interrupts.ask(signal.SIGTERM)

    thread = threading.Thread(target=ask)
    thread.start()
    result = workshop.run(workshop.script("touch started; exec sleep 60"), interrupts=interrupts)
    thread.join()
    assert_stopped(workshop, result, "user_signal", 1)
    assert workshop.values("iteration.finished", "outcome") == ["cancelled"]
    assert result.exit_code == 143


def test_an_exception_in_the_host_leaves_no_agent_behind(workshop: Workshop) -> None:
    """A host that keeps its own signal handlers: ctrl-C is an exception then, which may come in any wait."""

    class Raising(Interrupts):
        def wait(self, timeout: float) -> None:
            super().wait(timeout)
            if workshop.read("pid"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workshop.run(workshop.script("echo $$ > pid; exec sleep 60"), interrupts=Raising())
    assert not psutil.pid_exists(int(workshop.read("pid")))
    assert workshop.values("loop.stopped", "reason") == ["user_signal"]


def test_in_a_thread_of_its_own_too(workshop: Workshop) -> None:
    results: list[LoopResult] = []
    agent = workshop.script(COUNT)
    thread = threading.Thread(target=lambda: results.append(workshop.run(agent, max_iterations=2)))
    thread.start()
    thread.join()
    assert [result.reason for result in results] == ["max_iterations"]


def test_every_reason_has_words_for_the_user() -> None:
    assert set(STOPPED_BECAUSE) == set(STOP_REASONS)
