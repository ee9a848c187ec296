"""One run of a loop: it makes the parts, and writes what happens in any of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from ralph_otel import events, tracecontext
from ralph_otel.events import MAX_TEXT, STOP_REASONS, Event, Line
from ralph_otel.journal import new_run_id
from ralph_otel.notices import notice, shown
from ralph_otel.probe.given import labels_of
from ralph_otel.probe.parts import Iteration, Reboot, Session
from ralph_otel.probe.span import Span, current
from ralph_otel.tracecontext import TraceContext

Sink = Callable[[Line], None]
"""Takes a finished line: into the journal, a queue, or both. Must not raise and must not block."""


class Loop(Span):
    """One run of a loop.

    Args:
        name: what its owner calls it; it is on every metric, so use few different names.
        sink: where the lines go.
        max_iterations: the most iterations it may run.
        runner: the runner's name, as its package is called.
        runner_version: the runner's version.
        attributes: further attributes for its span and log records: names with texts, numbers or truth values.
        run_id: the run's id; a new one by default.
        parent: the trace context to stand in; by default the host's current span, else `TRACEPARENT`.
        trace_iterations: after so many iterations the next part begins a trace of its own; 0: never.
        on_stop: called when the loop has ended.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        max_iterations: int | None = None,
        runner: str | None = None,
        runner_version: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        parent: TraceContext | None = None,
        trace_iterations: int = 0,
        on_stop: Callable[[Loop], None] | None = None,
    ) -> None:
        outer = parent or tracecontext.from_host() or tracecontext.from_environment(os.environ)
        self._has_parent = outer is not None
        self._outer = outer or _new_trace()
        self.trace_id = self._outer.trace_id
        self.flags = self._outer.flags
        self.run_id = run_id or new_run_id()
        self.name = str(name)[:MAX_TEXT] or "loop"
        self.iterations = 0
        """The number of the last iteration that started."""
        self._sink = sink
        self._on_stop = on_stop
        self._started_with = events.LoopStarted(
            self.name,
            runner,
            runner_version,
            max_iterations,
            labels_of(attributes, "loop attributes"),
            os.getpid(),
            tracecontext.host_name(),
        )
        self._trace_iterations = trace_iterations
        self._trace_begins_at = 0
        self._trace_part = 1
        self._stop_reason: str | None = None
        self._children: list[Span] = []
        super().__init__(self, None)

    # -- parts ------------------------------------------------------------------------------------------------------

    def session(self, session: str | None = None) -> Session:
        """A fresh context window; its id is drawn unless given."""
        self._continue_trace()
        return Session(self, self, session)

    def iteration(self, number: int | None = None) -> Iteration:
        """The next turn of the loop, or the one with that number; inside the session that is open."""
        self._continue_trace()
        return Iteration(self, self._around(), number)

    def reboot(self, reason: str = "manual", context_percent: float | None = None) -> Reboot:
        """The context is thrown away, now. It ends when the handle does, or when the next part begins."""
        return Reboot(self, self._around(), reason, context_percent).start()

    def pause(self) -> None:
        """The loop waits; this time does not count."""
        self.emit(events.LoopPaused())

    def resume(self) -> None:
        """The loop goes on."""
        self.emit(events.LoopResumed())

    def stop(self, reason: str = "completed") -> None:
        """The loop ends: at once, or when the parts that are still open have ended. The first reason counts.

        Args:
            reason: one of `ralph_otel.events.STOP_REASONS`.
        """
        if self._stop_reason is not None:
            return
        if reason not in STOP_REASONS:
            known = ", ".join(STOP_REASONS)
            notice(f"loop.stop: unknown reason {shown(reason)}, taken as 'completed'; known ones: {known}")
            reason = "completed"
        self._stop_reason = reason
        self.emit(events.StopConditionTriggered(reason))
        self._finish_if_asked()

    def finish(self) -> None:
        """End the loop, and every part of it that is still open."""
        for child in reversed(self._children[:]):
            child.finish()
        super().finish()

    def fail(self, error: str | BaseException) -> None:
        """Say that an error ends the loop; what cancels it (Ctrl-C, say) counts as its user's will."""
        super().fail(error)
        if self._error_type:
            self.emit(events.ErrorRaised(self._error_type))
        if self._stop_reason is None:
            self._stop_reason = "user_signal" if self._outcome == "cancelled" else "error"

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def outer_span_id(self) -> str | None:
        """The span that the loop stands in, of whoever has started it; None where there is none."""
        return self._outer.span_id if self._has_parent else None

    def _started_event(self) -> Event:
        return self._started_with

    def _finished_event(self, duration: float) -> Event:
        return events.LoopStopped(self._stop_reason or "completed", duration)

    def _around(self) -> Span:
        """The part that a new part belongs into: the current session, else the last open one, else the loop."""
        span = current()
        while span is not None:
            if span.loop is self and span.open and isinstance(span, Session) and span.trace_id == self.trace_id:
                return span
            span = span.parent
        sessions = (child for child in reversed(self._children) if isinstance(child, Session))
        return next((session for session in sessions if session.trace_id == self.trace_id), self)

    def _continue_trace(self) -> None:
        """Begin a new trace where this one has become long, and nothing but sessions is open in it."""
        long = self._trace_iterations and self.iterations - self._trace_begins_at >= self._trace_iterations
        if not long or any(isinstance(child, Iteration) for child in self._children):
            return
        self._trace_begins_at = self.iterations
        self._trace_part += 1
        event = events.TraceContinued(self._trace_part, self.trace_id, self.span_id)
        self.trace_id, self.span_id = tracecontext.new_trace_id(), tracecontext.new_span_id()
        self.emit(event)

    def _enter(self, part: Span) -> None:
        if part is self:
            return
        if not self.open:
            self.start()
        if isinstance(part, (Session, Iteration)):
            for reboot in [child for child in self._children if isinstance(child, Reboot)]:
                reboot.finish()
        self._children.append(part)

    def _leave(self, part: Span) -> None:
        if part is self:
            if self._on_stop is not None:
                self._on_stop(self)
            return
        try:
            self._children.remove(part)
        except ValueError:  # it has left before
            return
        if self._stop_reason is not None:
            self._finish_if_asked()

    def _finish_if_asked(self) -> None:
        if all(isinstance(child, Reboot) for child in self._children):
            self.finish()

    def _write(self, event: Event, trace_id: str, span_id: str, parent_span_id: str | None) -> None:
        line: Line = {
            "v": events.VERSION,
            "type": event.type,
            "ts": time.time_ns(),
            "loop": self.run_id,
            "trace_id": trace_id,
            "span_id": span_id,
        }
        if event is self._started_with:
            if self._has_parent:
                parent_span_id = self._outer.span_id
            if self.flags != tracecontext.SAMPLED:
                line["trace_flags"] = self.flags
        if parent_span_id is not None:
            line["parent_span_id"] = parent_span_id
        for name, value in vars(event).items():
            if type(value) is str and not 0 < len(value) <= MAX_TEXT:
                value = value[:MAX_TEXT] or None  # an empty text says nothing
            if value is not None:
                line[name] = value
        self._sink(line)


def _new_trace() -> TraceContext:
    """A trace that begins here. Its span id is never used: it stands for no parent."""
    trace_id = tracecontext.new_trace_id()
    flags = tracecontext.SAMPLED if tracecontext.sampled_at_root(trace_id, os.environ) else 0
    return TraceContext(trace_id, "0" * 16, flags)
