"""One iteration: what the agent gets, what becomes of its output, how it is ended, and what is measured of its work."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
from pathlib import Path

import psutil
import pytest
from scripted_loops import Hastened, Workshop, claude_says

from support.waiting import until

BINARY = bytes(range(256)) * 700 + b"no newline at the end"


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


# -- input ---------------------------------------------------------------------------------------------------------


def test_the_agent_gets_the_prompt_on_its_standard_input(workshop: Workshop) -> None:
    prompt = "Größe: 3 > 2\n" * 20_000  # more than a pipe holds
    (workshop.folder / "TASK.md").write_text(prompt)
    workshop.run(workshop.script("cat > got"), prompt=Path("TASK.md"), max_iterations=1)
    assert workshop.read("got") == prompt


def test_the_prompt_is_read_anew_for_every_iteration(workshop: Workshop) -> None:
    workshop.run(workshop.script("cat >> got; echo changed > PROMPT.md"), max_iterations=2)
    assert workshop.read("got") == "Fix the next thing.\nchanged\n"


@pytest.mark.parametrize("spoil", ["rm PROMPT.md", ": > PROMPT.md", "rm PROMPT.md; mkdir PROMPT.md"])
def test_the_last_prompt_is_used_when_there_is_none_any_more(workshop: Workshop, spoil: str) -> None:
    workshop.run(workshop.script(f"cat >> got; test -d PROMPT.md || {{ {spoil}; }}"), max_iterations=3)
    assert workshop.read("got") == "Fix the next thing.\n" * 3
    assert workshop.said.count("the prompt read before is used") == 1


@pytest.mark.parametrize("agent", ["exec sleep 0.1", "exec < /dev/null; exec sleep 0.1"])
def test_an_agent_that_does_not_read_a_long_prompt_holds_up_nothing(workshop: Workshop, agent: str) -> None:
    (workshop.folder / "PROMPT.md").write_text("x" * 5_000_000)
    result = workshop.run(workshop.script(agent), max_iterations=1)
    assert dict(result.outcomes) == {"success": 1}


def test_the_agents_environment_carries_its_spans_context(workshop: Workshop) -> None:
    workshop.run(workshop.script("echo $TRACEPARENT >> traceparents"), max_iterations=2)
    said = [f"00-{line['trace_id']}-{line['span_id']}-01" for line in workshop.of("agent.started")]
    assert workshop.read("traceparents").split() == said
    assert len(set(said)) == 2


def test_the_tests_environment_carries_the_iterations_context(workshop: Workshop) -> None:
    workshop.run(workshop.script("true"), test="echo $TRACEPARENT > traceparent; false", max_iterations=1)
    (iteration,) = workshop.of("iteration.started")
    assert workshop.read("traceparent") == f"00-{iteration['trace_id']}-{iteration['span_id']}-01\n"


# -- output --------------------------------------------------------------------------------------------------------


def test_output_is_passed_on_byte_for_byte(workshop: Workshop, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (workshop.folder / "output").write_bytes(BINARY)
    workshop.run(workshop.script("cat output; cat output >&2"), max_iterations=2)
    captured = capfdbinary.readouterr()
    assert captured.out == BINARY * 2
    assert captured.err == BINARY * 2


def test_output_is_passed_on_as_it_comes(workshop: Workshop, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The agent goes on only when its first word has arrived."""
    os.mkfifo("heard")
    heard = b""

    def answer() -> None:
        def arrived() -> bool:
            nonlocal heard
            heard += capfdbinary.readouterr().out
            return heard == b"first"

        until(arrived)
        Path("heard").write_text("go\n")

    thread = threading.Thread(target=answer)
    thread.start()
    workshop.run(workshop.script("printf first; read line < heard; printf second"), max_iterations=1)
    thread.join()
    assert capfdbinary.readouterr().out == b"second"


def test_a_line_of_50_megabytes_takes_little_memory(
    workshop: Workshop, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    size = 50_000_000
    agent = workshop.script(f"head -c {size} /dev/zero | tr '\\0' x; echo; {claude_says()}", "claude")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    workshop.run(agent, max_iterations=1, until_output="nothing")
    assert workshop.values("agent.finished", "turns") == [3], "what comes after it is read"
    # The captured output is in a file; kilobytes on Linux, and this test is one for Linux's sake.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000
    assert len(capfdbinary.readouterr().out) > size


def test_a_process_that_the_agent_leaves_behind_does_not_hold_up_the_loop(workshop: Workshop) -> None:
    result = workshop.run(workshop.script("sleep 60 & echo $! > pid; echo said"), max_iterations=1)
    left_behind = psutil.Process(int(workshop.read("pid")))
    left_behind.kill()
    assert dict(result.outcomes) == {"success": 1}
    assert result.duration < 30


# -- what it tells of itself ---------------------------------------------------------------------------------------


def test_what_the_agent_reports_becomes_events_in_its_span(workshop: Workshop) -> None:
    workshop.run(workshop.script(claude_says(percent=61, cost=0.5), "claude"), "--model", "opus", max_iterations=1)
    (started,), (usage,), (context,) = (
        workshop.of(type_) for type_ in ("agent.started", "usage.measured", "context.measured")
    )
    (finished,) = workshop.of("agent.finished")
    assert (started["agent"], started["model"]) == ("claude", "opus")
    assert usage["span_id"] == context["span_id"] == finished["span_id"] == started["span_id"]
    assert (usage["cost_usd"], usage["output_tokens"], context["percent"]) == (0.5, 7, 61.0)
    assert (finished["exit_code"], finished["turns"], finished["conversation"]) == (0, 3, "c-1")
    assert finished["pid"] > 0


def test_a_wrapper_says_whose_output_it_is(workshop: Workshop) -> None:
    workshop.run(workshop.script(claude_says(), "wrapper"), agent="claude", max_iterations=1)
    assert workshop.values("agent.finished", "turns") == [3]


def test_an_agent_that_says_it_failed_has_failed(workshop: Workshop) -> None:
    agent = workshop.script(claude_says(subtype="error_max_turns", is_error=True), "claude")
    workshop.run(agent, max_iterations=1)
    (finished,) = workshop.of("iteration.finished")
    assert (finished["outcome"], finished["error_type"], finished["exit_code"]) == ("failure", "error_max_turns", 0)
    assert workshop.values("agent.finished", "outcome") == ["failure"]


def test_the_signal_that_ended_an_agent_is_its_failure(workshop: Workshop) -> None:
    workshop.run(workshop.script("kill -KILL $$"), max_iterations=1)
    (finished,) = workshop.of("iteration.finished")
    assert (finished["outcome"], finished["error_type"], finished["exit_code"]) == ("failure", "signal_SIGKILL", -9)


def test_nothing_private_gets_into_the_journal(workshop: Workshop) -> None:
    (workshop.folder / "PROMPT.md").write_text("secret-prompt")
    agent = workshop.script("cat; echo secret-output; exit 1")
    workshop.run(agent, "secret-argument", test="echo secret-test; false", until_output="secret-x", max_iterations=1)
    assert "secret" not in repr(workshop.lines)


# -- its end -------------------------------------------------------------------------------------------------------

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
children = [subprocess.Popen(["sleep", "60"]), subprocess.Popen(["sleep", "60"], start_new_session=True)]
open("pids", "w").write(" ".join(str(child.pid) for child in children) + f" {os.getpid()}\\n")
time.sleep(60)
"""
"""An agent that does not obey, with a process below it, and one that has a session of its own."""


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_timeout_ends_the_agent_and_everything_below_it(workshop: Workshop) -> None:
    hangs = Hastened(lambda: workshop.read("pids").endswith("\n"))
    result = workshop.run(workshop.python(STUBBORN), timeout=60.0, grace=0.3, max_iterations=1, interrupts=hangs)
    pids = [int(pid) for pid in workshop.read("pids").split()]
    assert len(pids) == 3
    until(lambda: not any(map(alive, pids)), what="for the processes to end")
    (finished,) = workshop.of("iteration.finished")
    assert (finished["outcome"], finished["error_type"], finished["exit_code"]) == ("timeout", "timeout", -9)
    assert (result.reason, dict(result.outcomes)) == ("max_iterations", {"timeout": 1})


def test_a_timeout_lets_the_agent_end_by_itself_first(workshop: Workshop) -> None:
    agent = workshop.script("trap 'echo bye; exit 7' TERM; touch ready; while :; do sleep 0.05; done")
    hangs = Hastened((workshop.folder / "ready").exists)
    workshop.run(agent, timeout=60.0, grace=60.0, max_iterations=1, until_output="^bye$", interrupts=hangs)
    (finished,) = workshop.of("iteration.finished")
    assert (finished["outcome"], finished["exit_code"]) == ("timeout", 7)
    assert finished["duration"] < 55


def test_a_timeout_is_not_the_end_of_the_loop(workshop: Workshop) -> None:
    agent = workshop.script("test -e slow || { touch slow; exec sleep 60; }")
    hangs = Hastened((workshop.folder / "slow").exists)
    workshop.run(agent, timeout=60.0, max_iterations=2, interrupts=hangs)
    assert workshop.values("iteration.finished", "outcome") == ["timeout", "success"]


# -- its work ------------------------------------------------------------------------------------------------------


def test_the_tests_are_told_with_their_results(workshop: Workshop) -> None:
    report = "<testsuite><testcase name='a'/><testcase name='b'><failure/></testcase></testsuite>"
    workshop.run(
        workshop.script("true"), test=f'echo "{report}" > r.xml; exit 1', junit=Path("r.xml"), max_iterations=1
    )
    (tests,) = workshop.of("tests.finished")
    assert (tests["passed"], tests["failed"], tests["results"]) == (1, 1, {"a": True, "b": False})


def test_the_tests_output_is_shown_when_asked_for(workshop: Workshop, capfd: pytest.CaptureFixture[str]) -> None:
    command = "echo out-of-tests; echo err-of-tests >&2; false"
    workshop.run(workshop.script("true"), test=command, max_iterations=1)
    assert capfd.readouterr() == ("", "")
    workshop.run(workshop.script("true"), test=command, max_iterations=1, verbose=True)
    assert capfd.readouterr() == ("", "out-of-tests\nerr-of-tests\n")


def test_a_test_run_that_takes_too_long_has_failed(workshop: Workshop) -> None:
    workshop.run(workshop.script("true"), test="sleep 60", test_timeout=0.2, max_iterations=1)
    assert workshop.values("tests.finished", "failed") == [1]
    assert workshop.values("error.raised", "error_type") == ["test_timeout"]
    assert workshop.values("iteration.finished", "outcome") == ["success"]


def test_what_changed_in_the_work_tree_is_progress(workshop: Workshop) -> None:
    (workshop.folder / "old").write_text("1\n2\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    commit = "git -c user.name=a -c user.email=a@example.org commit -qam second"
    agent = workshop.script(f"test -e new || {{ echo 3 > old; {commit}; printf 'a\\nb\\n' > new; }}")
    git("add", "agent")
    result = workshop.run(agent, test="touch artefact; false", max_iterations=2)
    first, second = workshop.of("progress.measured")
    counts = ("files_changed", "lines_added", "lines_removed", "commits")
    assert [first[name] for name in counts] == [2, 3, 2, 1]
    assert first["made_progress"] is True
    assert (second["files_changed"], second["score"], second["made_progress"]) == (0, 0.0, False)
    assert result.files_changed == 2


def test_outside_of_git_and_without_tests_progress_is_unknown(workshop: Workshop) -> None:
    workshop.run(workshop.script("touch new"), max_iterations=2)
    assert not workshop.of("progress.measured")


def test_outside_of_git_the_tests_say_whether_there_is_progress(workshop: Workshop) -> None:
    tests = 'echo x >> runs; echo "=== 1 failed, $(wc -l < runs) passed in 0.1s ==="; exit 1'
    workshop.run(workshop.script("true"), test=tests, max_iterations=3)
    measured = workshop.of("progress.measured")
    assert [line["made_progress"] for line in measured] == [True, True]
    assert "files_changed" not in measured[0]
