"""Bytes on their way through the loop: from a process's output to the loop's own, as they are and as they come."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import TextIO


class Passthrough:
    """Writes to one of the process's own streams.

    Where that fails (a closed pipe, a full disk), it says so once and drops what comes after: the loop goes on.

    Args:
        stream: where to; None: nowhere.
        what: whose bytes they are, for the line.
        say: takes the line for the user.
    """

    def __init__(self, stream: TextIO | None, what: str, say: Callable[[str], None]) -> None:
        self._stream = stream
        self._what = what
        self._say = say

    def write(self, data: bytes) -> None:
        """Write all of it, however long that takes."""
        if self._stream is None:
            return
        left = memoryview(data)
        try:
            fd = self._stream.fileno()
            while left:
                try:
                    left = left[os.write(fd, left) :]
                except BlockingIOError:  # whoever shares the terminal with us made it non-blocking
                    select.select([], [fd], [])
        except OSError as error:
            self._stream = None
            self._say(f"{self._what} cannot be passed on: {error.strerror}; the loop goes on without it")
