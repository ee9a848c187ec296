"""What all handles have in common: a place in the trace, a start and an end, and the measurements."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from ralph_otel import events, redaction, tracecontext
from ralph_otel.events import MAX_TEXT, Event
from ralph_otel.probe.given import judge, went_well
from ralph_otel.tracecontext import TraceContext

if TYPE_CHECKING:
    from ralph_otel.probe.loop import Loop

_current: ContextVar[Span | None] = ContextVar("ralph_otel_span", default=None)
_Self = TypeVar("_Self", bound="Span")


def current() -> Span | None:
    """The handle whose `with` block is running here, in this thread or task."""
    return _current.get()


class Span:
    """What all handles have in common: a place in the trace, a start, an end, and the measurements.

    Attributes:
        loop: the loop it belongs to.
        parent: the handle around it; None for a loop.
        span_id: 16 hexadecimal digits, drawn when the handle is made.
        open: whether it has started and not ended.
    """

    def __init__(self, loop: Loop, parent: Span | None) -> None:
        self.loop = loop
        self.parent = parent
        self.trace_id: str = loop.trace_id
        self.span_id = tracecontext.new_span_id()
        self.open = False
        self._started = 0.0
        self._entered: list[tuple[Token[Span | None], Callable[[], None] | None]] = []
        self._outcome = "success"
        self._error_type: str | None = None

    # -- its life ---------------------------------------------------------------------------------------------------

    def start(self: _Self) -> _Self:
        """Begin now. Returns the handle itself."""
        if not self.open:
            self.open = True
            self._started = time.monotonic()
            self.loop._enter(self)
            self.emit(self._started_event(), self.parent.span_id if self.parent else None)
        return self

    def finish(self) -> None:
        """End now. A second call does nothing."""
        if self.open:
            self.open = False
            event = self._finished_event(time.monotonic() - self._started)
            self.loop._write(event, self.trace_id, self.span_id, None)
            self.loop._leave(self)

    def __enter__(self: _Self) -> _Self:
        self.start()
        self._entered.append((_current.set(self), tracecontext.attach(self.context)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not went_well(error):
            self.fail(error)
        self.finish()
        if self._entered:
            token, detach = self._entered.pop()
            if detach is not None:
                detach()
            try:
                _current.reset(token)
            except ValueError:  # left in another task or thread than it was entered in
                _current.set(self.parent)

    def _started_event(self) -> Event:
        raise NotImplementedError

    def _finished_event(self, duration: float) -> Event:
        raise NotImplementedError

    # -- what happens in it -----------------------------------------------------------------------------------------

    def emit(self, event: Event, parent_span_id: str | None = None) -> None:
        """Write any event of `ralph_otel.events`, in this span."""
        self.loop._write(event, self.trace_id, self.span_id, parent_span_id)

    def _emit_inside(self, event: Event) -> None:
        """Write an event that is a span of its own, inside this one."""
        self.loop._write(event, self.trace_id, tracecontext.new_span_id(), self.span_id)

    def fail(self, error: str | BaseException) -> None:
        """Say that it goes wrong; it ends as a failure then.

        Args:
            error: an exception, or a word: an outcome (`timeout`, `cancelled`), or the class of the error.
        """
        self._outcome, self._error_type = judge(error)

    def usage(
        self,
        model: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read_tokens: int | None = None,
        cache_creation_tokens: int | None = None,
        cost_usd: float | None = None,
        cost_source: str | None = None,
    ) -> None:
        """Tokens and US dollars spent since the last call; `cost_source` is `reported` or `estimated`."""
        self.emit(
            events.UsageMeasured(
                model, input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, cost_usd, cost_source
            )
        )

    def context_usage(self, percent: float, tokens: int | None = None, window: int | None = None) -> None:
        """How full the context window is, in percent, and its tokens where known."""
        self.emit(events.ContextMeasured(percent, tokens, window))

    def tests(
        self,
        passed: int,
        failed: int,
        skipped: int | None = None,
        total: int | None = None,
        duration: float | None = None,
        results: Mapping[str, bool] | None = None,
    ) -> None:
        """A run of the tests: counts, seconds, and each test's id with whether it passed."""
        if isinstance(results, Mapping):
            results = {str(name)[:MAX_TEXT]: bool(passed) for name, passed in results.items()}
        self._emit_inside(events.TestsFinished(passed, failed, skipped, total, duration, results))

    def progress(
        self,
        score: float,
        made_progress: bool | None = None,
        files_changed: int | None = None,
        lines_added: int | None = None,
        lines_removed: int | None = None,
        commits: int | None = None,
    ) -> None:
        """What changed, and a score from 0 to 1; `made_progress` is score ≥ 0.1 unless said otherwise."""
        self.emit(events.ProgressMeasured(score, made_progress, files_changed, lines_added, lines_removed, commits))

    def tool(self, name: str, outcome: str = "success", duration: float | None = None) -> None:
        """The agent has used a tool: its name, how it ended, seconds."""
        self._emit_inside(events.ToolCalled(name, outcome, duration))

    def error(self, error: str | BaseException) -> None:
        """Something went wrong that does not end anything: an exception, or the class of the error as a word."""
        self.emit(events.ErrorRaised(judge(error)[1]))

    # -- its place --------------------------------------------------------------------------------------------------

    @property
    def context(self) -> TraceContext:
        """The trace context in which everything inside it belongs."""
        outer = self.loop._outer
        return TraceContext(self.trace_id, self.span_id, self.loop.flags, outer.state, outer.baggage)

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment for a process started in it: `base` (`os.environ` by default) plus TRACEPARENT.

        Where something is to be in no signal, its hooks learn of it, too.
        """
        return {**(os.environ if base is None else base), **redaction.environment(), **self.context.environment()}
