"""Having something done on another thread, after everything that it was given before, and waiting for that."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from ralph_otel.guard import fault

_GLANCE = 0.2
"""Seconds after which whoever waits looks whether the other thread is still there."""


class Calls:
    """Commands for a thread that asks, in every round, which there are, and answers them at the round's end.

    Args:
        hurry: wakes that thread.
    """

    def __init__(self, hurry: Callable[[], None]) -> None:
        self._hurry = hurry
        self._served = threading.Condition()
        self._commands: deque[tuple[int, Callable[[], None]]] = deque()
        self._answered = 0
        self.asked = 0
        """How many there have been. Whoever answers notes it before the round: what comes later waits for the next."""

    def ask(self, command: Callable[[], None], timeout: float, thread: threading.Thread) -> bool:
        """Have something done on `thread`; wait for it.

        Returns:
            Whether it was done within `timeout` seconds; False, too, where the thread ends before.
        """
        deadline = time.monotonic() + timeout
        with self._served:
            ticket = self.asked + 1
            self._commands.append((ticket, command))
            self.asked = ticket  # in this order: the other thread looks at both without the lock
            self._hurry()
            while self._answered < ticket and thread.is_alive():
                if not self._served.wait(min(_GLANCE, max(0.0, deadline - time.monotonic()))) and (
                    time.monotonic() >= deadline
                ):
                    return False
            return self._answered >= ticket

    def answer(self, asked: int) -> None:
        """Do the first `asked` commands, those of them that are not done yet."""
        while self._commands and self._commands[0][0] <= asked:
            try:
                self._commands.popleft()[1]()
            except Exception as error:  # noqa: BLE001 — the next one may succeed
                fault("recorder", error)
        with self._served:
            self._answered = asked
            self._served.notify_all()
