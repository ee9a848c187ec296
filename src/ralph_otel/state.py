"""The fold: events in, the loop's state and its `LoopMetrics` out.

The same sequence of events gives the same numbers live, replayed and after a crash, because nothing but the events
goes in. A state's memory does not grow with the run's length: what could grow (open parts, test ids) is capped.

`RunState.apply` also completes a line: what the event leaves to be reckoned (a session's duration, the total of tests)
is written into it, so that metrics, spans and log records all see the same value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ralph_otel.events import MAX_TEXT, Line
from ralph_otel.model import LoopMetrics, ProgressMetrics, SessionMetrics, TestMetrics
from ralph_otel.rollups import Rollups

PROGRESS_THRESHOLD = 0.1
"""A score from here on is progress, where the event does not say."""
VELOCITY_WINDOW, VELOCITY_EDGE = 10, 3
FLAKY_WINDOW, FLAKY_LEAST, FLAKY_RATIO = 20, 5, 0.2
MAX_OPEN = 10_000
"""Sessions, iterations and agents that may be open at once; the oldest are forgotten beyond."""
RECENT = 64
"""Finished iterations whose progress may still be measured."""
MAX_TEST_IDS = 50_000
"""Test ids whose history is kept; further ones are not looked at for flakiness."""

_SUMS = (
    "total_iterations", "successful_iterations", "failed_iterations", "duration_sum",
    "reboots", "reboot_context_sum", "reboot_context_count",
    "sessions_created", "sessions_ended", "session_duration_sum",
    "iterations_with_progress", "files_changed", "execution_ns", "flaky_count",
)  # fmt: skip
"""What adds up over several runs."""
_LATEST = {
    "tests_at": ("total_tests", "passing_tests", "failing_tests", "skipped_tests", "failure_streak"),
    "progress_at": ("no_progress_streak", "velocity_override", "scores", "score"),
    "context_at": ("context_percent",),
}
"""What is taken from the run that spoke of it last: the field that says when, and the fields."""


class OpenIteration:
    """An iteration that has started and not finished, or the last that finished."""

    __slots__ = ("number", "progress", "span_id", "started")

    def __init__(self, number: int, started: int, span_id: str | None) -> None:
        self.number = number
        self.started = started
        self.span_id = span_id
        self.progress: bool | None = None


class RunState:
    """What is known of one run. Fields are public to be read; only `apply` and `absorb` change them."""

    def __init__(self, run_id: str = "") -> None:
        self.run_id = run_id
        self.name = ""
        self.runner = ""
        self.runner_version = ""
        self.max_iterations: int | None = None
        self.attributes: dict[str, Any] = {}
        self.pid: int | None = None
        self.host: str | None = None
        self.sampled = True
        """Whether the run's traces are recorded."""
        self.root: tuple[str, str] | None = None
        """Trace and span id of the loop's span, in the trace that is going on."""
        self.started: int | None = None
        self.last = 0
        """Time of the latest event, Unix nanoseconds."""
        self.began: int | None = None
        """When the process that runs it began with it: the last `loop.started`."""
        self.stopped: int | None = None
        self.stop_reason: str | None = None
        self.paused_at: int | None = None
        self.paused_ns = 0
        self.execution_ns = 0
        """Execution time of absorbed runs."""

        self.total_iterations = 0
        self.successful_iterations = 0
        self.failed_iterations = 0
        self.duration_sum = 0.0
        self.open_iterations: dict[int, OpenIteration] = {}
        self.last_iteration: OpenIteration | None = None
        self.last_iteration_finished: int | None = None
        self._recent: deque[OpenIteration] = deque(maxlen=RECENT)

        self.reboots = 0
        self.reboot_context_sum = 0.0
        self.reboot_context_count = 0
        self.open_reboot: int | None = None
        self.context_percent = 0.0
        self.context_at = 0

        self.sessions_created = 0
        self.sessions_ended = 0
        self.session_duration_sum = 0.0
        self.open_sessions: dict[str, int] = {}
        self.open_agents: dict[str, int] = {}

        self.tests_at = 0
        self.total_tests = 0
        self.passing_tests = 0
        self.failing_tests = 0
        self.skipped_tests = 0
        self.failure_streak = 0
        self.flaky: set[str] = set()
        self.flaky_count = 0
        self._histories: dict[str, tuple[int, int]] = {}

        self.progress_at = 0
        self.iterations_with_progress = 0
        self.no_progress_streak = 0
        self._streak_before = 0
        self._pending_progress: bool | None = None
        self.scores: deque[float] = deque(maxlen=VELOCITY_WINDOW)
        self.score: float | None = None
        self.velocity_override: float | None = None
        self.files_changed = 0

        self.rollups = Rollups()

    # -- reading ----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether the run has begun and not stopped."""
        return self.started is not None and self.stopped is None

    @property
    def pass_ratio(self) -> float:
        """Passing ÷ all tests of the last run; 0 without tests."""
        return self.passing_tests / self.total_tests if self.total_tests else 0.0

    @property
    def flaky_tests(self) -> int:
        """How many tests are flaky."""
        return self.flaky_count + len(self.flaky)

    @property
    def velocity(self) -> float:
        """Of the last 10 scores at most, the mean of the last 3 less the mean of the first 3; 0 with fewer than 3."""
        if self.velocity_override is not None:
            return self.velocity_override
        if len(self.scores) < VELOCITY_EDGE:
            return 0.0
        scores = list(self.scores)
        return (sum(scores[-VELOCITY_EDGE:]) - sum(scores[:VELOCITY_EDGE])) / VELOCITY_EDGE

    def execution_time(self, now: int | None = None) -> float:
        """Seconds from the start to the end less pauses; to `now` (default: the last event) while it runs."""
        total = self.execution_ns
        if self.started is not None:
            end = self.stopped if self.stopped is not None else max(now or 0, self.last)
            pause = max(0, end - self.paused_at) if self.paused_at is not None else 0
            total += max(0, end - self.started - self.paused_ns - pause)
        return total / 1e9

    def metrics(self, now: int | None = None) -> LoopMetrics:
        """The aggregate at a time, in Unix nanoseconds; by default that of the last event."""
        iterations, ended, said = self.total_iterations, self.sessions_ended, self.reboot_context_count
        return LoopMetrics(
            total_iterations=iterations,
            successful_iterations=self.successful_iterations,
            failed_iterations=self.failed_iterations,
            total_reboots=self.reboots,
            total_execution_time=self.execution_time(now),
            avg_iteration_duration=self.duration_sum / iterations if iterations else 0.0,
            context_usage_percent=self.context_percent,
            tests=TestMetrics(
                self.total_tests,
                self.passing_tests,
                self.failing_tests,
                self.pass_ratio,
                self.failure_streak,
                self.flaky_tests,
            ),
            progress=ProgressMetrics(
                self.iterations_with_progress,
                self.iterations_with_progress / iterations if iterations else 0.0,
                self.no_progress_streak,
                self.velocity,
                self.files_changed,
            ),
            session=SessionMetrics(
                self.sessions_created,
                len(self.open_sessions),
                self.session_duration_sum / ended if ended else 0.0,
                self.reboots,
                self.reboot_context_sum / said if said else 0.0,
            ),
            rollups=self.rollups.at(self.stopped if self.stopped is not None else max(now or 0, self.last)),
        )

    # -- folding ----------------------------------------------------------------------------------------------------

    def apply(self, line: Line) -> bool:
        """Fold one checked line in, and complete it.

        Returns:
            Whether it says anything new; a second stop of a stopped loop, say, does not, and makes no signal.
        """
        ts = line["ts"]
        if self.started is None:
            self.started = ts
        if ts > self.last:
            self.last = ts
        handler = _HANDLERS.get(line["type"])
        return handler is None or handler(self, line, ts) is not False

    def absorb(self, other: RunState) -> None:
        """Add another run's numbers to these, for the totals over several runs."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.flaky_count += len(other.flaky)
        self.open_sessions.update({f"{other.run_id}/{name}": ts for name, ts in other.open_sessions.items()})
        self.execution_ns += round(other.execution_time() * 1e9) - other.execution_ns
        self.last = max(self.last, other.last)
        for when, names in _LATEST.items():
            if getattr(other, when) > getattr(self, when):
                for name in (when, *names):
                    setattr(self, name, getattr(other, name))
        self.rollups.absorb(other.rollups)

    def fresh(self) -> RunState:
        """A state with nothing counted that knows which parts of the run are open: what is left after a reset."""
        state = RunState(self.run_id)
        for name in (
            "name", "runner", "runner_version", "max_iterations", "attributes", "pid", "host", "began", "sampled",
            "root", "last", "stopped", "stop_reason", "open_iterations", "open_sessions", "open_agents", "open_reboot",
        ):  # fmt: skip
            setattr(state, name, getattr(self, name))
        if self.started is not None:
            state.started = self.last
        if self.paused_at is not None:
            state.paused_at = self.last
        return state

    def _begin(self, parts: dict[Any, Any], key: Any, value: Any) -> None:
        """Note an open part, unless the run is over; forget the oldest where there are too many."""
        if self.stopped is not None:
            return
        if len(parts) >= MAX_OPEN:
            del parts[next(iter(parts))]
        parts[key] = value

    def _loop_started(self, line: Line, ts: int) -> bool:
        resumed = self.stopped is not None
        if self.stopped is not None:  # the same run goes on: the time between does not count
            self.paused_ns += max(0, ts - self.stopped)
            self.stopped = self.stop_reason = None
        first = not self.name or resumed
        self.name = line["name"]
        self.runner = line.get("runner") or ""
        self.runner_version = line.get("runner_version") or ""
        self.max_iterations = line.get("max_iterations")
        self.attributes = line.get("attributes") or {}
        self.pid, self.host, self.began = line.get("pid"), line.get("host"), ts
        self.sampled = line.get("trace_flags", 1) != 0
        self._trace_continued(line, ts)
        return first

    def _trace_continued(self, line: Line, ts: int) -> None:
        trace_id, span_id = line.get("trace_id"), line.get("span_id")
        self.root = (trace_id, span_id) if isinstance(trace_id, str) and isinstance(span_id, str) else None

    def _loop_paused(self, line: Line, ts: int) -> None:
        if self.paused_at is None:
            self.paused_at = ts

    def _loop_resumed(self, line: Line, ts: int) -> None:
        if self.paused_at is not None:
            self.paused_ns += max(0, ts - self.paused_at)
            self.paused_at = None

    def _loop_stopped(self, line: Line, ts: int) -> bool:
        if self.stopped is not None:
            return False
        self._loop_resumed(line, ts)
        self.stopped = max(ts, self.started or ts)
        self.stop_reason = line["reason"]
        self.open_iterations.clear()
        self.open_sessions.clear()
        self.open_agents.clear()
        self.open_reboot = None
        return True

    def _session_started(self, line: Line, ts: int) -> None:
        self.sessions_created += 1
        self.context_percent, self.context_at = 0.0, ts
        self._begin(self.open_sessions, line["session"], ts)

    def _session_ended(self, line: Line, ts: int) -> None:
        started = self.open_sessions.pop(line["session"], None)
        _complete_duration(line, started, ts)
        if line.get("duration") is not None:
            self.sessions_ended += 1
            self.session_duration_sum += line["duration"]

    def _iteration_started(self, line: Line, ts: int) -> None:
        number = line["iteration"]
        self._begin(self.open_iterations, number, OpenIteration(number, ts, line.get("span_id")))

    def _iteration_finished(self, line: Line, ts: int) -> None:
        number, success, duration = line["iteration"], line["outcome"] == "success", line["duration"]
        iteration = self.open_iterations.pop(number, None) or OpenIteration(number, ts, line.get("span_id"))
        self.total_iterations += 1
        if success:
            self.successful_iterations += 1
        else:
            self.failed_iterations += 1
        self.duration_sum += duration
        self.last_iteration_finished = self.progress_at = ts
        self.rollups.iteration(ts, success, duration)
        if iteration.progress is None and not self.open_iterations:
            iteration.progress, self._pending_progress = self._pending_progress, None
        self.last_iteration = iteration
        self._recent.append(iteration)
        self._streak_before = self.no_progress_streak
        self._settle_progress(iteration.progress)

    def _settle_progress(self, made: bool | None) -> None:
        """Count what is known of the last finished iteration's progress."""
        if made is None:
            return
        self.iterations_with_progress += made
        self.no_progress_streak = 0 if made else self._streak_before + 1

    def _progress_measured(self, line: Line, ts: int) -> None:
        score = line["score"]
        made = line.get("made_progress")
        if made is None:
            made = line["made_progress"] = score >= PROGRESS_THRESHOLD
        self.scores.append(score)
        self.score, self.velocity_override, self.progress_at = score, None, ts
        self.files_changed += line.get("files_changed") or 0
        self._note_progress(made, line.get("span_id"))

    def _note_progress(self, made: bool, span_id: str | None) -> None:
        """Find the iteration that a measurement is about, and note there whether it made progress.

        That is the open one whose span it carries, or a finished one; else the one that is open; with none open the
        last that finished, when it has no measurement yet or this is its span; else the next to finish.
        """
        open_ = self.open_iterations.values()
        iteration = next((it for it in open_ if span_id is not None and it.span_id == span_id), None)
        last = self.last_iteration
        earlier = next((it for it in reversed(self._recent) if span_id is not None and it.span_id == span_id), last)
        if iteration is None and earlier is not None and earlier is not last:
            self._settle_earlier(earlier, made)
            return
        late = last is not None and span_id is not None and last.span_id == span_id
        if iteration is None and open_ and not late:
            iteration = next(reversed(open_))
        if iteration is not None:
            iteration.progress = bool(iteration.progress) or made
        elif last is not None and (last.progress is None or late):
            if last.progress is None or (made and not last.progress):
                last.progress = made
                self._settle_progress(made)
        else:
            self._pending_progress = bool(self._pending_progress) or made

    def _settle_earlier(self, iteration: OpenIteration, made: bool) -> None:
        """Count what has become known of an iteration after which others have finished."""
        before, recent = iteration.progress, list(self._recent)
        if before is not None and (before or not made):
            return
        iteration.progress = made
        self.iterations_with_progress += made
        since = [it.progress for it in recent[recent.index(iteration) + 1 :]]
        if True in since:  # the streak began after it
            return
        if made:
            self.no_progress_streak = since.count(False)
            self._streak_before = since[:-1].count(False)
        elif before is None:
            self.no_progress_streak += 1
            self._streak_before += 1

    def _usage_measured(self, line: Line, ts: int) -> None:
        tokens = sum(
            line.get(name) or 0
            for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")
        )
        self.rollups.usage(ts, tokens, line.get("cost_usd") or 0.0)

    def _context_measured(self, line: Line, ts: int) -> None:
        self.context_percent, self.context_at = line["percent"], ts

    def _reboot_started(self, line: Line, ts: int) -> None:
        self.reboots += 1
        self.open_reboot = ts
        self.rollups.reboot(ts)
        if (percent := line.get("context_percent")) is not None:
            self.reboot_context_sum += percent
            self.reboot_context_count += 1

    def _reboot_finished(self, line: Line, ts: int) -> None:
        _complete_duration(line, self.open_reboot, ts)
        self.open_reboot = None

    def _agent_started(self, line: Line, ts: int) -> None:
        self._begin(self.open_agents, line.get("span_id") or line["agent"], ts)

    def _agent_finished(self, line: Line, ts: int) -> None:
        _complete_duration(line, self.open_agents.pop(line.get("span_id") or line["agent"], None), ts)
        if line.get("outcome") is None:
            line["outcome"] = "failure" if line.get("exit_code") else "success"

    def _tests_finished(self, line: Line, ts: int) -> None:
        passed, failed, skipped, total = line["passed"], line["failed"], line.get("skipped"), line.get("total")
        if skipped is None:
            skipped = line["skipped"] = max(0, (total or 0) - passed - failed)
        total = line["total"] = max(total or 0, passed + failed + skipped)
        self.passing_tests, self.failing_tests, self.skipped_tests, self.total_tests = passed, failed, skipped, total
        self.failure_streak, self.tests_at = (self.failure_streak + 1 if failed else 0), ts
        for test, ok in (line.get("results") or {}).items():
            self._note_test(test[:MAX_TEXT], ok)

    def _note_test(self, test: str, ok: bool) -> None:
        """Put a result into a test's history: its last 20 as bits, the newest lowest, and how many there are."""
        history = self._histories.get(test)
        if history is None:
            if len(self._histories) >= MAX_TEST_IDS:
                return
            history = (0, 0)
        bits, count = (history[0] << 1 | ok) & ((1 << FLAKY_WINDOW) - 1), min(history[1] + 1, FLAKY_WINDOW)
        self._histories[test] = (bits, count)
        changes = ((bits ^ (bits >> 1)) & ((1 << (count - 1)) - 1)).bit_count()
        if count >= FLAKY_LEAST and changes / count > FLAKY_RATIO:
            self.flaky.add(test)
        else:
            self.flaky.discard(test)

    def _counter_added(self, line: Line, ts: int) -> None:
        if (field := GENERIC_COUNTERS.get(line["name"])) is not None and not line.get("labels"):
            setattr(self, field, getattr(self, field) + int(line["value"]))

    def _gauge_set(self, line: Line, ts: int) -> None:
        found = GENERIC_GAUGES.get(line["name"])
        if found is not None and not line.get("labels"):
            field, when, read = found
            setattr(self, field, read(line["value"]))
            setattr(self, when, ts)


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

_HANDLERS: dict[str, Callable[[RunState, Line, int], bool | None]] = {
    "loop.started": RunState._loop_started,
    "loop.paused": RunState._loop_paused,
    "loop.resumed": RunState._loop_resumed,
    "loop.stopped": RunState._loop_stopped,
    "trace.continued": RunState._trace_continued,
    "session.started": RunState._session_started,
    "session.ended": RunState._session_ended,
    "iteration.started": RunState._iteration_started,
    "iteration.finished": RunState._iteration_finished,
    "agent.started": RunState._agent_started,
    "agent.finished": RunState._agent_finished,
    "usage.measured": RunState._usage_measured,
    "context.measured": RunState._context_measured,
    "reboot.started": RunState._reboot_started,
    "reboot.finished": RunState._reboot_finished,
    "tests.finished": RunState._tests_finished,
    "progress.measured": RunState._progress_measured,
    "counter.added": RunState._counter_added,
    "gauge.set": RunState._gauge_set,
}


def _complete_duration(line: Line, started: int | None, ts: int) -> None:
    if line.get("duration") is None and started is not None:
        line["duration"] = max(0, ts - started) / 1e9
