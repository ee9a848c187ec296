"""`ralph-otel top` in a real terminal, watching real processes."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.tape import Tape
from support.waiting import until
from support.watched import LoopProcess, ago, loop_process

COMMAND = f"{sys.executable} -c 'from ralph_otel.cli import main; main()'"


class Terminal:
    """A tmux of its own with one window, in which a command runs."""

    def __init__(self, folder: Path, command: str, width: int, height: int) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux")]
        (folder / "tmux.conf").write_text("set -g exit-empty off\nset -g remain-on-exit on\n")
        self._server = subprocess.Popen(
            [*self._tmux, "-D", "-f", str(folder / "tmux.conf")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        until(
            lambda: subprocess.run([*self._tmux, "list-sessions"], capture_output=True).returncode == 0, what="for tmux"
        )
        size = ["-x", str(width), "-y", str(height)]
        self._status = folder / "status"
        self._call("new-session", "-d", "-s", "top", *size, f"{command}; echo $? > {self._status}")

    def _call(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=True, timeout=60).stdout

    def keys(self, *keys: str) -> None:
        """Press keys."""
        self._call("send-keys", "-t", "top", *keys)

    def type(self, *pieces: str) -> None:
        """Write texts to the terminal as it would send them, each by itself."""
        for piece in pieces:
            self._call("send-keys", "-t", "top", "-l", piece)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        self._call("resize-window", "-t", "top", "-x", str(width), "-y", str(height))

    def screen(self, *options: str) -> str:
        """What is on the screen."""
        return self._call("capture-pane", "-p", "-t", "top", *options)

    def wait_for(self, *texts: str, seconds: float = 60) -> str:
        """Return the screen once all these texts are on it."""
        try:
            until(lambda: all(text in self.screen() for text in texts), seconds, f"for {texts}")
        except AssertionError as error:
            raise AssertionError(f"{error}; there is:\n{self.screen()}") from None
        return self.screen()

    @property
    def pid(self) -> int:
        """The command's process."""
        shell = psutil.Process(int(self._call("display-message", "-p", "-t", "top", "#{pane_pid}")))
        return int(shell.children()[0].pid)

    @property
    def status(self) -> str:
        """The command's exit code; "" while it runs."""
        return self._status.read_text().strip() if self._status.exists() else ""

    def close(self) -> None:
        """End it all."""
        self._server.terminate()
        self._server.communicate(timeout=60)


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[list[Terminal]]:
    """The terminals that a test opens; they end with it."""
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux")
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def top(
    terminals: list[Terminal], home: Path, options: str = "", size: tuple[int, int] = (80, 24), environment: str = ""
) -> Terminal:
    """`ralph-otel top` in a terminal."""
    command = f"env RALPH_OTEL_HOME={home} {environment} {COMMAND} top {options}"
    terminals.append(Terminal(home.parent, command, *size))
    return terminals[-1]


def journal(home: Path, name: str) -> Path:
    """Where a run's journal is."""
    return home / "runs" / f"{name}.jsonl"


def test_a_loop_is_watched_from_its_start_to_its_end(home: Path, terminals: list[Terminal]) -> None:
    terminal = top(terminals, home)
    terminal.wait_for("No runs yet", "ralph-otel run -- COMMAND…")
    with loop_process(journal(home, "r1"), "fix-bugs", max_iterations=9) as loop:
        terminal.wait_for("fix-bugs", "running", "1 running")
        loop.add("iteration.started", iteration=1).add("context.measured", percent=88)
        terminal.wait_for("1/9", "88%!")
        loop.add("iteration.finished", iteration=1, outcome="timeout", duration=2.5)
        loop.add("tests.finished", passed=3, failed=1).add("usage.measured", cost_usd=0.5)
        terminal.wait_for(" t ", "3/4", "$0.50")
        terminal.keys("Enter")
        terminal.wait_for("machine    runner", "0%  0 of 1 · t 1 timeout")
        terminal.keys("Escape")
        loop.add("loop.stopped", reason="no_progress")
        terminal.wait_for("no_progress", "0 running", "1 ended")
    terminal.keys("q")
    until(lambda: terminal.status == "0")


def test_a_loop_that_is_killed_is_dead_within_seconds_and_its_journal_stays_as_it_was(
    home: Path, terminals: list[Terminal]
) -> None:
    with loop_process(journal(home, "r1"), "victim") as loop:
        loop.add("iteration.started", iteration=1)
        terminal = top(terminals, home)
        terminal.wait_for("victim", "running")
        content = loop.journal.read_bytes()
        loop.kill()
        terminal.wait_for("dead", "1 dead", "0 running")
        assert loop.journal.read_bytes() == content


def test_keys_written_at_once_and_keys_written_in_pieces_count_alike(home: Path, terminals: list[Terminal]) -> None:
    for name in ("alpha", "beta", "gamma"):
        ago(Tape(name, f"run-{name}").add(1, "iteration.started", iteration=1), 60).write(journal(home, f"run-{name}"))
    terminal = top(terminals, home, "--sort name", environment="ESCDELAY=20000")
    terminal.wait_for("alpha", "beta", "gamma", "quit")
    terminal.type("/beta\r\r")
    terminal.wait_for("beta · run-beta", "with 'beta'")
    terminal.type("/\x15\r", "\x1b", "[", "C")  # without the filter, and an arrow to the right in three pieces
    terminal.wait_for("gamma · run-gamma")
    terminal.type("nnpq")
    until(lambda: terminal.status == "0", 50)
    assert "Task" not in terminal.screen()


def test_a_terminal_may_change_its_size(home: Path, terminals: list[Terminal]) -> None:
    with loop_process(journal(home, "r1"), "fix-bugs") as loop:
        loop.add("iteration.started", iteration=1).add("tool.called", tool="Bash", outcome="success")
        terminal = top(terminals, home, environment="COLUMNS=80 LINES=24")
        assert "Bash" not in terminal.wait_for("fix-bugs")
        terminal.resize(120, 40)
        terminal.wait_for("Bash", "iteration  1", "doing      Bash")
        terminal.resize(60, 10)
        until(lambda: "Bash" not in terminal.screen())
        terminal.wait_for("fix-bugs", "quit")


@pytest.mark.parametrize(("environment", "coloured"), [("", True), ("NO_COLOR=1", False)])
def test_without_colour_everything_is_still_said(
    environment: str, coloured: bool, home: Path, terminals: list[Terminal]
) -> None:
    tape = Tape(run="r").iteration(1, 1).iteration(3, 2, "failure").iteration(5, 3, "cancelled")
    ago(tape.add(7, "iteration.started", iteration=4), 60).write(journal(home, "r"))
    terminal = top(terminals, home, environment=environment)
    terminal.wait_for("✓✗c", "running")
    until(lambda: bool(colours(terminal.screen("-e"))) is coloured)


def colours(screen: str) -> set[str]:
    """The colours that a screen sets, other than the terminal's own."""
    codes = {code for codes in re.findall(r"\x1b\[([\d;]*)m", screen) for code in codes.split(";")}
    return {code for code in codes if code[:1] in "349" and len(code) == 2 and code not in ("39", "49")}


def test_names_that_are_made_to_be_obeyed_are_not(home: Path, terminals: list[Terminal]) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31mx"
    tape = Tape(evil, "r", runner=evil).add(1, "iteration.started", iteration=1)
    tape.add(2, "tool.called", tool=evil, outcome="success").add(2, "error.raised", error_type=evil)
    ago(tape, 60).write(journal(home, "r"))
    terminal = top(terminals, home, size=(150, 40))
    screen = terminal.wait_for(r"\x1b]0;owned\x07", r"\u202e", "doing")
    assert "ralph-otel top" in screen
    assert "owned" not in terminal._call("display-message", "-p", "-t", "top", "#{pane_title}")


def test_twenty_loops_cost_little(home: Path, terminals: list[Terminal]) -> None:
    loops = list[LoopProcess]()
    try:
        for number in range(20):
            loop = LoopProcess(journal(home, f"r{number:02}"), f"loop-{number:02}")
            loops.append(loop.add("session.started", session="s").add("iteration.started", iteration=1))
        terminal = top(terminals, home)
        terminal.wait_for("20 running", "loop-00", "loop-19")
        process = psutil.Process(terminal.pid)
        until(lambda: cpu_in(process, 1.0) < 0.2, what="for the start to be over")
        before, started = sum(process.cpu_times()[:2]), time.monotonic()
        while time.monotonic() < started + 8:
            for number, loop in enumerate(loops[:5]):
                loop.add("tool.called", tool=f"Tool{number}", outcome="success")
            time.sleep(1)
        share = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - started)
        assert share < 0.08, f"{share:.1%} of a core"  # it is about 1 %; a busy machine's caches are cold
    finally:
        for loop in loops:
            loop.kill()


def cpu_in(process: psutil.Process, seconds: float) -> float:
    """Cores that a process uses in so many seconds."""
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    return float(sum(process.cpu_times()[:2]) - before) / seconds


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_be_drawn_on_gets_the_plain_table(term: str, home: Path) -> None:
    Tape("fix-bugs", "r").iteration(1, 1).write(journal(home, "r"))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", "from ralph_otel.cli import main; main(['top'])"],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": term},
    ) as process:  # fmt: skip
        os.close(theirs)
        output = b""
        while part := read(ours):
            output += part
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b" not in output
    assert b"fix-bugs" in output


def read(descriptor: int) -> bytes:
    """What comes next; b"" at the end, which Linux reports as an error."""
    try:
        return os.read(descriptor, 65_536)
    except OSError:
        return b""


def test_into_a_pipe_goes_the_plain_table(home: Path) -> None:
    Tape("fix-bugs", "r").iteration(1, 1).write(journal(home, "r"))
    words = [sys.executable, "-c", "from ralph_otel.cli import main; main(['top'])"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (result.returncode, result.stderr) == (0, "")
    titles, line = result.stdout.splitlines()
    assert titles.startswith("RUN")
    assert line.split()[:3] == ["r", "no_end", "1"]


def test_the_plain_table_is_sorted_and_filtered_as_asked(home: Path) -> None:
    for name, iterations in (("few", 1), ("many", 3), ("other", 2)):
        tape = Tape(f"loop {name}", name)
        for number in range(iterations):
            tape.iteration(number * 2, number + 1)
        tape.write(journal(home, name))
    words = [sys.executable, "-c", "from ralph_otel.cli import main; main()", "top", "--once"]
    for options, runs in (
        (["--sort", "iterations"], ["many", "other", "few"]),
        (["--sort", "name", "--filter", "m"], ["many"]),
        (["--filter", "nothing like it"], []),
    ):
        result = subprocess.run([*words, *options], capture_output=True, text=True, timeout=60)
        assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == runs
