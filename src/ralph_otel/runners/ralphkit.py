"""ralphkit: a plan, then iterations of one or more steps, each a new process of Claude Code; or a pipe of such steps.

Its `RunReport` is told how steps went, how many items of the plan are done, what failed, and why a run ended. A step of
a pipe is an iteration. The agents that set up, plan and clean up belong to no iteration.

An iteration's progress is the share of the plan's items that it has got done. The lines are those of `git diff` before
and after each step, as ralphkit counts them. Its sums of context windows mean nothing, and are not read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

from ralph_otel.runners import Report, StartLoop
from ralph_otel.runners.attachment import Attachment, Call, Observer
from ralph_otel.runners.patches import Patches
from ralph_otel.runners.processes import agents_by_subprocess
from ralph_otel.runners.watch import Watch

NAME = "ralphkit"
STOP_REASONS = {
    "COMPLETE": "completed",
    "PIPE_COMPLETE": "completed",
    "PLAN_ONLY": "completed",
    "MAX_ITERATIONS": "max_iterations",
    "BLOCKED": "no_progress",
}
"""By the outcome of its report. Any other is an error."""
_ENGINE = "ralphkit.engine"
_STATE = "ralphkit.state:StateDir"
_REPORT = "ralphkit.report:RunReport"

_patches = Patches()
_runs: ContextVar[Run | None] = ContextVar("ralph_otel_ralphkit", default=None)


def attach(start_loop: StartLoop, version: str, report: Report) -> None:
    """Have every loop of this process seen from now on."""
    seen = Attachment(NAME, version, start_loop, report, _patches)
    needs = {"max_iterations", "ralph_config"}
    if not seen.look_on("loops", _ENGINE, "run_foreground", needs, partial(_run, seen)):
        return
    seen.look_on("the limit of iterations", _ENGINE, "load_config", set(), _of_run(_configured))
    seen.look_on("agents", _ENGINE, "run_claude", set(), _of_run(_claude))
    seen.look_on("pipes", _ENGINE, "_resolve_handoff", {"step_index"}, _of_run(_pipe_step))
    seen.look_on("iterations", _STATE, "write_iteration", {"n"}, _of_run(_begin))
    seen.look_on("progress", _STATE, "read_plan", set(), _of_run(_plan))
    seen.look_on("how iterations end", _REPORT, "__setattr__", {"name", "value"}, _of_run(_told))
    steps = {"phase", "status", "error_kind", "lines_added", "lines_deleted"}
    seen.look_on("steps", _REPORT, "record_step", steps, _of_run(_step))
    agents_by_subprocess(seen, "ralphkit.runner")


def detach() -> None:
    """Undo `attach`."""
    _patches.undo()


class Run:
    """A run, which begins with its first agent or iteration: before, its user may still say no.

    Args:
        seen: the adapter's attachment.
        limit: the most iterations, as the command says it.
        config: the configuration, where it is known from the start.
    """

    def __init__(self, seen: Attachment, limit: int | None, config: Any) -> None:
        self.watch: Watch | None = None
        self.config = config
        self.outcome: str | None = None
        self.lines = [0, 0]
        """Lines added and removed in the iteration that goes on."""
        self.done = 0
        """Items of the plan that are done."""
        self._before = 0
        self._seen = seen
        self._limit = limit
        self._begun = False

    def begin(self) -> Watch | None:
        """The run's watch; it begins now, unless it has begun."""
        if not self._begun:
            self._begun = True
            limit = self._limit if self._limit is not None else getattr(self.config, "max_iterations", None)
            pipe = bool(getattr(self.config, "pipe", None))
            self.watch = Watch.begin(self._seen, self._seen.folder_name(), None if pipe else limit)
        return self.watch

    def begin_iteration(self, number: int) -> None:
        """An iteration begins."""
        watch = self.begin()
        self.lines, self._before = [0, 0], self.done
        if watch is not None:
            watch.begin_iteration(number)

    def end_iteration(self, items: int = 0) -> None:
        """The iteration has done what it could, with so many items in the plan."""
        if self.watch is None or self.watch.turn is None:
            return
        added, removed = self.lines
        gained = max(0, self.done - self._before)
        if items:
            self.watch.turn.progress(min(1.0, gained / items), gained > 0, None, added, removed)
        elif added or removed:
            self.watch.turn.progress(1.0, True, None, added, removed)
        self.watch.end_iteration()


def _of_run(observer: Callable[[Run, Call], Iterator[None]]) -> Observer:
    def observe(call: Call) -> Iterator[None]:
        run = _runs.get()
        return observer(run, call) if run is not None else iter(())

    return observe


def _run(seen: Attachment, call: Call) -> Iterator[None]:
    run = Run(seen, call.arguments["max_iterations"], call.arguments["ralph_config"])
    token = _runs.set(run)
    yield
    _runs.reset(token)
    if run.watch is not None:
        run.watch.end(STOP_REASONS.get(run.outcome or "", "error"), call.error)


def _configured(run: Run, call: Call) -> Iterator[None]:
    yield
    run.config = call.result


def _claude(run: Run, call: Call) -> Iterator[None]:
    watch = run.begin()
    yield
    if watch is None:
        return
    if call.error is None:
        watch.reads_afterwards(json.dumps(call.result))
        watch.end_agent()
    elif isinstance(call.error, Exception):
        watch.reads_afterwards(getattr(call.error, "stdout_tail", None))
        watch.end_agent("timeout" if "timeout" in getattr(call.error, "kind", "") else "failure")
    else:
        watch.end_iteration("cancelled")


def _begin(run: Run, call: Call) -> Iterator[None]:
    run.begin_iteration(call.arguments["n"])
    yield


def _plan(run: Run, call: Call) -> Iterator[None]:
    yield
    if call.result:
        run.done = sum(bool(item.get("done")) for item in call.result["items"])


def _pipe_step(run: Run, call: Call) -> Iterator[None]:
    run.begin_iteration(call.arguments["step_index"])
    yield


def _step(run: Run, call: Call) -> Iterator[None]:
    yield
    step = call.arguments
    run.lines[0] += step["lines_added"]
    run.lines[1] += step["lines_deleted"]
    if step["phase"] == "pipe" and step["status"] == "success":
        run.end_iteration()


def _told(run: Run, call: Call) -> Iterator[None]:
    yield
    name, value = call.arguments["name"], call.arguments["value"]
    if name == "items_total":
        run.end_iteration(value)
    elif name == "outcome":
        run.outcome = value
    elif name == "failure_summary" and value and run.watch is not None:
        run.watch.loop.error(value["error_kind"])
        run.watch.end_iteration("timeout" if value["status"] == "timeout" else "failure", value["error_kind"])
