"""The state that the first iteration begins with, recorded while `ralph-otel run` still gets ready.

Nobody waits for it. Git works beside our own imports, so that in all but large work trees it is done when the command
starts. This module is imported before anything else of a launch, and so imports little itself.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ralph_otel.shims.command import PASSED_ON

if TYPE_CHECKING:
    from ralph_otel.progress.worktree import Snapshot

RUNNERS_FOLDERS = (".ralph", ".agent", ".ralph-tui", ".ralphkit", ".ralphx", ".ralph-runner")
"""Folders at the top of a work tree in which runners keep their state."""


class Baseline:
    """A snapshot of the work tree that a folder is in, taken on a thread of its own from now on."""

    def __init__(self) -> None:
        self.root: Path | None = None
        """The work tree's top folder; None outside of git, or where it is not known yet."""
        self.since = 0
        """When the snapshot was begun, in Unix nanoseconds; 0 before."""
        self.until = 0
        """When it was whole, likewise."""
        self._snapshot: Snapshot | None = None
        self._unwanted = False
        self._over = threading.Event()
        # A signal that this thread got would not wake the main one, which waits for the command and passes it on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        try:
            threading.Thread(target=self._run, name="ralph-otel-baseline", daemon=True).start()
        except (RuntimeError, MemoryError):  # too many threads
            self._over.set()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def snapshot(self, timeout: float) -> Snapshot | None:
        """The snapshot, given away; None if there is none, or not within `timeout` seconds."""
        self._over.wait(timeout)
        taken, self._snapshot = self._snapshot, None
        return taken

    def drop(self, timeout: float) -> None:
        """It is not needed: its temporary folder goes, if it is made within `timeout` seconds."""
        self._unwanted = True
        self._over.wait(timeout)
        self._snapshot = None

    def _run(self) -> None:
        try:
            self._take()
        finally:
            self._over.set()

    def _take(self) -> None:
        from ralph_otel.progress.worktree import WorkTree

        try:
            found = WorkTree.find(Path.cwd())
        except OSError:  # the folder is gone
            return
        if found is None or self._unwanted:
            return
        home = os.environ.get("RALPH_OTEL_HOME")
        exclude = [found.root / name for name in RUNNERS_FOLDERS] + ([Path(home)] if home else [])
        self.root, self.since = found.root, time.time_ns()
        taken = WorkTree(found.root, exclude=exclude).snapshot()
        self.until = time.time_ns()
        self._snapshot = None if self._unwanted else taken
