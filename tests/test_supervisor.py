"""A command under `ralph-otel run`, seen from a shell, a terminal, and whoever sends it signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.waiting import until

RUN = [sys.executable, "-m", "ralph_otel.cli.run", "--"]
# Notes the signals it gets in a file, until it gets a SIGUSR1.
LISTENER = """
import os, signal, sys, time
os.set_blocking(w := os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND), True)
for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "TSTP"):
    signal.signal(getattr(signal, "SIG" + name), lambda number, _: os.write(w, b"%d " % number))
os.write(w, b"ready ")
while b" 10 " not in open(sys.argv[1], "rb").read().replace(b"%d" % signal.SIGUSR1, b"10"):
    time.sleep(0.01)  # pause() would wait for another signal if the last one came just before it
sys.exit(7)
"""
# A shell that starts one job in the foreground of its terminal and says what becomes of it.
SHELL = """
import fcntl, json, os, signal, sys, termios
report, job = open(sys.argv[1], "a", buffering=1), sys.argv[2:]
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execvp(job[0], job)
while True:
    status = os.waitpid(pid, os.WUNTRACED)[1]
    if not os.WIFSTOPPED(status):
        break
    report.write(json.dumps({"stopped": os.WSTOPSIG(status)}) + "\\n")
    os.tcsetpgrp(0, os.getpgrp())
    sys.stdin.readline()
    os.tcsetpgrp(0, pid)
    os.killpg(pid, signal.SIGCONT)
report.write(json.dumps({"ended": os.waitstatus_to_exitcode(status)}) + "\\n")
"""


@pytest.fixture(autouse=True)
def without_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same supervision, with less to wait for."""
    monkeypatch.setenv("RALPH_OTEL_ENABLED", "false")


class Listener:
    """The listener under `ralph-otel run`, in a process group of its own."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.notes = folder / "notes"
        command = [*RUN, sys.executable, "-c", LISTENER, str(self.notes)]
        self.process = subprocess.Popen(command, start_new_session=True, **options)
        until(lambda: "ready" in self.text, what="for the listener")

    @property
    def text(self) -> str:
        return self.notes.read_text() if self.notes.exists() else ""

    def send(self, number: int) -> None:
        """Send a signal to `ralph-otel run` alone."""
        os.kill(self.process.pid, number)

    def end(self) -> list[int]:
        """End it, and say which signals it got before; of two at once, the lower number is noted first."""
        self.send(signal.SIGUSR1)
        assert self.process.wait(60) == 7
        return [number for number in self.got() if number != signal.SIGUSR1]

    def got(self) -> list[int]:
        """The signals that it has got so far."""
        return [int(word) for word in self.text.split()[1:]]

    def below(self, option: str) -> psutil.Process:
        """A child of `ralph-otel run`: `-c` is the command, `-m` the helper. Git comes and goes, first as a copy."""
        found: list[psutil.Process] = []

        def is_alone() -> bool:
            children = psutil.Process(self.process.pid).children()
            found[:] = [child for child in children if words_of(child)[:2] == [sys.executable, option]]
            return len(found) == 1

        until(is_alone, what=f"for the child with {option}")
        return found[0]


def words_of(process: psutil.Process) -> list[str]:
    """A process's command line; none if it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize("code", [0, 1, 77, 255])
def test_the_exit_code_is_kept(code: int) -> None:
    assert subprocess.run([*RUN, "sh", "-c", f"exit {code}"], check=False).returncode == code


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "KILL", "SEGV", "ABRT", "PIPE", "USR1"])
def test_a_signal_that_ends_the_command_ends_us(name: str, tmp_path: Path) -> None:
    done = subprocess.run([*RUN, "sh", "-c", f"kill -{name} $$"], cwd=tmp_path, check=False)
    assert done.returncode == -getattr(signal, f"SIG{name}")


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "USR2", "WINCH", "TSTP"])
def test_a_signal_to_us_alone_is_passed_on(name: str, tmp_path: Path) -> None:
    listener, number = Listener(tmp_path), getattr(signal, f"SIG{name}")
    listener.send(number)
    until(lambda: number in listener.got(), what="for the signal")
    assert listener.end() == [number]


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "USR2", "WINCH"])
def test_a_signal_to_the_group_comes_once(name: str, tmp_path: Path) -> None:
    listener, number = Listener(tmp_path), getattr(signal, f"SIG{name}")
    os.killpg(listener.process.pid, number)
    until(lambda: number in listener.got(), what="for the signal")
    assert listener.end() == [number]


def test_signals_one_upon_another_neither_hang_nor_get_lost(tmp_path: Path) -> None:
    listener = Listener(tmp_path)
    for round_ in range(1, 6):
        for number in (signal.SIGINT, signal.SIGUSR2):
            os.killpg(listener.process.pid, number)
            listener.send(signal.SIGTERM)
        until(lambda expected=round_: listener.got().count(15) >= expected)  # type: ignore[misc]  # a default binds
    got = listener.end()
    assert {signal.SIGINT, signal.SIGUSR2, signal.SIGTERM} == set(got)
    assert got.count(signal.SIGINT) <= 5
    assert got.count(signal.SIGUSR2) <= 5


def test_a_command_that_ignores_a_signal_lives_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*RUN, "sh", "-c", "trap '' TERM; touch ready; cat"], cwd=tmp_path, stdin=subprocess.PIPE
    )
    until((tmp_path / "ready").exists, what="for the command")
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["INT", "HUP", "TERM"])
def test_what_our_caller_ignores_stays_ignored(name: str) -> None:
    code = f"import signal; print(signal.getsignal(signal.SIG{name}) is signal.SIG_IGN)"
    shell = f"trap '' {name}; exec \"$@\""
    done = subprocess.run(["sh", "-c", shell, "sh", *RUN, sys.executable, "-c", code], capture_output=True, check=False)
    assert done.stdout == b"True\n"


def test_the_command_has_default_handlers_and_no_blocked_signals() -> None:
    code = "print([line for line in open('/proc/self/status') if line[:6] in ('SigBlk', 'SigIgn')])"
    plain, under = (
        subprocess.run([*prefix, "sh", "-c", 'exec "$@"', "sh", sys.executable, "-c", code], stdout=-1, check=True)
        for prefix in ([], RUN)
    )
    assert under.stdout == plain.stdout


def test_input_and_files_of_the_caller_reach_the_command() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe")
    os.close(writer)
    code = f"import os, sys; print(sys.stdin.read() + os.read({reader}, 99).decode())"
    command = [*RUN, sys.executable, "-c", code]
    done = subprocess.run(command, input=b"stdin, then ", pass_fds=[reader], stdout=-1, check=False)
    os.close(reader)
    assert done.stdout == b"stdin, then from a pipe\n"


def test_our_helper_holds_no_file_of_the_caller(tmp_path: Path) -> None:
    listener = Listener(tmp_path)
    helper = listener.below("-m")
    until(lambda: sorted(path.name for path in Path(f"/proc/{helper.pid}/fd").iterdir()) == ["0", "1"])
    listener.end()
    until(lambda: is_gone(helper))


def test_killed_we_leave_the_command_alone_and_nothing_of_us_behind(tmp_path: Path) -> None:
    listener = Listener(tmp_path)
    command, helper = listener.below("-c"), listener.below("-m")
    listener.process.kill()
    listener.process.wait(60)
    until(lambda: is_gone(helper))
    assert not is_gone(command)
    command.send_signal(signal.SIGUSR1)
    until(lambda: is_gone(command))


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended, be it that nobody has asked how."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def fails(tmp_path: Path, command: Sequence[str]) -> tuple[str, int]:
    done = subprocess.run([*RUN, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    return line, done.returncode


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    assert fails(tmp_path, ["no-such-command", "x"]) == ("ralph-otel: command not found: no-such-command", 127)
    assert fails(tmp_path, ["./no-such-command"]) == ("ralph-otel: command not found: ./no-such-command", 127)


def test_a_command_that_cannot_be_run(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "script").write_text("#!/no/such/interpreter\n")
    (tmp_path / "script").chmod(0o755)
    assert fails(tmp_path, ["./text"]) == ("ralph-otel: cannot run ./text: Permission denied", 126)
    assert fails(tmp_path, ["."]) == ("ralph-otel: cannot run .: Permission denied", 126)
    line, code = fails(tmp_path, ["./script"])
    assert (code, "interpreter" in line) == (126, True)


def test_a_script_without_a_first_line_runs_as_in_a_shell(tmp_path: Path) -> None:
    (tmp_path / "script").write_text('echo "$1"; exit 3\n')
    (tmp_path / "script").chmod(0o755)
    done = subprocess.run([*RUN, "./script", "a b"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("a b\n", 3)


class Terminal:
    """A terminal whose shell runs one job in the foreground."""

    def __init__(self, folder: Path) -> None:
        self._report = folder / "report"
        self._keyboard, self._screen = pty.openpty()
        self._shell: subprocess.Popen[bytes] | None = None

    def run(self, job: Sequence[str]) -> None:
        command = [sys.executable, "-c", SHELL, str(self._report), *job]
        screen = self._screen
        self._shell = subprocess.Popen(command, stdin=screen, stdout=screen, stderr=screen, start_new_session=True)

    def press(self, keys: bytes) -> None:
        os.write(self._keyboard, keys)

    def reports(self) -> list[dict[str, int]]:
        text = self._report.read_text() if self._report.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def close(self) -> None:
        os.close(self._keyboard)
        os.close(self._screen)
        if self._shell is not None:
            self._shell.wait(60)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.close()


CTRL_C, CTRL_BACKSLASH, CTRL_Z = b"\x03", b"\x1c", b"\x1a"


@pytest.fixture(params=[[], RUN], ids=["without", "with"])
def wrapper(request: pytest.FixtureRequest) -> list[str]:
    found: list[str] = request.param
    return found


def ready(folder: Path) -> Callable[[], bool]:
    return (folder / "ready").exists


@pytest.mark.parametrize(("key", "number"), [(CTRL_C, signal.SIGINT), (CTRL_BACKSLASH, signal.SIGQUIT)])
def test_keys_that_end_a_job_end_it(
    terminal: Terminal, tmp_path: Path, wrapper: list[str], key: bytes, number: int
) -> None:
    code = f"import signal; signal.signal(2, signal.SIG_DFL); open('{tmp_path}/ready', 'w').close(); signal.pause()"
    terminal.run([*wrapper, "sh", "-c", 'ulimit -c 0; exec "$@"', "sh", sys.executable, "-c", code])
    until(ready(tmp_path), what="for the job")
    terminal.press(key)
    until(terminal.reports, what="for the job to end")
    assert terminal.reports() == [{"ended": -number}]


def test_ctrl_z_stops_the_job_and_it_goes_on(terminal: Terminal, tmp_path: Path, wrapper: list[str]) -> None:
    terminal.run([*wrapper, "sh", "-c", f"touch {tmp_path}/ready; read line; touch {tmp_path}/gone-on; exit 5"])
    until(ready(tmp_path), what="for the job")
    terminal.press(CTRL_Z)
    until(terminal.reports, what="for the job to stop")
    assert terminal.reports() == [{"stopped": signal.SIGTSTP}]
    terminal.press(b"fg\n")
    terminal.press(b"a line\n")
    until(lambda: len(terminal.reports()) == 2, what="for the job to end")
    assert terminal.reports()[1] == {"ended": 5}
    assert (tmp_path / "gone-on").exists()


def test_a_job_that_takes_no_ctrl_z_does_not_stop(terminal: Terminal, tmp_path: Path, wrapper: list[str]) -> None:
    terminal.run([*wrapper, "sh", "-c", f"trap '' TSTP; touch {tmp_path}/ready; read line; exit 5"])
    until(ready(tmp_path), what="for the job")
    terminal.press(CTRL_Z)
    terminal.press(b"a line\n")
    until(terminal.reports, what="for the job to end")
    assert terminal.reports() == [{"ended": 5}]
