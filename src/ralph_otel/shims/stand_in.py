"""The process that its callers have for the agent, while the agent runs.

It shares everything with the agent (terminal, files, process group), hands on the signals that are sent to it, stops
when the agent is stopped, and ends the way the agent ends. What takes more than that is left to the observer, a process
beside it in the same group: see `observer`.

A signal that was sent to us alone is passed on; one that the whole group got, such as a ctrl-C, the agent has got as
well. Which of the two it was, the operating system does not say, but the observer does.
(`ralph_otel.launch.supervisor` does the same for the command of `ralph-otel run`; what it imports would take too long
here.)
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from _thread import get_ident

from .command import IGNORED_BY_PYTHON, PASSED_ON, STOPS, become, cannot_run
from .observer import DONE, observe

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import FrameType
    from typing import NoReturn
else:
    import _signal as signal

PATIENCE = 0.5
"""Seconds after which a signal that the observer has not seen was meant for us alone."""
FRESH = 1.0
"""Seconds after which a signal that the observer saw has nothing to do with one that we get."""


class StandIn:
    """Starts one agent and waits for its end.

    Args:
        path: the agent's program.
        command: its words, the first one its name.
        environment: its environment.
        connection: a connection to the launch.
        passes_on: whether its standard output goes through the observer.
    """

    def __init__(
        self, path: str, command: list[str], environment: dict[str, str], connection: int, passes_on: bool
    ) -> None:
        self.path = path
        self.command = command
        self.environment = environment
        self.connection = connection
        self.passes_on = passes_on
        self.agent = 0
        self.ended = False
        self.status: int | None = None
        self.early: list[int] = []
        self.seen: list[tuple[float, int]] = []

    def run(self, about: list[object]) -> NoReturn:
        """Start the agent, wait for its end, and end like it.

        Args:
            about: what the launch is told of it, beside its process id.
        """
        numbers = [number for number in PASSED_ON if signal.getsignal(number) != signal.SIG_IGN]
        if not self.is_observed(numbers):
            become(self.path, self.command, self.environment)
        for number in numbers:
            signal.signal(number, self.take)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would hide how the agent ends
        began = time.monotonic()
        code = self.spawn()
        self.tell("started", self.agent, *about, folder(), file_of(1), file_of(2))
        while self.early and self.agent:
            os.kill(self.agent, self.early.pop(0))
        if self.agent:
            code = self.wait()
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        self.tell("ended", code, time.monotonic() - began)
        self.await_output()
        end_like(code)

    def is_observed(self, numbers: list[int]) -> bool:
        """Start the observer. Returns whether it is there."""
        control, self.control = os.pipe()
        self.reports, reports = os.pipe()
        output, self.output = os.pipe() if self.passes_on else (-1, -1)
        try:
            observer = os.fork()
        except OSError:  # no more processes, say
            return False
        if observer == 0:
            observe(control, reports, output, self.connection, numbers)
        for fd in (control, reports, output, self.connection):
            if fd >= 0:
                os.close(fd)
        ready = os.read(self.reports, 1) == DONE
        os.set_blocking(self.reports, False)
        return ready

    def spawn(self) -> int:
        """Start the agent. Returns the exit code for it if it cannot be started."""
        try:
            self.agent = self.start()
        except OSError as error:
            return cannot_run(self.command[0], error)
        finally:
            if self.output >= 0:
                os.close(self.output)
        return 0

    def start(self) -> int:
        """Its standard error goes with its output where they are one file, so that their order stays as it is."""
        streams = () if self.output < 0 else (1, 2) if is_same_file(1, 2) else (1,)
        actions = [(os.POSIX_SPAWN_DUP2, self.output, fd) for fd in streams]
        unignored = list(IGNORED_BY_PYTHON)
        try:
            return os.posix_spawn(self.path, self.command, self.environment, file_actions=actions, setsigdef=unignored)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
        words = ["sh", self.path, *self.command[1:]]  # a script without a first line that says so
        return os.posix_spawn("/bin/sh", words, self.environment, file_actions=actions, setsigdef=unignored)

    def wait(self) -> int:
        """Wait for the agent's end; its exit code, or the negative number of the signal that ended it."""
        while self.status is None:
            status = os.waitpid(self.agent, os.WUNTRACED)[1]
            if not os.WIFSTOPPED(status):
                self.status = status
            elif os.WSTOPSIG(status) in STOPS or has_job_control():
                self.stop_as_well(os.WSTOPSIG(status))
        self.ended = True
        return os.waitstatus_to_exitcode(self.status)

    def stop_as_well(self, number: int) -> None:
        """Stop by the same signal, so that the shell sees its job stopped; when it goes on, so does the agent."""
        stops = self.stop_unless_continued if number in STOPS else self.stop_at_once
        if stops(number) and not self.has_gone_on():
            self.pass_on(signal.SIGCONT)

    def stop_unless_continued(self, number: int) -> bool:
        """Stop, but not for ever because of a SIGCONT that has come already. Returns whether none had.

        One that comes from `pthread_kill` on takes our stop back. The agent shows whether one came before.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, [number])
        handler = signal.signal(number, signal.SIG_DFL)
        signal.pthread_kill(get_ident(), number)
        continued = self.has_gone_on()
        if continued:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        signal.signal(number, handler)
        return not continued

    def stop_at_once(self, number: int) -> bool:
        """Stop by a signal that cannot wait, unless the agent goes on already. Returns whether we were stopped."""
        if self.has_gone_on():
            return False
        os.kill(os.getpid(), number)
        return True

    def has_gone_on(self) -> bool:
        """Whether the agent, which was stopped, runs again or has ended; `status` is then its end."""
        pid, status = os.waitpid(self.agent, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if pid == 0 or os.WIFSTOPPED(status):
            return False
        if not os.WIFCONTINUED(status):
            self.status = status
        return True

    # -- signals ----------------------------------------------------------------------------------------------------

    def take(self, number: int, interrupted: FrameType | None) -> None:
        """A signal has come."""
        if not self.agent:
            self.early.append(number)
        elif not self.ended and not self.has_been_seen(number):
            self.pass_on(number)

    def pass_on(self, number: int) -> None:
        """Give the agent a signal."""
        if not self.ended:
            os.kill(self.agent, number)

    def has_been_seen(self, number: int) -> bool:
        """Whether the whole group got this signal, just now. May be called within itself, by another signal."""
        deadline = time.monotonic() + PATIENCE
        poll = select.poll()
        poll.register(self.reports, select.POLLIN)
        while not self.has_report(number):
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return self.has_report(number)
            try:
                reports = os.read(self.reports, 256)
            except BlockingIOError:  # another handler was faster
                continue
            if not reports:
                return False
            self.seen += [(time.monotonic(), what) for what in reports]
        return True

    def has_report(self, number: int) -> bool:
        """Whether there is a fresh report of a signal; each one counts once."""
        for report in [report for report in self.seen if report[1] == number]:
            if report in self.seen:
                self.seen.remove(report)
                if time.monotonic() - report[0] < FRESH:
                    return True
        return False

    # -- the observer -----------------------------------------------------------------------------------------------

    def tell(self, kind: str, *values: object) -> None:
        """Have the observer tell the launch: `<kind> <time> <length>` on a line, and the values between NULs."""
        text = "\0".join(map(str, values)).encode(errors="surrogateescape")
        try:  # noqa: SIM105 — contextlib takes its time
            os.write(self.control, f"{kind} {time.time_ns()} {len(text)}\n".encode() + text)
        except OSError:
            pass

    def await_output(self) -> None:
        """Wait until the observer has passed on all that the agent has written."""
        os.set_blocking(self.reports, True)
        while (reports := os.read(self.reports, 256)) and DONE not in reports:
            pass


def end_like(code: int) -> NoReturn:
    """End with that exit code, or by the signal of that negative number. The core dump is left to the agent."""
    if code < 0:
        import resource

        try:
            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
            signal.signal(-code, signal.SIG_DFL)
        except (OSError, ValueError):  # SIGKILL has no handler
            pass
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [-code])
        os.kill(os.getpid(), -code)
        code = 128 - code
    os._exit(code)


def folder() -> str:
    """The working folder; "" where it has been removed."""
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return ""


def file_of(fd: int) -> str:
    """The path of the file that a descriptor is of; "" where it is none, or that cannot be known."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}") if stat.S_ISREG(os.fstat(fd).st_mode) else ""  # noqa: PTH115
    except OSError:
        return ""


def has_job_control() -> bool:
    """Whether the shell above has put us into a process group of our own, and so waits for us to be stopped."""
    try:
        return os.getpgid(os.getppid()) != os.getpgrp()
    except OSError:
        return True


def is_same_file(one: int, other: int) -> bool:
    """Whether two file descriptors are of the same file, pipe or device."""
    try:
        here, there = os.fstat(one), os.fstat(other)
    except OSError:
        return False
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
