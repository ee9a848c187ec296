"""Running a command so that nobody notices that it is not run directly.

The command shares our terminal, files and process group. Its exit code is ours, the signal that ends it ends us, and
when the terminal stops it, we stop. A signal that was sent to us alone is passed on; one that the whole group got, such
as a ctrl-C, the command has got as well, and twice might mean something else to it. Which of the two it was, the
operating system does not say. So a process of ours sits in the group, does nothing, and tells which signals came by.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import NoReturn

from ralph_otel.shims.command import PASSED_ON, STOPS

PATIENCE = 0.5
"""Seconds after which a signal that the witness has not seen was meant for us alone."""
_FRESH = 1.0
"""Seconds after which a signal that the witness saw has nothing to do with one that we get."""


class CannotStart(Exception):
    """The command cannot be started; the text says why.

    Attributes:
        exit_code: what a shell would exit with: 127 for a command that is not there, 126 for one that cannot be run.
    """

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Supervisor:
    """Runs one command. A context manager: our signal handlers are in place inside it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._passed_on = [number for number in PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN]

    def __enter__(self) -> Supervisor:
        self._witness = Witness(self._passed_on)
        self._before = {number: signal.signal(number, self._take) for number in self._passed_on}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._witness.close()

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Start the command in that environment, and return its process id.

        Raises:
            CannotStart: it is not there, or is not a program.
        """
        try:
            try:
                self._child = _spawn(command, environment)
            except OSError as error:
                if error.errno != errno.ENOEXEC:
                    raise
                self._child = _spawn(["/bin/sh", shutil.which(command[0]) or command[0], *command[1:]], environment)
        except (OSError, ValueError) as error:
            raise _cannot_start(command[0], error) from error
        while self._early:
            self._pass_on(self._early.pop(0))
        return self._child.pid

    def wait(self) -> int:
        """Wait for the command's end; its exit code, or the negative number of the signal that ended it."""
        child = self._child
        assert child is not None, "start comes first"
        while child.returncode is None:
            status = os.waitpid(child.pid, os.WUNTRACED)[1]
            if not os.WIFSTOPPED(status):
                child.returncode = os.waitstatus_to_exitcode(status)
            elif os.WSTOPSIG(status) in STOPS:
                self._stop_as_well(child, os.WSTOPSIG(status))
        return child.returncode

    def _stop_as_well(self, child: subprocess.Popen[bytes], number: int) -> None:
        """Stop by the same signal, so that the shell sees its job stopped; when it goes on, so does the command.

        A SIGCONT that has come already must not be lost: one that comes from `pthread_kill` on takes our stop back, and
        the command shows whether one came before.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, [number])
        handler = signal.signal(number, signal.SIG_DFL)
        signal.pthread_kill(threading.get_ident(), number)
        continued = _has_gone_on(child)
        if continued:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        signal.signal(number, handler)
        if not continued and not _has_gone_on(child):
            self._pass_on(signal.SIGCONT)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._child is None:
            self._early.append(number)
        elif not self._witness.saw(number):
            self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._child.pid, number)


def _spawn(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # close_fds: files that a caller opened for the command (a shell's <(…), make's job server) are not ours to close.
    return subprocess.Popen(command, env=environment, close_fds=False)


def _has_gone_on(child: subprocess.Popen[bytes]) -> bool:
    """Whether a process that was stopped runs again or has ended; its return code is then set."""
    pid, status = os.waitpid(child.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
    if pid == 0 or os.WIFSTOPPED(status):
        return False
    if not os.WIFCONTINUED(status):
        child.returncode = os.waitstatus_to_exitcode(status)
    return True


def _cannot_start(name: str, error: OSError | ValueError) -> CannotStart:
    if isinstance(error, FileNotFoundError) and shutil.which(name) is None:
        return CannotStart(f"command not found: {name}", 127)
    if isinstance(error, FileNotFoundError):
        return CannotStart(f"cannot run {name}: the interpreter that its first line names is not there", 126)
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return CannotStart(f"cannot run {name}: {reason}", 126)


def end_like(returncode: int) -> NoReturn:
    """End this process at once, the way the command ended: with its exit code, or by the same signal."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    if returncode < 0:
        _no_core_dump()
        with contextlib.suppress(OSError, ValueError):  # SIGKILL and SIGSTOP have no handler
            signal.signal(-returncode, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [-returncode])
        os.kill(os.getpid(), -returncode)
        os._exit(128 - returncode)
    os._exit(returncode)  # not sys.exit: an exporter's own exit handler could take longer than we may


def _no_core_dump() -> None:
    """The command's core dump is the interesting one; ours would overwrite it."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


class Witness:
    """A process in our group that says which signals it gets. It ends with us, whatever ends us."""

    def __init__(self, signals: Iterable[int]) -> None:
        self._seen: list[tuple[float, int]] = []
        alive, self._alive = os.pipe()
        self._reports, reports = os.pipe()
        with warnings.catch_warnings():  # beside a thread; Python 3.12 says so, but what the child does takes no lock
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            _bear_witness(alive, reports, signals)
        os.close(alive)
        os.close(reports)
        os.read(self._reports, 1)  # it is ready
        os.set_blocking(self._reports, False)

    def saw(self, number: int) -> bool:
        """Whether it has got that signal as well, just now. A signal handler may call this while another does."""
        deadline = time.monotonic() + PATIENCE
        while not self._has(number):
            if not select.select([self._reports], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return self._has(number)
            with contextlib.suppress(BlockingIOError):  # another handler was faster
                reports = os.read(self._reports, 256)
                if not reports:
                    return False
                self._seen += [(time.monotonic(), what) for what in reports]
        return True

    def _has(self, number: int) -> bool:
        """Whether there is a fresh report of a signal; each one counts once."""
        for report in [report for report in self._seen if report[1] == number]:
            with contextlib.suppress(ValueError):
                self._seen.remove(report)
                if time.monotonic() - report[0] < _FRESH:
                    return True
        return False

    def close(self) -> None:
        """Let it end."""
        os.close(self._alive)
        os.close(self._reports)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _bear_witness(alive: int, reports: int, signals: Iterable[int]) -> NoReturn:
    """What the witness does: nothing, until the other end of `alive` is closed."""
    try:
        os.dup2(alive, 0)
        os.dup2(reports, 1)
        os.closerange(2, os.sysconf("SC_OPEN_MAX"))  # whoever waits for the end of our output must not wait for it
        os.set_blocking(1, False)
        signal.set_wakeup_fd(1, warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, lambda *_: None)
        os.write(1, b"\0")
        while os.read(0, 1):
            pass
    finally:
        os._exit(0)
