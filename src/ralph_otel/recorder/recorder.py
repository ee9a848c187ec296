"""The recorder: follows journals, folds what it reads, and makes the signals of it, on a thread of its own.

It reads what the probe wrote to the file, not what the probe had in memory: so a full queue, a fork, or another process
that appends to the same journal change nothing. Only events that no journal could take come by a bounded queue.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ralph_otel.config import MetricsConfig, MetricsExportFormat
from ralph_otel.events import EventsDropped, Line
from ralph_otel.guard import fault
from ralph_otel.journal import BadLine, decode, encode
from ralph_otel.model import LoopMetrics
from ralph_otel.notices import notice
from ralph_otel.recorder import setting_up
from ralph_otel.recorder.calls import Calls
from ralph_otel.recorder.following import Journals
from ralph_otel.recorder.housekeeping import Housekeeping
from ralph_otel.recorder.marks import Mark
from ralph_otel.state import RunState, States

if TYPE_CHECKING:
    from ralph_otel.recorder.pipeline import Host, Pipeline

_POLL = 0.5
"""Seconds between two looks for lines that other processes wrote."""
_LINGER = 0.05
"""Seconds that the first event of a batch waits for company: instruments are called once a batch."""
_BATCH_LINES = 128
"""Events of the queue that are worked off at a time: some milliseconds' work."""
_PAUSE = 0.0001
"""Seconds between two batches."""
_HEAD_START = 0.005
"""Seconds that whoever starts the thread goes first: its imports hold the interpreter for milliseconds at a time."""

_RETRY = 5.0
"""Seconds after which the exporters are set up again where the machine had run out of something."""
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EAGAIN)
"""What the machine may run out of: file handles, memory, room, threads."""


class Recorder:
    """Follows journals and records their events.

    Args:
        config: see `MetricsConfig`.
        instance_id: the resource's `service.instance.id`.
        runner_pid: the process whose resources, and those of the processes below it, are sampled; None: none.
        on_tick: called on the recorder's thread with the aggregate, once in every collection interval.
        export: whether exporters are started.
        host: the host's providers (`ralph_otel.recorder.pipeline.Host`), where it has a pipeline of its own.
    """

    def __init__(
        self,
        config: MetricsConfig,
        instance_id: str,
        runner_pid: int | None = None,
        on_tick: Callable[[LoopMetrics], None] | None = None,
        export: bool = True,
        host: Host | None = None,
    ) -> None:
        self.states = States()
        self.events = 0
        self.bad_lines = 0
        self.dropped_events = 0
        """Events that came when the queue was full."""
        self.journal_errors = 0
        """Events that a journal could not take."""
        self._config = config
        self._instance_id = instance_id
        self._runner_pid = runner_pid
        self._on_tick = on_tick
        self._export = export
        self._host = host
        self._journals = Journals()
        self._mark = self._make_mark(host)
        self._house = Housekeeping(config, self._mark is not None)
        self._queue: deque[Line] = deque()
        self._pipeline: Pipeline | None = None
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._awake = False
        self._ready = threading.Event()
        self._lacking = False
        self._calls = Calls(self._hasten)
        self._beginning = threading.Lock()
        """Held while it is decided whether exporters are set up or the recorder is abandoned."""
        self._stopping = self._abandoned = self._building = False
        self._next_tick = time.monotonic() + config.collection_interval

    def _make_mark(self, host: Host | None) -> Mark | None:
        """What says that we live, so that the next recorder sends what we had no time to. A watch goes on by itself."""
        config = self._config
        sends = self._export and host is None and MetricsExportFormat.OTLP in config.export_format
        own = config.journal and self._runner_pid is not None
        return Mark(config.home, self._instance_id) if sends and own else None

    # -- from any thread -----------------------------------------------------------------------------------------------

    def follow(self, path: Path, recorded: int = 0) -> None:
        """Record a journal, from its start on; it need not exist yet.

        Args:
            path: the journal.
            recorded: how many of its bytes an earlier process has recorded: they make the figures go on where they
                were, but no spans and log records once more.
        """
        self._journals.follow(path, recorded)
        if self._mark is not None:
            self._mark.note(journal=str(path.absolute()))

    def follow_runs(self, folder: Path, prefix: str) -> None:
        """Record `<prefix>.jsonl`, and `<prefix>-2.jsonl` and so on as they appear."""
        self._journals.follow_runs(folder, prefix)
        if self._mark is not None:
            self._mark.note(runs=str(folder.absolute() / prefix))

    def wake(self) -> None:
        """There is something new in a journal."""
        if not self._awake:
            self._awake = True
            self._wake.set()

    def offer(self, line: Line) -> None:
        """Record an event that no journal holds; it is counted as dropped where the queue is full."""
        if len(self._queue) >= self._config.queue_size:
            self.dropped_events += 1
            notice(f"more than {self._config.queue_size} events wait and no journal holds them; the newest are dropped")
            return
        self._queue.append(line)
        self.wake()

    def start(self) -> None:
        """Begin; a second call does nothing, unless no thread could be started in the first, which is said."""
        if self._thread is None:
            setting_up.begins(self)
            self._thread = threading.Thread(target=self._run, name="ralph-otel", daemon=True)
            try:
                self._thread.start()
            except (RuntimeError, MemoryError) as error:  # too many threads, or no memory for another
                self._thread = None
                setting_up.has_ended(self)
                notice(f"no metrics, traces or logs yet: {error}; the next loop tries again, and journals are written")

    def barrier(self, timeout: float) -> bool:
        """Wait until everything emitted before this call has been recorded.

        Returns:
            Whether that was so within `timeout` seconds.
        """
        return self.call(lambda: None, timeout)

    def call(self, command: Callable[[], None], timeout: float) -> bool:
        """Have something done on the recorder's thread, after everything emitted before; wait for it.

        Returns:
            Whether it was done within `timeout` seconds.
        """
        thread = self._thread
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            return False
        return self._calls.ask(command, timeout, thread)

    def _hasten(self) -> None:
        """There is something to do that somebody waits for."""
        self._hurry.set()
        self._wake.set()

    def stop(self, timeout: float) -> bool:
        """Record what is left, send what waits, and end, within `timeout` seconds.

        Returns:
            Whether the thread has ended.
        """
        thread = self._thread
        if thread is None:
            return True
        deadline = time.monotonic() + timeout
        self._stopping = True
        self._hasten()
        thread.join(timeout)
        if thread.is_alive():
            return False
        if self._pipeline is None:
            return True
        handed = self._pipeline.shutdown(max(0.1, deadline - time.monotonic()))
        if self._mark is not None and handed:  # else the next recorder sends what is missing
            self._mark.remove()
        return True

    def abandon(self) -> bool:
        """End without a wait, where nothing is being set up yet: whether it is so."""
        with self._beginning:
            if self._building:
                return False
            self._abandoned = True
        if self._mark is not None:
            self._mark.remove()
        return True

    def wait_ready(self, timeout: float) -> bool:
        """Wait until exporters are set up: whether they are within `timeout` seconds."""
        return self._ready.wait(timeout)

    @property
    def pipeline(self) -> Pipeline | None:
        """The OpenTelemetry side, once it is there."""
        return self._pipeline

    def health(self) -> dict[str, int]:
        """Our own counts, by their names in the catalog without `ralph_otel.`."""
        return {
            "events": self.events,
            "dropped_events": self.dropped_events,
            "bad_lines": self.bad_lines,
            "doubted_times": self.states.doubted_times,
            "journal_errors": self.journal_errors,
            "refused_series": self._pipeline.refused if self._pipeline is not None else 0,
        }

    # -- on its own thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        time.sleep(_HEAD_START)
        self._set_up()
        while self._lacking and not self._hurry.wait(_RETRY):  # what comes meanwhile waits where it is
            self._set_up()
        if self._abandoned:
            return
        while True:
            self._wake.wait(self._pause())
            if not self._stopping and not self._hurry.is_set() and self._wake.is_set():
                self._hurry.wait(_LINGER)
            asked, stopping = self._calls.asked, self._stopping
            self._wake.clear()
            self._hurry.clear()
            self._awake = False
            self._round()
            self._calls.answer(asked)
            if stopping:
                self._tick()
                self._journals.close()
                return
            if self._export and self._house.due and not self._hurry.is_set():
                self._house.look(self._pipeline)
            if time.monotonic() >= self._next_tick:
                self._tick()

    def _set_up(self) -> None:
        try:
            from ralph_otel.recorder.pipeline import Pipeline

            with self._beginning:
                self._building = not self._abandoned
            if self._building:
                self._pipeline = Pipeline(
                    self._config,
                    self._instance_id,
                    self.running,
                    self.health,
                    self._runner_pid,
                    self._export,
                    self._host,
                )
                import ralph_otel.recorder.handover
                import ralph_otel.recorder.retention  # noqa: F401 — both now; at the end of the process that might fail
            self._lacking = False
        except Exception as error:  # noqa: BLE001 — without its signals a loop still has its journal and its state
            self._lacking = isinstance(error, MemoryError) or getattr(error, "errno", None) in _OUT_OF
            if not self._costs_nothing():
                notice(f"no metrics, traces or logs: {type(error).__name__}: {error}")
        self._ready.set()
        setting_up.has_ended(self)

    def _costs_nothing(self) -> bool:
        """Whether it failed at the end of the process, and the next start sends everything, or nobody wants it."""
        wanted = self._config.export_format != (MetricsExportFormat.NONE,)
        return not threading.main_thread().is_alive() and (self._mark is not None or not wanted)

    def running(self) -> list[RunState]:
        """The states of all runs."""
        return list(self.states.by_run.values())

    def _pause(self) -> float:
        return max(0.0, min(_POLL, self._next_tick - time.monotonic()))

    def _round(self) -> None:
        """Record everything there is; between two batches the host's threads get their chance at the interpreter."""
        self._journals.find(self._active)
        for number, (lines, live) in enumerate(self._batches()):
            if number and not self._stopping:
                time.sleep(_PAUSE)
            for line in lines:
                self._record(line, live)
            try:
                if self._pipeline is not None:
                    self._pipeline.end_batch()
            except Exception as error:  # noqa: BLE001 — one batch must not cost the others
                fault("recorder", error)

    def _active(self, run_id: str) -> bool:
        state = self.states.by_run.get(run_id)
        return state is not None and state.active

    def _batches(self) -> Iterator[tuple[list[Line], bool]]:
        """What is new, some lines at a time, with whether they happen now."""
        waiting = len(self._queue)
        for batch in self._journals.batches():
            self.bad_lines += batch.skipped
            yield self._decoded(batch.lines), batch.live
        for start in range(0, waiting, _BATCH_LINES):
            lines = [encode(self._queue.popleft()) for _ in range(min(waiting - start, _BATCH_LINES))]
            yield self._decoded(lines), True

    def _decoded(self, raws: list[bytes]) -> list[Line]:
        lines = []
        for raw in raws:
            try:
                if raw and not raw.isspace():
                    lines.append(decode(raw))
            except BadLine as error:
                self.bad_lines += 1
                notice(f"a line of the journal is skipped: {error}")
        return lines

    def _record(self, line: Line, live: bool) -> None:
        self.events += 1
        if line["type"] == EventsDropped.type:
            self.dropped_events += line["count"]
        try:
            state = self.states.apply(line)
            if state is not None and self._pipeline is not None:
                self._pipeline.record(line, state, live)
        except Exception as error:  # noqa: BLE001 — one line must not cost the others
            fault(f"recorder: {line['type']}", error)

    def _tick(self) -> None:
        self._next_tick = time.monotonic() + self._config.collection_interval
        metrics = self.metrics()
        try:
            if self._pipeline is not None:
                self._pipeline.tick(metrics)
            if self._on_tick is not None:
                self._on_tick(metrics)
        except Exception as error:  # noqa: BLE001 — the next one may succeed
            fault("recorder", error)

    def metrics(self) -> LoopMetrics:
        """The aggregate over all runs, now. Belongs to the recorder's thread: use `call`."""
        return self.states.metrics(time.time_ns())

    def reset(self) -> None:
        """Count from nothing. Belongs to the recorder's thread: use `call`."""
        self.states.reset()
        self.events = self.bad_lines = self.dropped_events = self.journal_errors = 0
        if self._pipeline is not None:
            self._pipeline.reset()
