"""Lines on standard input: read, and passed on to standard output as they are and as they come.

ralph run --rpc … | ralph-otel watch - | whoever reads them
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from ralph_otel.agents.lines import Lines
from ralph_otel.journal import new_run_id, runs_folder
from ralph_otel.watch.memory import Memory
from ralph_otel.watch.orchestrator_rpc import OrchestratorRpc
from ralph_otel.watch.scribe import Run, Scribe
from ralph_otel.watch.source import Batch, record
from ralph_otel.watch.targets import Follow

_CHUNK = 64 * 1024


class Pipe:
    """Standard input, as a target.

    Args:
        home: the folder in whose `runs` the journals are written.
        follow: has a journal recorded.
        ended: called when there is nothing more to read, or nobody to pass it on to.
        trace_iterations: see `Scribe`.
        source, sink: file descriptors.
    """

    def __init__(
        self,
        home: Path,
        follow: Follow,
        ended: Callable[[], None],
        trace_iterations: int = 0,
        source: int = 0,
        sink: int = 1,
    ) -> None:
        self.memory = Memory(home, "-")
        self._scribe = Scribe(runs_folder(home), f"pipe {new_run_id()}", trace_iterations)
        self._follow = follow
        self._ended = ended
        self._source = source
        self._sink = sink
        self._lines = Lines()
        self._rpc = OrchestratorRpc()
        self._bad = 0
        self._written: deque[Run] = deque()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """See `Target`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name="ralph-otel-pipe", daemon=True)
            self._thread.start()
        while self._written:
            self._follow(self._written.popleft().path, 0)

    def folders(self) -> Iterable[Path]:
        """See `Target`."""
        return ()

    def settle(self, now: int) -> None:
        """See `Target`."""

    def bad(self) -> int:
        """See `Target`."""
        return self._bad + self._lines.dropped

    def missing(self) -> str | None:
        """See `Target`: lines come, or they do not."""
        return None

    def wait(self, timeout: float) -> bool:
        """Whether everything has been read within `timeout` seconds."""
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is not None and not self._thread.is_alive()

    def close(self) -> None:
        """See `Target`."""
        self._scribe.close()

    # -- on its own thread ---------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            while data := os.read(self._source, _CHUNK):
                self._pass_on(data)
                for line in self._lines.feed(data):
                    self._take(line)
        except OSError:
            pass  # nobody reads what we pass on, or there is no standard input: whoever writes to us will notice
        for line in self._lines.close():
            self._take(line)
        self._write(self._rpc.close(time.time_ns()))
        self._ended()

    def _pass_on(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._sink, left) :]
            except BlockingIOError:
                select.select([], [self._sink], [])

    def _take(self, line: bytes) -> None:
        fields = record(line)
        if fields is not None:
            self._write(self._rpc.feed(fields, time.time_ns()))
        elif line.strip():
            self._bad += 1

    def _write(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            batch = Batch(batch.run, batch.mark, batch.seen, os.getpid())  # the loop is known as long as we read
            run = self._scribe.write(batch)
            if run is not None:
                self._written.append(run)
