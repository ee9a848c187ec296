"""Signals reach an agent below `ralph-otel run` as they would without, and what is killed is seen to be."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from scripts import Process, Workplace, goes_on, is_gone, is_stopped, launched

from ralph_otel.recorder import recovery
from support import patient
from support.tape import lines_of
from support.waiting import until

PASSED_ON = [
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGCONT,
]
TRAPS = "trap : INT TERM HUP QUIT USR1 USR2 WINCH; "


def caught(place: Workplace) -> list[int]:
    return [line["caught"] for line in place.account("caught")]


@pytest.mark.parametrize("number", PASSED_ON)
def test_a_signal_for_the_agent_alone_reaches_it_once(place: Workplace, number: signal.Signals) -> None:
    process = place.start(launched("bash", "-c", f"claude catch:{number} touch:ready wait:go; echo $?"))
    [agent] = place.await_account("argv")
    until(lambda: (place.folder / "ready").exists())
    os.kill(agent["ppid"], number)
    place.await_account("caught")
    (place.folder / "go").touch()
    stdout, _ = process.communicate(timeout=60)
    assert (stdout, caught(place)) == (b"0\n", [number])


@pytest.mark.parametrize("number", PASSED_ON)
def test_a_signal_for_the_whole_group_reaches_the_agent_once(place: Workplace, number: signal.Signals) -> None:
    process = place.start(launched("bash", "-c", f"{TRAPS}claude catch:{number} touch:ready wait:go; echo $?"))
    place.await_account("argv")
    until(lambda: (place.folder / "ready").exists())
    os.killpg(process.pid, number)
    place.await_account("caught")
    (place.folder / "go").touch()
    stdout, _ = process.communicate(timeout=60)
    assert stdout.endswith(b"0\n")
    assert caught(place) == [number]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_end_of_an_agent_that_ends_with_its_script_is_recorded(place: Workplace, number: signal.Signals) -> None:
    process, _, _ = in_the_middle(place, launch=to_the_last_word)
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    [agent], [iteration] = place.lines("agent.finished"), place.lines("iteration.finished")
    assert (agent["exit_code"], iteration["exit_code"]) == (-number, -number)
    assert place.lines("loop.stopped")[0]["reason"] == "user_signal"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL])
def test_who_kills_everybody_ends_everybody(place: Workplace, bare: Workplace, number: signal.Signals) -> None:
    endings = []
    for each, command in ((bare, ["bash", "-c"]), (place, launched("bash", "-c"))):
        process = each.start([*command, "claude out:a wait:never; echo $?"])
        [agent] = each.await_account("argv")
        os.killpg(process.pid, number)
        stdout, _ = process.communicate(timeout=60)
        until(partial(is_gone, agent["pid"]))
        endings.append((process.returncode, stdout.removeprefix(b"a\n")))  # the agent may not have come that far
    assert endings[0] == endings[1]


_LAST_WORDS = f"""
import runpy
from ralph_otel.shims import agents
agents._SIGNALLED = 60.0
runpy.run_path({patient.__file__!r}, run_name="__main__")
"""


def to_the_last_word(*command: str) -> list[str]:
    """A command under a `ralph-otel run` that takes its time for agents, too, which end with their script."""
    return [sys.executable, "-c", _LAST_WORDS, "run", "--", *command]


def in_the_middle(
    place: Workplace, *more: str, launch: Callable[..., list[str]] = launched
) -> tuple[Process, int, int]:
    """A script whose agent works, and has said `a`: its process, the agent's pid, and that of its stand-in."""
    script = "claude out:a touch:works wait:go; echo $?; claude out:b; " + "; ".join(more)
    process = place.start(launch("bash", "-c", script))
    [agent] = place.await_account("argv")
    until((place.folder / "works").exists, what="for the agent to say something")
    until(lambda: place.journals() and place.lines("agent.started"), what="for the journal")
    return process, agent["pid"], agent["ppid"]


def test_a_killed_agent_is_a_failed_iteration(place: Workplace) -> None:
    process, agent, _ = in_the_middle(place)
    os.kill(agent, signal.SIGKILL)
    stdout, _ = process.communicate(timeout=60)
    assert stdout == b"a\n137\nb\n"
    assert [(line["outcome"], line["exit_code"]) for line in place.lines("iteration.finished")] == [
        ("failure", -9),
        ("success", 0),
    ]


def test_who_kills_the_stand_in_kills_the_agent(place: Workplace) -> None:
    """To its callers, it is the agent."""
    process, agent, stand_in = in_the_middle(place)
    os.kill(stand_in, signal.SIGKILL)
    stdout, _ = process.communicate(timeout=60)
    until(partial(is_gone, agent))
    assert sorted(stdout.split()) == [b"137", b"a", b"b"]
    assert [(line["outcome"], line["exit_code"]) for line in place.lines("iteration.finished")] == [
        ("failure", -9),
        ("success", 0),
    ]
    assert place.lines("iteration.finished")[0]["error_type"] == "signal_SIGKILL"


def test_a_killed_observer_ends_nothing_but_the_output(place: Workplace) -> None:
    process = place.start(launched("bash", "-c", "claude wait:go exit:3; echo $?; claude out:b"), stdin=None)
    [agent] = place.await_account("argv")
    [observer] = [each.pid for each in psutil.Process(agent["ppid"]).children() if each.pid != agent["pid"]]
    os.kill(observer, signal.SIGKILL)
    (place.folder / "go").touch()
    stdout, _ = process.communicate(timeout=60)
    assert stdout == b"3\nb\n"


def test_when_all_is_killed_the_next_to_come_writes_the_end(place: Workplace) -> None:
    process, _, _ = in_the_middle(place)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    before = place.lines()
    assert before[-1]["type"] == "agent.started"

    ended = recovery.end(place.journals()[0])
    assert ended
    *rest, stopped = place.lines()
    assert rest == before
    assert (stopped["type"], stopped["reason"], stopped["ts"]) == ("loop.stopped", "crashed", before[-1]["ts"])


def test_the_script_goes_on_when_ralph_otel_is_killed(place: Workplace) -> None:
    process, _, _ = in_the_middle(place)
    process.kill()
    (place.folder / "go").touch()
    stdout, _ = process.communicate(timeout=60)  # the script has it open, too
    assert stdout == b"a\n0\nb\n"
    [_, second] = place.account("argv")
    assert "TRACEPARENT" not in second["environment"]


def test_what_a_killed_ralph_otel_leaves_goes_with_the_next_launch_after_the_script(place: Workplace) -> None:
    process, _, _ = in_the_middle(place)
    [stray] = place.temporary.iterdir()
    process.kill()
    process.wait(30)
    place.run(launched("true"))
    assert list(place.temporary.iterdir()) == [stray]  # the script finds its second agent there
    (place.folder / "go").touch()
    stdout, _ = process.communicate(timeout=30)
    assert stdout == b"a\n0\nb\n"
    until(lambda: not used(stray), what="for the end of the script")
    place.run(launched("true"))
    assert list(place.temporary.iterdir()) == []


def used(folder: Path) -> bool:
    """Whether a process was started with that folder on its PATH."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(folder) in process.environ().get("PATH", ""):
                return True
    return False


def test_a_script_that_is_killed_has_crashed_and_its_agent_has_no_end(place: Workplace) -> None:
    process, agent, _ = in_the_middle(place)
    script = psutil.Process(agent).parents()[1].pid
    os.kill(script, signal.SIGKILL)
    process.wait(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert goes_on(agent)
    assert place.lines()[-1]["reason"] == "crashed"
    assert place.lines("iteration.finished") == []
    (place.folder / "go").touch()
    process.communicate(timeout=60)


def test_an_agent_that_outlives_the_script_goes_on_and_has_no_end(place: Workplace) -> None:
    process = place.start(launched("bash", "-c", "claude out:a; claude wait:go out:late & exec true"))
    place.await_account("argv", 2)
    process.wait(timeout=60)
    (place.folder / "go").touch()
    stdout, _ = process.communicate(timeout=60)
    assert stdout == b"a\nlate\n"
    place.await_account("exit", 2)
    assert [line["iteration"] for line in place.lines("iteration.finished")] == [1]
    assert place.lines()[-1]["reason"] == "completed"


def test_a_loop_in_the_background_goes_on_when_the_command_has_ended(place: Workplace) -> None:
    script = "claude out:a; (claude wait:go out:b; claude out:c; command -v claude) & exec true"
    process = place.start(launched("bash", "-c", script))
    process.wait(timeout=60)
    (place.folder / "go").touch()
    stdout, stderr = process.communicate(timeout=60)
    *said, command = stdout.splitlines()
    assert (said, stderr) == ([b"a", b"b", b"c"], b"")
    assert len(place.account("exit")) == 3
    assert Path(command.decode()).exists()


def test_a_stopped_agent_is_stopped_and_goes_on(place: Workplace) -> None:
    process, agent, stand_in = in_the_middle(place)
    os.kill(stand_in, signal.SIGTSTP)
    until(partial(is_stopped, agent))
    until(partial(is_stopped, stand_in))
    os.kill(stand_in, signal.SIGCONT)
    until(partial(goes_on, agent))
    until(partial(goes_on, stand_in))
    (place.folder / "go").touch()
    assert process.communicate(timeout=60)[0] == b"a\n0\nb\n"


def test_whoever_stops_and_continues_the_agent_itself_does_not_hang_the_script(place: Workplace) -> None:
    process, agent, _ = in_the_middle(place)
    os.kill(agent, signal.SIGSTOP)
    until(partial(is_stopped, agent))
    os.kill(agent, signal.SIGCONT)
    (place.folder / "go").touch()
    assert process.communicate(timeout=60)[0] == b"a\n0\nb\n"


def test_signals_that_a_script_ignores_its_agent_ignores(place: Workplace, bare: Workplace) -> None:
    script = "trap '' INT HUP TSTP; claude; trap - INT; claude & wait"
    bare.run(["bash", "-c", script])
    place.run(launched("bash", "-c", script))
    found, expected = ([start["ignored"] for start in each.account("argv")] for each in (place, bare))
    assert found == expected
    assert found[0] == [signal.SIGHUP, signal.SIGINT, signal.SIGTSTP]


def test_a_script_that_ignores_its_children_still_has_their_exit_codes(place: Workplace) -> None:
    place.run(launched("bash", "-c", "trap '' CHLD; claude exit:3"))
    assert [line["exit_code"] for line in place.lines("iteration.finished")] == [3]


def test_a_ctrl_c_is_a_cancellation(place: Workplace) -> None:
    process = place.start(to_the_last_word("bash", "-c", "claude touch:works wait:never; echo not reached"))
    until((place.folder / "works").exists, what="for the agent to work")
    until(lambda: place.journals() and place.lines("agent.started"), what="for the journal")
    os.killpg(process.pid, signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (-signal.SIGINT, b"")
    [agent], [iteration] = place.lines("agent.finished"), place.lines("iteration.finished")
    assert (agent["outcome"], agent["exit_code"], iteration["outcome"]) == ("cancelled", -signal.SIGINT, "cancelled")
    assert lines_of(place.journals()[0])[-1]["reason"] == "user_signal"


def test_no_process_of_ours_stays(place: Workplace) -> None:
    process, agent, stand_in = in_the_middle(place)
    below = [each.pid for each in psutil.Process(process.pid).children(recursive=True)]
    assert {agent, stand_in} < set(below)
    (place.folder / "go").touch()
    process.communicate(timeout=60)
    until(lambda: all(map(is_gone, below)))
