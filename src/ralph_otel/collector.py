"""`MetricsCollector`, the one object a runner deals with.

A collector joins the parts: handles (`probe`) write into journals, a `Recorder` follows them on a thread of its own.
Everything here comes back at once or within the time it is given, and nothing raises into the host.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ralph_otel import probe, process_end, redaction
from ralph_otel.config import MetricsConfig, MetricsExportFormat, usable
from ralph_otel.events import Event, Line
from ralph_otel.journal import Journal, new_run_id, runs_folder, usable_run_id
from ralph_otel.model import LoopMetrics, Metric
from ralph_otel.notices import notice
from ralph_otel.operations import Operations
from ralph_otel.probe import Loop
from ralph_otel.recorder.recorder import Recorder
from ralph_otel.state import RunState
from ralph_otel.subscription import Broadcaster, Subscription
from ralph_otel.tracecontext import TraceContext

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

    from ralph_otel.recorder.pipeline import Host

EXIT_TIMEOUT = 2.0
"""Seconds that the end of a process may be delayed at the most."""
BARRIER_TIMEOUT = 10.0
"""Seconds that a reading waits for what was emitted before it."""


class MetricsCollector(Operations):
    """Collects what happens in a process's loops.

    Nothing is set up before the first loop, operation or reading, unless `start` is called.

    Args:
        config: see `MetricsConfig`, or its fields as a mapping; by default what the environment and the configuration
            file say.
        host: the host's providers (`ralph_otel.recorder.pipeline.Host`), where everything goes to its own pipeline.
        ends_with_process: whether `shutdown` is called when the process ends.
    """

    def __init__(
        self,
        config: MetricsConfig | Mapping[str, Any] | None = None,
        host: Host | None = None,
        ends_with_process: bool = False,
    ) -> None:
        self.config = usable(config)
        redaction.use(self.config.redact)
        self._host = host
        self._ends_with_process = ends_with_process
        self.instance_id = new_run_id()
        """The resource's `service.instance.id`, and the run id of the first loop."""
        self._lock = threading.RLock()
        self._recorder: Recorder | None = None
        self._broadcaster = Broadcaster()
        self._loops: dict[str, Loop] = {}
        self._runs = 0
        self._implicit: Loop | None = None
        self._pid = os.getpid()
        self._closed = False

    # -- loops and events ------------------------------------------------------------------------------------------

    @property
    def enabled(self) -> bool:
        """Whether anything is recorded."""
        return self.config.enabled and not self._closed

    @property
    def closed(self) -> bool:
        """Whether it has been shut down."""
        return self._closed

    def loop(
        self,
        name: str,
        *,
        max_iterations: int | None = None,
        runner: str | None = None,
        runner_version: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        parent: TraceContext | None = None,
    ) -> Loop:
        """A loop, for a `with`, or to call its `start()` and `finish()`. Arguments as for `ralph_otel.probe.Loop`."""
        self._notice_fork()
        with self._lock:
            self._runs += 1
            own = self.instance_id if self._runs == 1 else f"{self.instance_id}-{self._runs}"
            run_id = own if run_id is None else usable_run_id(run_id, own)
        if not self.enabled:
            return Loop(name, _nowhere, max_iterations=max_iterations, run_id=run_id, parent=parent)
        journal = self._open_journal(run_id)
        made = Loop(
            name,
            self._sink(journal),
            max_iterations=max_iterations,
            runner=runner,
            runner_version=runner_version,
            attributes=attributes,
            run_id=run_id,
            parent=parent,
            trace_iterations=self.config.trace_iterations,
            on_stop=partial(self._let_go, journal),
        )
        self._loops[run_id] = made
        self.start()
        return made

    def emit(self, event: Event) -> None:
        """Write an event of `ralph_otel.events`: into the part whose `with` runs here, else into the latest loop."""
        if self.enabled:
            self._here().emit(event)

    def _here(self) -> probe.Span:
        """Where an operation without a handle belongs: the running part, the latest loop, or a loop made for it."""
        span = probe.current()
        if span is not None and span.loop.open and span.loop.run_id in self._loops:
            return span
        for loop in reversed(list(self._loops.values())):
            if loop.open:
                return loop
        with self._lock:
            if self._implicit is None or not self._implicit.open:
                self._implicit = self.loop(_folder_name()).start()
            return self._implicit

    def _sink(self, journal: Journal | None) -> probe.Sink:
        """Where a run's lines go: its journal; what that cannot take, the recorder's queue."""
        recorder = self._recorder_here()
        if journal is None:
            pid = os.getpid()

            def into_memory(line: Line) -> None:
                if os.getpid() == pid:
                    recorder.offer(line)
                else:  # a forked child has a copy of this memory, and nobody who reads it
                    notice("without a journal the events of a forked process are lost; set RALPH_OTEL_JOURNAL=true")

            return into_memory

        def into_journal(line: Line) -> None:
            if journal.append(line):
                recorder.wake()
            else:
                recorder.journal_errors += 1
                notice(f"cannot write {journal.path}; events are kept in memory until that works again")
                recorder.offer(line)

        return into_journal

    def _open_journal(self, run_id: str) -> Journal | None:
        if not self.config.journal:
            return None
        path = runs_folder(self.config.home) / f"{run_id}.jsonl"
        try:
            journal = Journal(path)
        except OSError as error:
            notice(
                f"no journal in {path.parent}: {error.strerror}; set RALPH_OTEL_HOME to a folder that can be written"
            )
            return None
        self._recorder_here().follow(path, journal.size)
        return journal

    def _let_go(self, journal: Journal | None, loop: Loop) -> None:
        """A loop has stopped: its file handle is given back."""
        self._loops.pop(loop.run_id, None)
        if journal is not None:
            journal.close()

    # -- reading ---------------------------------------------------------------------------------------------------

    def get_metrics(self, run_id: str | None = None) -> LoopMetrics:
        """The aggregate of everything emitted before this call: over all loops, or of the run with that id."""
        if not self.config.enabled:
            return LoopMetrics()
        recorder, answer = self._recorder_here(), list[LoopMetrics]()

        def read() -> None:
            state = recorder.states.by_run.get(run_id, RunState()) if run_id is not None else None
            answer.append(state.metrics(time.time_ns()) if state is not None else recorder.metrics())

        if not recorder.call(read, BARRIER_TIMEOUT) or not answer:
            read()  # the thread has ended, or hangs in an exporter: what it knows is better than nothing
        return answer[0]

    def collect(self) -> list[Metric]:
        """Every series of everything emitted before this call."""
        from ralph_otel.exporters.series import series

        metrics, data = self._read()
        return series(data, metrics) if data is not None else []

    def export(self, format: MetricsExportFormat | str | None = None) -> str:  # noqa: A002 — the seed's name
        """The figures as text: prometheus, json, statsd, console or otlp (as JSON); by default the configured format.

        Raises:
            ValueError: an unknown format.
        """
        from ralph_otel.exporters.formats import text

        chosen = MetricsExportFormat(format) if format is not None else self.config.export_format[0]
        return text(chosen, *self._read())

    def _read(self) -> tuple[LoopMetrics, MetricsData | None]:
        """The aggregate, and the figures of all instruments, of everything emitted before."""
        self.start()
        metrics = self.get_metrics()
        pipeline = self._recorder.pipeline if self._recorder is not None else None
        return metrics, pipeline.snapshot() if pipeline is not None else None

    def subscribe(self) -> Subscription:
        """Snapshots as they are broadcast from now on; see `Subscription`."""
        return self._broadcaster.subscribe()

    def broadcast(self) -> None:
        """Give every subscriber a snapshot now. One is given in every collection interval, too."""
        self._broadcaster.publish(self.get_metrics())

    def reset(self) -> None:
        """Count from nothing. Journals, spans and what is going on stay as they are."""
        if self._recorder is not None:
            recorder = self._recorder_here()
            recorder.call(recorder.reset, BARRIER_TIMEOUT)

    @property
    def prometheus_address(self) -> tuple[str, int] | None:
        """Host and port of the Prometheus endpoint; None while there is none."""
        recorder = self._recorder
        return recorder.pipeline.prometheus_address if recorder is not None and recorder.pipeline is not None else None

    @property
    def prometheus_url(self) -> str | None:
        """Where Prometheus can scrape the metrics; None while there is no endpoint."""
        recorder = self._recorder
        return recorder.pipeline.prometheus_url if recorder is not None and recorder.pipeline is not None else None

    def wait_ready(self, timeout: float = BARRIER_TIMEOUT) -> bool:
        """Wait until the exporters are set up: whether they are within `timeout` seconds."""
        self.start()
        return self._recorder is None or self._recorder.wait_ready(timeout)

    # -- its life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Set up the exporters now, in the background."""
        if self.enabled:
            self._recorder_here().start()

    def _recorder_here(self) -> Recorder:
        """The recorder of this process: a process that was forked off records what it begins by itself."""
        self._notice_fork()
        if self._recorder is None:
            with self._lock:
                if self._recorder is None:
                    pid = os.getpid()
                    self._recorder = Recorder(
                        self.config, self.instance_id, pid, self._broadcaster.publish, host=self._host
                    )
                    if self._ends_with_process:
                        process_end.call_last(self.shutdown)
        return self._recorder

    def _notice_fork(self) -> None:
        """In a forked child: the loops that were open are the parent's to record, through their journals."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._broadcaster = Broadcaster()
        self.instance_id = new_run_id()
        self._runs = 0
        self._recorder, self._implicit = None, None
        self._loops.clear()

    def flush_events(self, timeout: float = BARRIER_TIMEOUT) -> bool:
        """Wait until everything emitted so far has been recorded: whether it was in time."""
        return self._recorder is None or self._closed or self._recorder_here().barrier(timeout)

    def flush(self, timeout: float = BARRIER_TIMEOUT) -> bool:
        """Record everything emitted so far and send what waits, in at most `timeout` seconds.

        Returns:
            Whether everything was recorded in time. Whether a receiver took it, only the receiver knows.
        """
        deadline = time.monotonic() + timeout
        done = self.flush_events(timeout)
        if self._recorder is not None and self._recorder.pipeline is not None:
            self._recorder.pipeline.flush(max(0.0, deadline - time.monotonic()))
        return done

    def shutdown(self, timeout: float = EXIT_TIMEOUT) -> bool:
        """End: loops that are open are stopped, what waits is sent, threads and ports are given back.

        Returns:
            Whether that was done within `timeout` seconds.
        """
        if self._closed:
            return True
        if self._pid != os.getpid():
            return True
        self._stop_loops()
        self._closed = True
        recorder = self._recorder
        done = recorder is None or (not self._runs and recorder.abandon()) or recorder.stop(timeout)
        self._broadcaster.close()
        return done

    def _stop_loops(self) -> None:
        """The process ends and these loops were not told to: by an error, if one is known to have ended it."""
        reason = "error" if process_end.by_error() else "completed"
        for loop in reversed(list(self._loops.values())):
            if loop.open:
                loop.stop(reason)
                loop.finish()


def _folder_name() -> str:
    """What a loop is called that nobody has given a name."""
    try:
        return Path.cwd().name or "loop"
    except OSError:  # the working directory is gone
        return "loop"


def _nowhere(line: Line) -> None:
    """The sink of a collector that records nothing."""
