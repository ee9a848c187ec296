"""Signals: how a loop that runs as a process of its own stops and pauses, on a terminal and without one."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from scripted_loops import CLI, Workshop

from ralph_otel.loop.interrupts import ECHO, Interrupts
from support.waiting import until

COUNTING = """
import signal, sys, time
def note(number, frame):
    with open("signals", "a") as file:
        file.write(signal.Signals(number).name + " ")
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGCONT"):
    signal.signal(getattr(signal, name), note)
open("ready", "w").write(str(__import__("os").getpid()))
"""
"""The beginning of an agent that notes the signals it gets."""
STAYS = COUNTING + "while True: time.sleep(0.05)"
OBEYS = (
    COUNTING
    + """
while "signals" not in __import__("os").listdir(): time.sleep(0.01)
end = time.monotonic() + 0.3  # long enough for a second signal to come
while time.monotonic() < end: time.sleep(0.01)
print("bye", flush=True)
sys.exit(3)
"""
)
TAKE_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def no_exporters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")


def clocked(*changes: str) -> tuple[str, ...]:
    """The command line, where `interrupts` has another clock or other patience."""
    return (sys.executable, "-c", "\n".join((*_CLOCKED, *changes, "main()")), "loop")


_CLOCKED = ("import os, time", "from types import SimpleNamespace", "from ralph_otel.cli import main",
            "from ralph_otel.loop import interrupts")  # fmt: skip


class Process:
    """A loop as a process, with its standard error and output."""

    def __init__(self, workshop: Workshop, popen: subprocess.Popen[bytes], terminal: int | None = None) -> None:
        self.popen = popen
        self.output = b""
        self._workshop = workshop
        self._terminal = terminal

    def type(self, keys: bytes) -> None:
        assert self._terminal is not None
        os.write(self._terminal, keys)

    def read(self) -> bytes:
        """What it has shown on its terminal so far."""
        assert self._terminal is not None
        with contextlib.suppress(OSError):  # the other end is closed
            while select.select([self._terminal], [], [], 0)[0] and (data := os.read(self._terminal, 65536)):
                self.output += data
        return self.output

    def until_ready(self) -> int:
        """Wait for the agent; its process id."""
        until(lambda: self._workshop.read("ready"), what="for the agent")
        return int(self._workshop.read("ready"))

    def end(self) -> int:
        """Wait for its end; its exit code."""
        until(lambda: (self._terminal is None or self.read() is not None) and self.popen.poll() is not None)
        if self._terminal is not None:
            self.read()  # what it has shown since the look before its end
        return self.popen.returncode


@contextlib.contextmanager
def on_terminal(workshop: Workshop, *arguments: str) -> Iterator[Process]:
    """A loop in the foreground of a terminal of its own."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", TAKE_TERMINAL, *CLI, *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as popen:
        os.close(theirs)
        try:
            yield Process(workshop, popen, ours)
        finally:
            popen.kill()
            os.close(ours)


@contextlib.contextmanager
def in_background(workshop: Workshop, *arguments: str, cli: Sequence[str] = CLI) -> Iterator[Process]:
    """A loop without a terminal, in a process group of its own."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*cli, *arguments], start_new_session=True, **streams) as popen:
        try:
            yield Process(workshop, popen)
        finally:
            popen.kill()


def journal(home: Path) -> list[dict[str, Any]]:
    (path,) = (home / "runs").glob("*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def end_of(home: Path) -> tuple[str, str, int | None]:
    """The reason of the loop's end, and the outcome and exit code of its only iteration."""
    lines = journal(home)
    (iteration,) = [line for line in lines if line["type"] == "iteration.finished"]
    assert lines[-1]["type"] == "loop.stopped"
    return lines[-1]["reason"], iteration["outcome"], iteration.get("exit_code")


def test_ctrl_c_reaches_the_agent_exactly_once_and_ends_the_loop(workshop: Workshop, home: Path) -> None:
    with on_terminal(workshop, "--", workshop.python(OBEYS)) as loop:
        loop.until_ready()
        loop.type(b"\x03")
        assert loop.end() == 130
    assert workshop.read("signals") == "SIGINT "
    assert end_of(home) == ("user_signal", "cancelled", 3)
    assert b"bye" in loop.output, "what the agent says at its end is passed on"
    assert b"stopped after 1 iteration" in loop.output
    assert b"user_signal" in loop.output


def test_a_second_ctrl_c_kills_at_once(workshop: Workshop, home: Path) -> None:
    with on_terminal(workshop, "--grace", "10m", "--", workshop.python(STAYS)) as loop:
        pid = loop.until_ready()
        loop.type(b"\x03")
        until(lambda: workshop.read("signals") == "SIGINT ")
        time.sleep(2 * ECHO)  # what comes sooner is the first one once more
        loop.type(b"\x03")
        assert loop.end() == 130
    assert workshop.read("signals") == "SIGINT "
    assert end_of(home) == ("user_signal", "cancelled", -9)
    assert not psutil.pid_exists(pid)


def test_only_a_second_request_some_time_after_the_first_is_urgent(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupts, clock = Interrupts(), SimpleNamespace(monotonic=lambda: 100.0)
    monkeypatch.setattr("ralph_otel.loop.interrupts.time", clock)
    interrupts.ask(signal.SIGINT)
    interrupts.ask(signal.SIGTERM)
    interrupts.wait(0)
    assert (interrupts.signal, interrupts.urgent) == (signal.SIGINT, False)
    clock.monotonic = lambda: 100.0 + 1.5 * ECHO
    interrupts.ask(signal.SIGINT)
    interrupts.wait(0)
    assert interrupts.urgent


def test_a_signal_that_is_repeated_at_once_counts_once(workshop: Workshop, home: Path) -> None:
    """`timeout` and other launchers send one to the process and one to its group."""
    at_once = clocked("interrupts.ECHO = 60.0")  # however long a busy machine takes for the second
    with in_background(workshop, "--", workshop.python(OBEYS), cli=at_once) as loop:
        loop.until_ready()
        loop.popen.send_signal(signal.SIGTERM)
        os.killpg(loop.popen.pid, signal.SIGTERM)
        assert loop.end() == 143
    assert workshop.read("signals") == "SIGTERM "
    assert end_of(home) == ("user_signal", "cancelled", 3)


@pytest.mark.parametrize(
    ("sent", "passed_on", "exit_code"),
    [("SIGTERM", "SIGTERM ", 143), ("SIGHUP", "SIGTERM ", 129), ("SIGINT", "SIGINT ", 130)],
)
def test_a_signal_ends_the_agent_and_the_loop(
    workshop: Workshop, home: Path, sent: str, passed_on: str, exit_code: int
) -> None:
    with in_background(workshop, "--", workshop.python(OBEYS)) as loop:
        loop.until_ready()
        loop.popen.send_signal(getattr(signal, sent))
        assert loop.end() == exit_code
    assert workshop.read("signals") == passed_on
    assert end_of(home) == ("user_signal", "cancelled", 3)


def test_sigquit_kills_at_once(workshop: Workshop, home: Path) -> None:
    with in_background(workshop, "--grace", "10m", "--", workshop.python(STAYS)) as loop:
        loop.until_ready()
        loop.popen.send_signal(signal.SIGQUIT)
        assert loop.end() == 131
    assert workshop.read("signals") == ""
    assert end_of(home) == ("user_signal", "cancelled", -9)


def test_an_agent_that_does_not_obey_is_killed_after_the_grace(workshop: Workshop, home: Path) -> None:
    with in_background(workshop, "--grace", "300ms", "--", workshop.python(STAYS)) as loop:
        pid, asked = loop.until_ready(), time.monotonic()
        loop.popen.send_signal(signal.SIGTERM)
        assert loop.end() == 143
    assert time.monotonic() - asked >= 0.3
    assert workshop.read("signals") in ("SIGTERM ", "")  # it may not have come to note it within the grace
    assert end_of(home) == ("user_signal", "cancelled", -9)
    assert not psutil.pid_exists(pid)


def test_a_signal_ignored_from_the_start_stays_ignored(workshop: Workshop, home: Path) -> None:
    agent = workshop.script("touch ready; while test ! -e go; do sleep 0.01; done")
    shell = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *CLI, "-n", "1", "--", agent]
    with subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as popen:
        until((workshop.folder / "ready").exists)
        popen.send_signal(signal.SIGHUP)
        (workshop.folder / "go").touch()
        assert popen.wait(60) == 0
    assert end_of(home) == ("max_iterations", "success", 0)


def test_ctrl_c_during_the_tests_ends_them_and_the_loop(workshop: Workshop, home: Path) -> None:
    test = workshop.python(OBEYS, "tests")
    with on_terminal(workshop, "--test", test, "--", workshop.script("true")) as loop:
        loop.until_ready()
        loop.type(b"\x03")
        assert loop.end() == 130
    assert workshop.read("signals") == "SIGINT "
    assert end_of(home) == ("user_signal", "cancelled", 0)
    assert "tests.finished" not in [line["type"] for line in journal(home)]


def test_ctrl_c_between_two_iterations_ends_the_loop(workshop: Workshop, home: Path) -> None:
    with on_terminal(workshop, "--delay", "10m", "--", workshop.script("echo $$ > ready")) as loop:
        until(lambda: b"ralph-otel: iteration 1 " in loop.read())
        loop.type(b"\x03")
        assert loop.end() == 130
    assert end_of(home) == ("user_signal", "success", 0)


def test_ctrl_c_works_while_nobody_reads_the_output(workshop: Workshop, home: Path) -> None:
    with in_background(workshop, "--", workshop.script("echo $$ > ready; exec yes")) as loop:
        loop.until_ready()
        loop.popen.send_signal(signal.SIGINT)
        until(lambda: loop.popen.poll() is not None)
        assert loop.popen.returncode == 130
    assert end_of(home)[:2] == ("user_signal", "cancelled")


def test_ctrl_z_pauses_the_agent_and_the_time(workshop: Workshop, home: Path) -> None:
    agent = workshop.python(COUNTING + "while 'go' not in __import__('os').listdir(): time.sleep(0.01)")
    with in_background(workshop, "-n", "1", "--", agent) as loop:
        pid = loop.until_ready()
        loop.popen.send_signal(signal.SIGTSTP)
        until(lambda: psutil.Process(loop.popen.pid).status() == psutil.STATUS_STOPPED)
        until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)  # a signal takes its time to arrive
        (workshop.folder / "go").touch()
        time.sleep(0.5)
        loop.popen.send_signal(signal.SIGCONT)
        assert loop.end() == 0
    lines = journal(home)
    paused, resumed = (next(line for line in lines if line["type"] == f"loop.{what}") for what in ("paused", "resumed"))
    assert resumed["ts"] - paused["ts"] >= 0.5e9
    assert workshop.read("signals") == "SIGCONT "
    assert end_of(home) == ("max_iterations", "success", 0)


def test_a_pause_does_not_use_up_the_time_that_is_given(workshop: Workshop, home: Path) -> None:
    agent = workshop.python(COUNTING + "while 'go' not in __import__('os').listdir(): time.sleep(0.01)")
    limits = ("--timeout", "5m", "--max-duration", "5m")
    hour = "later = lambda: time.monotonic() + 3600 * os.path.exists('later')"
    clock = clocked(hour, "interrupts.time = SimpleNamespace(monotonic=later)")
    with in_background(workshop, "-n", "1", *limits, "--", agent, cli=clock) as loop:
        loop.until_ready()
        loop.popen.send_signal(signal.SIGTSTP)
        until(lambda: psutil.Process(loop.popen.pid).status() == psutil.STATUS_STOPPED)
        (workshop.folder / "later").touch()  # an hour later, which is more than all the time there is
        loop.popen.send_signal(signal.SIGCONT)
        (workshop.folder / "go").touch()
        assert loop.end() == 0
    assert end_of(home) == ("max_iterations", "success", 0)


def test_the_agent_has_no_terminal_to_ask_at(workshop: Workshop) -> None:
    agent = workshop.script("(exec 3< /dev/tty) 2> /dev/null && echo found > terminal || echo none > terminal")
    with on_terminal(workshop, "-n", "1", "--", agent) as loop:
        assert loop.end() == 0
    assert workshop.read("terminal") == "none\n"
