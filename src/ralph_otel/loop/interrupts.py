"""What may interrupt a running loop: signals that ask it to stop or to pause, and whatever else ends a wait.

Everything comes in by one queue and is judged in the loop's own thread. So a signal cannot strike in the middle of
anything, and one that comes between two waits is not lost.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Self

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
"""Signals that ask the loop to stop; SIGQUIT asks for haste."""
PAUSING = "SIGTSTP"
"""The signal of a terminal's ctrl-Z."""
ECHO = 0.2
"""Seconds within which a second signal is the first one again: some launchers repeat what the terminal sends."""


class Interrupts:
    """Catches the signals while it is open as a context manager; in a thread other than the main one, none.

    Signals that are ignored when it opens (`nohup`) stay ignored.

    Attributes:
        signal: the signal that asked the loop to stop, or None.
        urgent: whether it was asked twice.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.urgent = False
        self._watchers: list[Callable[[bool], None]] = []
        self._inbox: SimpleQueue[tuple[int, float] | None] = SimpleQueue()
        self._former: dict[int, Any] = {}
        self._last = 0.0
        self._paused = 0.0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in (*STOPPING, PAUSING):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._former[number] = signal.signal(number, self._caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        self._former.clear()

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self.ask(number)

    def ask(self, number: int = signal.SIGTERM) -> None:
        """Ask the loop to stop, as that signal would. From any thread, or a signal handler."""
        self._inbox.put((number, time.monotonic()))

    def wake(self) -> None:
        """End the wait that is going on. From any thread."""
        self._inbox.put(None)

    def wait(self, timeout: float) -> None:
        """Wait until something happens, for at most `timeout` seconds."""
        with suppress(Empty):
            self._judge(self._inbox.get(timeout=max(0.0, timeout)))
            while True:
                self._judge(self._inbox.get_nowait())

    @contextmanager
    def watched_by(self, watcher: Callable[[bool], None]) -> Iterator[None]:
        """Have something called with True before the process pauses, and with False when it goes on."""
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    def now(self) -> float:
        """Seconds on a clock that stands still while the process pauses."""
        return time.monotonic() - self._paused

    def _judge(self, message: tuple[int, float] | None) -> None:
        if message is None:
            return
        number, at = message
        if number == getattr(signal, PAUSING, None):
            self._pause()
            return
        if self.signal is None:
            self.signal, self.urgent = number, number == getattr(signal, "SIGQUIT", None)
        elif at - self._last > ECHO:
            self.urgent = True
        self._last = at

    def _pause(self) -> None:
        for watcher in self._watchers:
            watcher(True)
        began = time.monotonic()
        os.kill(os.getpid(), signal.SIGSTOP)  # comes back on SIGCONT: the shell's fg or bg
        self._paused += time.monotonic() - began
        for watcher in reversed(self._watchers):
            watcher(False)


class Timer:
    """The time of a loop, from now on, less pauses.

    Args:
        interrupts: whose clock it is by.
        limit: how many seconds the loop may take.
    """

    def __init__(self, interrupts: Interrupts, limit: float | None = None) -> None:
        self._interrupts = interrupts
        self._began = interrupts.now()
        self._limit = limit

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._interrupts.now() - self._began

    @property
    def is_over(self) -> bool:
        """Whether the loop's time is used up."""
        return self._limit is not None and self.elapsed >= self._limit

    def deadline(self, limit: float | None = None) -> float | None:
        """When something that starts now and may take so long must have ended, by the clock of the interrupts."""
        ends = [] if limit is None else [self._interrupts.now() + limit]
        ends += [] if self._limit is None else [self._began + self._limit]
        return min(ends, default=None)
