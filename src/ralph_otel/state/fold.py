"""What each event changes in a run's state, and how it completes the event's line.

What an event leaves to be reckoned (a session's duration, the total of tests) is written into its line, so that
metrics, spans and log records all see the same value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ralph_otel.events import MAX_TEXT, PROGRESS_THRESHOLD, Line
from ralph_otel.state.iterations import OpenIteration
from ralph_otel.state.progress import note_progress, settle_progress

if TYPE_CHECKING:
    from ralph_otel.state.run import RunState

JUMP = 1_000_000_000
"""Nanoseconds by which the time between two lines may differ from the duration that the second one says; from there on
the clock has been set in between, or the machine has slept, and the duration counts."""
MAX_OPEN = 10_000
"""Sessions, iterations and agents that may be open at once; the oldest are forgotten beyond."""

Handler = Callable[["RunState", Line, int], "bool | None"]
"""Takes the state, the line and its time; False: the line says nothing new."""
HANDLERS: dict[str, Handler] = {}
"""By event type. An event without one changes nothing but the time of the last event."""


def _on(event: str) -> Callable[[Handler], Handler]:
    """Make a function the handler of an event."""

    def put(handler: Handler) -> Handler:
        HANDLERS[event] = handler
        return handler

    return put


def _begin(state: RunState, parts: dict[Any, Any], key: Any, value: Any) -> None:
    """Note an open part, unless the run is over; forget the oldest where there are too many."""
    if state.stopped is not None:
        return
    if len(parts) >= MAX_OPEN:
        del parts[next(iter(parts))]
    parts[key] = value


def _opened(state: RunState, line: Line, ts: int) -> OpenIteration:
    return OpenIteration(line["iteration"], ts, line.get("span_id"), state.paused_ns)


@_on("loop.started")
def _loop_started(state: RunState, line: Line, ts: int) -> bool:
    resumed = state.stopped is not None
    if state.stopped is not None:  # the same run goes on: the time between does not count
        state.paused_ns += max(0, ts - state.stopped)
        state.stopped = state.stop_reason = None
    first = not state.name or resumed
    state.name = line["name"]
    state.runner = line.get("runner") or ""
    state.runner_version = line.get("runner_version") or ""
    state.max_iterations = line.get("max_iterations")
    state.attributes = line.get("attributes") or {}
    state.pid, state.host, state.began = line.get("pid"), line.get("host"), ts
    state.sampled = line.get("trace_flags", 1) != 0
    _trace_continued(state, line, ts)
    return first


@_on("trace.continued")
def _trace_continued(state: RunState, line: Line, ts: int) -> None:
    trace_id, span_id = line.get("trace_id"), line.get("span_id")
    state.root = (trace_id, span_id) if isinstance(trace_id, str) and isinstance(span_id, str) else None


@_on("loop.paused")
def _loop_paused(state: RunState, line: Line, ts: int) -> None:
    if state.paused_at is None:
        state.paused_at = ts


@_on("loop.resumed")
def _loop_resumed(state: RunState, line: Line, ts: int) -> None:
    if state.paused_at is not None:
        state.paused_ns += max(0, ts - state.paused_at)
        state.paused_at = None


@_on("loop.stopped")
def _loop_stopped(state: RunState, line: Line, ts: int) -> bool:
    if state.stopped is not None:
        return False
    _loop_resumed(state, line, ts)
    state.stopped = max(ts, state.started or ts)
    state.paused_ns += _jump(line, state.stopped, state.began)
    state.stop_reason = line["reason"]
    state.open_iterations.clear()
    state.open_sessions.clear()
    state.open_agents.clear()
    state.open_reboot = None
    return True


def _jump(line: Line, ts: int, began: int | None) -> int:
    """Nanoseconds by which the clock was set forwards while the loop ran (negative: backwards), if it says how long."""
    return 0 if began is None else ts - ended_at(began, line, ts)


def ended_at(began: int, line: Line, ts: int) -> int:
    """When something ended that began then, in Unix nanoseconds, by a clock that was not set meanwhile.

    Args:
        began: Unix nanoseconds.
        line: the event of its end.
        ts: the time of that.
    """
    duration = line.get("duration")
    if duration is None:
        return ts
    end = began + round(min(duration, ts / 1e9) * 1e9)
    return end if abs(ts - end) > JUMP else ts


@_on("events.dropped")
def _events_dropped(state: RunState, line: Line, ts: int) -> None:
    state.dropped_events += line["count"]


@_on("session.started")
def _session_started(state: RunState, line: Line, ts: int) -> None:
    state.sessions_created += 1
    state.context_percent, state.context_at = 0.0, ts
    _begin(state, state.open_sessions, line["session"], ts)


@_on("session.ended")
def _session_ended(state: RunState, line: Line, ts: int) -> None:
    started = state.open_sessions.pop(line["session"], None)
    _complete_duration(line, started, ts)
    if line.get("duration") is not None:
        state.sessions_ended += 1
        state.session_duration_sum += line["duration"]


@_on("iteration.started")
def _iteration_started(state: RunState, line: Line, ts: int) -> None:
    number = line["iteration"]
    _begin(state, state.open_iterations, number, _opened(state, line, ts))


@_on("iteration.finished")
def _iteration_finished(state: RunState, line: Line, ts: int) -> None:
    number, success, duration = line["iteration"], line["outcome"] == "success", line["duration"]
    iteration = state.open_iterations.pop(number, None) or _opened(state, line, ts)
    state.total_iterations += 1
    if success:
        state.successful_iterations += 1
    else:
        state.failed_iterations += 1
    state.duration_sum += duration
    state.progress_at = ts
    state.rollups.iteration(ts, success, duration)
    if state.pending_progress is not None:
        iteration.progress, state.pending_progress = bool(iteration.progress) or state.pending_progress, None
    state.last_iteration = iteration
    state.recent.append(iteration)
    state.streak_before = state.no_progress_streak
    settle_progress(state, iteration.progress)


@_on("progress.measured")
def _progress_measured(state: RunState, line: Line, ts: int) -> None:
    score = line["score"]
    made = line.get("made_progress")
    if made is None:
        made = line["made_progress"] = score >= PROGRESS_THRESHOLD
    state.scores.append(score)
    state.score, state.velocity_override, state.progress_at = score, None, ts
    state.files_changed += line.get("files_changed") or 0
    note_progress(state, made, line.get("span_id"))


@_on("usage.measured")
def _usage_measured(state: RunState, line: Line, ts: int) -> None:
    tokens = sum(
        line.get(name) or 0 for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")
    )
    state.rollups.usage(ts, tokens, line.get("cost_usd") or 0.0)


@_on("context.measured")
def _context_measured(state: RunState, line: Line, ts: int) -> None:
    state.context_percent, state.context_at = line["percent"], ts


@_on("reboot.started")
def _reboot_started(state: RunState, line: Line, ts: int) -> None:
    state.reboots += 1
    state.open_reboot = ts
    state.rollups.reboot(ts)
    if (percent := line.get("context_percent")) is not None:
        state.reboot_context_sum += percent
        state.reboot_context_count += 1


@_on("reboot.finished")
def _reboot_finished(state: RunState, line: Line, ts: int) -> None:
    _complete_duration(line, state.open_reboot, ts)
    state.open_reboot = None


@_on("agent.started")
def _agent_started(state: RunState, line: Line, ts: int) -> None:
    _begin(state, state.open_agents, line.get("span_id") or line["agent"], ts)


@_on("agent.finished")
def _agent_finished(state: RunState, line: Line, ts: int) -> None:
    _complete_duration(line, state.open_agents.pop(line.get("span_id") or line["agent"], None), ts)
    if line.get("outcome") is None:
        line["outcome"] = "failure" if line.get("exit_code") else "success"


@_on("tests.finished")
def _tests_finished(state: RunState, line: Line, ts: int) -> None:
    passed, failed, skipped, total = line["passed"], line["failed"], line.get("skipped"), line.get("total")
    if skipped is None:
        skipped = line["skipped"] = max(0, (total or 0) - passed - failed)
    total = line["total"] = max(total or 0, passed + failed + skipped)
    state.passing_tests, state.failing_tests, state.skipped_tests, state.total_tests = passed, failed, skipped, total
    state.failure_streak, state.tests_at = (state.failure_streak + 1 if failed else 0), ts
    for test, ok in (line.get("results") or {}).items():
        state.flakiness.note(test[:MAX_TEXT], ok)


@_on("counter.added")
def _counter_added(state: RunState, line: Line, ts: int) -> None:
    if (field := GENERIC_COUNTERS.get(line["name"])) is not None and not line.get("labels"):
        setattr(state, field, getattr(state, field) + int(line["value"]))


@_on("gauge.set")
def _gauge_set(state: RunState, line: Line, ts: int) -> None:
    found = GENERIC_GAUGES.get(line["name"])
    if found is not None and not line.get("labels"):
        field, when, read = found
        setattr(state, field, read(line["value"]))
        setattr(state, when, ts)


def _complete_duration(line: Line, started: int | None, ts: int) -> None:
    if line.get("duration") is None and started is not None:
        line["duration"] = max(0, ts - started) / 1e9


def _whole(value: float) -> int:
    return max(0, int(value))


def _percent(value: float) -> float:
    return max(0.0, value)


GENERIC_COUNTERS = {"files_changed": "files_changed", "iterations_with_progress": "iterations_with_progress"}
GENERIC_GAUGES: dict[str, tuple[str, str, Callable[[float], float]]] = {
    "context_usage": ("context_percent", "context_at", _percent),
    "progress_score": ("score", "progress_at", float),
    "progress_velocity": ("velocity_override", "progress_at", float),
    "no_progress_streak": ("no_progress_streak", "progress_at", _whole),
    "test_failure_streak": ("failure_streak", "tests_at", _whole),
    "flaky_tests": ("flaky_count", "tests_at", _whole),
}
"""Metrics of the catalog that generic operations may feed by name: the field, when it was said, how it is read."""
