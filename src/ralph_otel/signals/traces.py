"""From events to spans, as the catalog says: `loop` → `session` → `iteration` → `invoke_agent` → `execute_tool` ….

The probe draws every span's ids and passes them to agents at once. Here the span is made when its end is known, with
those very ids, with the times of its events, and with what was measured inside it as attributes.
"""

from __future__ import annotations

import hashlib
from typing import Any

from opentelemetry.trace import Link, SpanKind
from opentelemetry.util.types import AttributeValue

from ralph_otel.catalog import ERROR_TYPE, LOOP_NAME, SPANS, Attribute, Span
from ralph_otel.catalog.attributes import INPUT_TOKENS, ITERATIONS, RUN_ID
from ralph_otel.catalog.spans import LEARNT, SUMMED
from ralph_otel.events import Line
from ralph_otel.signals.context import span_context
from ralph_otel.signals.spans import FinishedSpan, MakeSpan
from ralph_otel.state import RunState
from ralph_otel.state.fold import ended_at

MAX_OPEN = 10_000
"""Spans that may be open at once; the oldest are given up beyond."""

MAX_RUNS = 1000
"""Runs whose traces are remembered; beyond, the first ones are forgotten."""

_STARTS = {span.starts: span for span in SPANS if span.starts}
_ENDS = {span.ends: span for span in SPANS if span.starts}
_WHOLE = {span.ends: span for span in SPANS if not span.starts}
_LOOP = _STARTS["loop.started"]
_SESSION = _STARTS["session.started"]
_INPUTS = ("input_tokens", "cache_read_tokens", "cache_creation_tokens")
_FAILED = ("failure", "timeout")

_Key = tuple[str, str]


class _Open:
    """A span that has started: what began it, and what has been learnt since."""

    __slots__ = ("attributes", "error", "line", "links", "row", "sampled")

    def __init__(self, row: Span, line: Line, sampled: bool) -> None:
        self.row = row
        self.line = line
        self.sampled = sampled
        self.attributes: dict[str, AttributeValue] = {RUN_ID.name: line["loop"]}
        self.error: str | None = None
        self.links: list[Link] = []


class _Run:
    """What is known of a run's traces."""

    __slots__ = ("rebooted", "root", "sampled", "session")

    def __init__(self) -> None:
        self.sampled = True
        self.root: _Key | None = None
        """The loop's span, in the trace that is going on or was the last."""
        self.session: _Key | None = None
        """The last session's span."""
        self.rebooted = False


class TraceSignals:
    """Spans from events.

    Args:
        make: makes a span whose whole life is known; see `ralph_otel.signals.spans`.
    """

    def __init__(self, make: MakeSpan) -> None:
        self._make = make
        self._open: dict[_Key, _Open] = {}
        self._runs: dict[str, _Run] = {}

    def record(self, line: Line, state: RunState) -> None:
        """Take in a completed line, and its run's state after it."""
        key = _key_of(line)
        if key is None:
            return
        type_ = line["type"]
        run = self._runs.get(line["loop"])
        if run is None:
            if len(self._runs) >= MAX_RUNS:
                del self._runs[next(iter(self._runs))]
            run = self._runs[line["loop"]] = _Run()
        if type_ in _WHOLE:
            around = self._open.get((key[0], line.get("parent_span_id") or key[1]))
            self._learn(around, line)
            self._make_whole(_WHOLE[type_], key, line, run, around)
        elif type_ in _STARTS:
            self._start(_STARTS[type_], key, line, run, state)
        elif type_ == "trace.continued":
            self._continue(key, line, run, state)
        elif type_ == "loop.stopped":
            self._stop(line, run, state)
        elif type_ in _ENDS:
            self._end(key, line)
        else:
            self._learn(self._open.get(key), line)

    # -- beginnings -------------------------------------------------------------------------------------------------

    def _start(self, row: Span, key: _Key, line: Line, run: _Run, state: RunState) -> None:
        if row is _LOOP:
            run.sampled = state.sampled
        span = _Open(row, line, run.sampled)
        if row is _LOOP:
            _link(span, run.root, "resumed")  # this run has been going on before
            run.root = key
        elif row is _SESSION:
            if run.rebooted:
                _link(span, run.session, "reboot")
            run.session, run.rebooted = key, False
        elif line["type"] == "reboot.started":
            run.rebooted = True
        if state.name:  # the loop's own span comes at its end, after days maybe: until then, its others are found by it
            span.attributes[LOOP_NAME.name] = state.name
        _note(span, row, line)
        if len(self._open) >= MAX_OPEN:
            del self._open[next(iter(self._open))]
        self._open[key] = span

    def _continue(self, key: _Key, line: Line, run: _Run, state: RunState) -> None:
        """The loop's span ends in the trace so far, and goes on in a new one."""
        before = run.root
        root = self._open.pop(before, None) if before is not None else None
        if root is not None:
            root.attributes[ITERATIONS.name] = state.total_iterations
            self._export(root, line["ts"])
        begun = {"name": state.name, **(root.line if root is not None else {}), **line, "parent_span_id": None}
        span = _Open(_LOOP, begun, run.sampled)
        _note(span, _LOOP, begun)
        previous = (line["previous_trace_id"], line["previous_span_id"])
        _link(span, before or previous, "continued")
        self._open[key], run.root = span, key

    # -- ends -------------------------------------------------------------------------------------------------------

    def _end(self, key: _Key, line: Line) -> None:
        span = self._open.pop(key, None)
        if span is not None:
            self._learn(span, line)
            _note(span, span.row, line)
            self._export(span, ended_at(span.line["ts"], line, line["ts"]))

    def _stop(self, line: Line, run: _Run, state: RunState) -> None:
        """The loop's span ends, and with it every span of the run that is still open: as an error, if it crashed."""
        crashed = line["reason"] == "crashed"
        left = [key for key, span in self._open.items() if span.line["loop"] == line["loop"]]
        for key in reversed(left):
            span, end = self._open.pop(key), line["ts"]
            if key == run.root:
                if span.line["type"] == "loop.started":
                    end = ended_at(span.line["ts"], line, end)
                self._learn(span, line)
                _note(span, _LOOP, line)
                span.attributes[ITERATIONS.name] = state.total_iterations
            if crashed:
                span.error = "crashed"
            self._export(span, end)

    def _make_whole(self, row: Span, key: _Key, line: Line, run: _Run, around: _Open | None) -> None:
        """A span that its end alone makes: it began as long ago as its duration says, but not before what is around."""
        if not line.get("parent_span_id"):  # the line names the span it is in, not one of its own
            own = hashlib.blake2b(f"{key} {line['type']} {line['ts']}".encode(), digest_size=8).hexdigest()
            line = {**line, "span_id": own, "parent_span_id": key[1]}
        began = line["ts"] - round(min(line.get("duration") or 0, line["ts"] / 1e9) * 1e9)
        earliest = around.line["ts"] if around is not None else 0
        span = _Open(row, {**line, "ts": max(began, earliest)}, run.sampled)
        _note(span, row, line)
        if line.get("outcome") in _FAILED or line.get("failed"):
            span.error = line.get("outcome") or "tests_failed"
        self._export(span, line["ts"])

    def _export(self, span: _Open, end: int) -> None:
        line, row = span.line, span.row
        own = span_context(line["trace_id"], line["span_id"])
        if own is None or not span.sampled:
            return
        if span.error is not None:
            span.attributes[ERROR_TYPE.name] = span.error
        self._make(
            FinishedSpan(
                name=row.name.format_map(line),
                context=own,
                parent=span_context(line["trace_id"], line.get("parent_span_id") or "", remote=row is _LOOP),
                kind=SpanKind.CLIENT if row.client else SpanKind.INTERNAL,
                attributes=span.attributes,
                links=span.links,
                start=line["ts"],
                end=max(end, line["ts"]),
                failed=span.error is not None,
            )
        )

    # -- what is learnt ---------------------------------------------------------------------------------------------

    def _learn(self, span: _Open | None, line: Line) -> None:
        """Note on a span what one of the lines inside it, or its end, says."""
        if span is None:
            return
        type_ = line["type"]
        _set(span, LEARNT.get(type_, {}), line)
        if type_ == "usage.measured":
            _add(span, INPUT_TOKENS, sum(line.get(name) or 0 for name in _INPUTS))
            for name, attribute in SUMMED.items():
                _add(span, attribute, line.get(name) or 0)
        elif type_ == "error.raised":
            span.error = line["error_type"]
        elif type_ in _ENDS and (line.get("outcome") in _FAILED or line.get("reason") in ("error", "crashed")):
            code = line.get("exit_code")
            span.error = line.get("error_type") or (f"exit_code_{code}" if code else line.get("outcome") or span.error)


def _key_of(line: Line) -> _Key | None:
    trace_id, span_id = line.get("trace_id"), line.get("span_id")
    return (trace_id, span_id) if type(trace_id) is str and type(span_id) is str else None


def _link(span: _Open, to: _Key | None, why: str) -> None:
    if to is not None and (context := span_context(*to)) is not None:
        span.links.append(Link(context, {"ralph.link": why}))


def _note(span: _Open, row: Span, line: Line) -> None:
    """Take the row's attributes from the line that begins or ends the span."""
    for attribute, constant in row.constants.items():
        span.attributes[attribute.name] = constant
    for attribute, name in row.attributes.items():
        if (value := line.get(name)) is not None:
            span.attributes[attribute.name] = value
    if row is _LOOP:
        for name, value in (line.get("attributes") or {}).items():
            span.attributes[f"ralph.loop.attribute.{name}"] = value


def _set(span: _Open, learnt: dict[str, Attribute], line: Line) -> None:
    for name, attribute in learnt.items():
        if (value := line.get(name)) is not None:
            span.attributes[attribute.name] = value


def _add(span: _Open, attribute: Attribute, amount: float) -> None:
    if amount:
        before: Any = span.attributes.get(attribute.name, 0)
        span.attributes[attribute.name] = before + amount
