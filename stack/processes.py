"""A program that runs beside us: started, awaited, stopped; none outlives whoever started it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.errors import StackError
from stack.web import answers

_READY = 60.0
"""Seconds that a program has until it is ready; all of them need less than one on an idle machine."""
_POLL = 0.05
_SHOWN = 25
"""Lines of its log that are shown when it fails."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Process:
    """One program. Use with `with`, or call `start` and `stop`; it may be started again.

    On Linux the kernel kills it when the thread that started it ends, whatever ends that.

    Args:
        name: for messages, and for the log: `<folder>/<name>.log`, to which every start appends.
        command: program and arguments.
        folder: where it runs.
        ready: a URL that answers 200 once it is ready.
        environment: variables in addition to ours.
        patience: seconds that it has to end after SIGTERM.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        ready: str,
        environment: Mapping[str, str] | None = None,
        patience: float = 15.0,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._folder = folder
        self._ready = ready
        self._environment = environment or {}
        self._patience = patience
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready.

        Raises:
            StackError: it ended, or was not ready in time; the text has the end of its log.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # a ctrl-C at the terminal is for us: we stop it
                preexec_fn=_end_with_parent,
            )
        deadline = time.monotonic() + _READY
        while not answers(self._ready):
            if not self.running or time.monotonic() > deadline:
                how = "is not ready in time" if self.running else f"ended at once, code {self._child.returncode}"
                self.stop()
                raise StackError(f"{self.name} {how}; the end of {self.log}:\n{self.tail()}")
            time.sleep(_POLL)

    @property
    def pid(self) -> int:
        """Its process id, once it has been started."""
        assert self._child is not None, "start comes first"
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has been started and goes on."""
        return self._child is not None and self._child.poll() is None

    def stop(self) -> None:
        """Have it end: SIGTERM, and SIGKILL if that does not help. Harmless when it has ended."""
        if self._child is None or not self.running:
            return
        self._child.terminate()
        try:
            self._child.wait(self._patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as `kill -9` does."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-_SHOWN:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _end_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
