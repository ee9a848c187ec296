"""A real terminal with somebody who types."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

from scripts import Process, Workplace

_AT_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
CTRL_C, CTRL_Z, CTRL_BACKSLASH = b"\x03", b"\x1a", b"\x1c"


class Terminal:
    """A command at a terminal of its own. What it prints is in `seen`."""

    def __init__(self, place: Workplace, command: list[str]) -> None:
        self._master, slave = pty.openpty()
        self.seen = b""
        self.process: Process = subprocess.Popen(
            [sys.executable, "-ISE", "-c", _AT_TERMINAL, *command],
            cwd=place.folder,
            env=place.environment(PS1="$ ", TERM="dumb", HISTFILE=""),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)

    def type(self, what: bytes) -> None:
        """Press keys."""
        os.write(self._master, what)

    def resize(self, rows: int, columns: int) -> None:
        """Make the window another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, text: bytes, seconds: float = 60.0) -> bytes:
        """What has been printed up to and including a text that comes after what was read before."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen!r}"
            if select.select([self._master], [], [], left)[0]:
                self._read()
        head, _, self.seen = self.seen.partition(text)
        return head + text

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for the command's end, and read what it still prints. Returns its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running: {self.seen!r}"
            if select.select([self._master], [], [], 0.01)[0]:
                self._read()
        while select.select([self._master], [], [], 0)[0] and self._read():
            pass
        returncode: int = self.process.returncode
        return returncode

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # nobody has it open any more
            return False
        self.seen += data
        return bool(data)

    def close(self) -> None:
        """Hang up."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
