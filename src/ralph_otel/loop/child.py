"""A process that the loop runs, and everything below it: its input, its output, and its end.

It is the leader of a session of its own, without a terminal. So nothing in it can wait for somebody at the keyboard,
all of it can be ended at once, and the terminal's ctrl-C reaches it exactly once: through the loop, which passes it on.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import psutil

from ralph_otel.loop.interrupts import Interrupts
from ralph_otel.notices import notice

CHUNK = 1 << 16
LINGER = 0.5
"""Seconds after a process's end in which its output may still end, where another process has it open too."""
PIPE_MOST = 1 << 20
"""The most that a pipe holds (see pipe(7)): so much may have been written before the end and not been read yet."""
LOOK = 0.2
"""Seconds between two looks at whether the process has ended."""
SURVIVORS = 1.0
"""Seconds that the processes below get when the one above them has ended at a signal."""


class Child:
    """A process in a session of its own.

    Args:
        command: words, or a text for the shell.
        environment: its environment.
        output: called with each piece of its standard output, on another thread.
        wake: called when it has ended, and when its output has; on another thread.
        stdin: what it can read from its standard input; None: nothing.
        merge: whether its standard error goes with its standard output, rather than where the loop's goes.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str] | str,
        environment: Mapping[str, str],
        output: Callable[[bytes], None],
        wake: Callable[[], None],
        stdin: bytes | None = None,
        merge: bool = False,
    ) -> None:
        self.exit_code: int | None = None
        """None while it runs; negative: the signal that ended it."""
        self.drained = False
        """Whether all of its output has been passed on."""
        self._ended = 0.0
        self._output = output
        self._wake = wake
        self._process = subprocess.Popen(
            command,
            shell=isinstance(command, str),
            env=environment,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else None,
            start_new_session=True,
            bufsize=0,
        )
        with self.ended_if_abandoned():
            self._thread(self._read)
            if stdin is not None:
                self._thread(self._write, stdin)
            self._thread(self._wait)

    @contextmanager
    def ended_if_abandoned(self) -> Iterator[None]:
        """Around everything that is done with it: an exception leaves no process behind."""
        try:
            yield
        except BaseException:
            self.signal(signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(SURVIVORS)
            raise

    @property
    def pid(self) -> int:
        """Its process id, and its process group's."""
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send a signal to it and to all processes that it has not put elsewhere."""
        with suppress(ProcessLookupError, PermissionError):  # the latter is what macOS says of a group of zombies
            os.killpg(self.pid, number)

    def below(self) -> list[psutil.Process]:
        """All processes below it, those with sessions of their own too."""
        with suppress(psutil.Error):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    def ended_for(self, seconds: float) -> bool:
        """Whether so much time has passed since it ended."""
        return self.exit_code is not None and time.monotonic() - self._ended >= seconds

    # -- on threads of their own -----------------------------------------------------------------------------------

    def _thread(self, target: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()

    def _wait(self) -> None:
        exit_code = self._process.wait()
        self._ended = time.monotonic()
        self.exit_code = exit_code
        self._wake()

    def _write(self, data: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        left = memoryview(data)
        try:
            os.set_blocking(pipe.fileno(), False)
            writable = select.poll()
            writable.register(pipe.fileno(), select.POLLOUT)
            while left and self.exit_code is None:
                if writable.poll(LOOK * 1000):
                    left = left[pipe.write(left) or 0 :]
        except OSError:  # EPIPE: it does not want to read on
            pass
        with suppress(OSError):
            pipe.close()

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        readable = select.poll()
        readable.register(pipe.fileno(), select.POLLIN)
        rest = PIPE_MOST
        while True:
            late = self.ended_for(LINGER)
            if readable.poll(0 if late else LOOK * 1000):
                data = pipe.read(CHUNK)
                if not data:
                    break
                self._pass_on(data)
                rest -= len(data) if late else 0
            elif late:
                break
            if rest <= 0:
                break
        pipe.close()
        self.drained = True
        self._wake()

    def _pass_on(self, data: bytes) -> None:
        try:
            self._output(data)
        except Exception as error:  # noqa: BLE001 — the process must not wait for ever for us to read on
            notice(f"the output of a command is lost: {type(error).__name__}; please report this")
            self._output = lambda data: None


def supervise(
    child: Child,
    interrupts: Interrupts,
    grace: float,
    deadline: float | None = None,
    tick: Callable[[], None] = lambda: None,
) -> str:
    """Wait until a process has ended and its output has been passed on.

    A signal that asks the loop to stop is passed on to the process; at the deadline it gets SIGTERM. What is left of
    it `grace` seconds later, or when the loop is asked again, is killed.

    Args:
        deadline: when it must have ended, by the clock of `interrupts`.
        tick: called now and then meanwhile.

    Returns:
        How it came: `exit`, `timeout` or `cancelled`.
    """

    def pause(begins: bool) -> None:
        child.signal(signal.SIGSTOP if begins else signal.SIGCONT)

    with child.ended_if_abandoned(), interrupts.watched_by(pause):
        ending = _await_exit(child, interrupts, deadline, tick)
        if ending != "exit":
            _end(child, interrupts, grace, signal.SIGTERM if ending == "timeout" else _passed_on(interrupts.signal))
        while not (child.drained or interrupts.urgent or _is_stuck(child, interrupts)):
            interrupts.wait(LOOK)
    if ending == "exit" and child.exit_code and interrupts.signal is not None:
        return "cancelled"
    return ending


def _passed_on(number: int | None) -> int:
    """What a process gets when the loop gets that signal. A hang-up is the loop's terminal's, not the process's."""
    return signal.SIGINT if number == signal.SIGINT else signal.SIGTERM


def _await_exit(child: Child, interrupts: Interrupts, deadline: float | None, tick: Callable[[], None]) -> str:
    while child.exit_code is None:
        if interrupts.signal is not None:
            return "cancelled"
        left = LOOK if deadline is None else deadline - interrupts.now()
        if left <= 0:
            return "timeout"
        interrupts.wait(min(LOOK, left))
        tick()
    return "exit"


def _is_stuck(child: Child, interrupts: Interrupts) -> bool:
    """Whether its output need not be waited for: it cannot be killed, or nobody takes what we pass on."""
    return child.exit_code is None or (interrupts.signal is not None and child.ended_for(2 * LINGER))


def _end(child: Child, interrupts: Interrupts, grace: float, number: int) -> None:
    """Ask a process and all below it to end, and see to it that they do."""
    below = child.below()
    end = time.monotonic() + grace
    if not interrupts.urgent:
        child.signal(number)
    while not interrupts.urgent and time.monotonic() < end and not child.ended_for(SURVIVORS):
        if child.exit_code is not None and not any(map(_is_alive, below)):
            break
        interrupts.wait(0.05)
    for process in {*below, *child.below()}:
        with suppress(psutil.Error):
            process.kill()
    child.signal(signal.SIGKILL)
    end = time.monotonic() + SURVIVORS  # a process that hangs in the kernel must not hold up the loop for ever
    while child.exit_code is None and time.monotonic() < end:
        interrupts.wait(0.05)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
