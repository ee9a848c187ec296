"""ralph-loop: "context rotation". Every iteration is a new process of an agent, which says in a file how to go on.

Its words for that are IDLE, CONTINUE, ROTATE, DONE and STUCK. ROTATE asks for a fresh context before this one "gets too
long/polluted": a reboot by `pattern_match`, since nobody has measured how full it was. ralph-loop itself says ROTATE
when an agent crashed, by its exit code or by printing nothing: a reboot by `error_recovery`.

Iteration N is what ralph-loop counts as one: the system specs that are due, and a turn of a regular spec. Whether it
made progress: files have changed, or the agent found the work DONE.

The agents are asked for plain text, so there is no usage, unless one prints its JSON format unasked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ralph_otel.runners import Report, StartLoop
from ralph_otel.runners.attachment import Attachment, Call
from ralph_otel.runners.patches import Patches
from ralph_otel.runners.processes import agents_by_subprocess
from ralph_otel.runners.watch import Watch, in_loop

NAME = "ralph-loop"
STOP_REASONS = {0: "completed", 1: "error", 2: "no_progress", 3: "max_iterations", 4: "error"}
"""By the exit code of a run: goal achieved, no specs, stuck, the limit, and no agents left."""

_patches = Patches()


def attach(start_loop: StartLoop, version: str, report: Report) -> None:
    """Have every loop of this process seen from now on."""
    seen = Attachment(NAME, version, start_loop, report, _patches)
    if not seen.look_on("loops", "ralph.core.loop", "run_loop", {"max_iter", "root"}, partial(_run, seen)):
        return
    seen.look_on("iterations", "ralph.core.loop", "run_iteration", {"iteration"}, in_loop(_iteration))
    seen.look_on("system specs", "ralph.core.loop", "run_system_iteration", {"iteration"}, in_loop(_system_iteration))
    seen.look_on("tests", "ralph.core.loop", "run_test_command", set(), in_loop(_tests))
    seen.look_on("how agents end", "ralph.core.agent", "_invoke_command", {"timeout_message"}, in_loop(_agent))
    agents_by_subprocess(seen, "ralph.core.agent")


def detach() -> None:
    """Undo `attach`."""
    _patches.undo()


def _run(seen: Attachment, call: Call) -> Iterator[None]:
    root: Path | None = call.arguments["root"]
    watch = Watch.begin(seen, seen.folder_name(root), call.arguments["max_iter"])
    yield
    if watch is not None:
        watch.end(STOP_REASONS.get(getattr(call.result, "exit_code", 1), "error"), call.error)


def _turn(watch: Watch, number: int) -> None:
    if watch.turn is None or watch.turn.number != number:
        watch.begin_iteration(number)


def _system_iteration(watch: Watch, call: Call) -> Iterator[None]:
    _turn(watch, call.arguments["iteration"])
    yield
    if call.error is None:
        files_changed, _ = call.result
        _progress(watch, len(files_changed), bool(files_changed))


def _iteration(watch: Watch, call: Call) -> Iterator[None]:
    _turn(watch, call.arguments["iteration"])
    yield
    if call.error is not None:
        return  # the run ends with it
    result = call.result
    status, agent, files_changed = result.status.value, result.agent_result, len(result.files_changed)
    empty = not agent.output.strip()
    failed = agent.exit_code != 0 or empty
    _progress(watch, files_changed, files_changed > 0 or status == "DONE")
    if status == "ROTATE":
        watch.reboot("error_recovery" if failed else "pattern_match")
    outcome = "timeout" if watch.timed_out else "failure" if failed else "success"
    watch.end_iteration(outcome, "empty_output" if empty and agent.exit_code == 0 else None)


def _progress(watch: Watch, files_changed: int, made: bool) -> None:
    if watch.turn is not None:
        watch.turn.progress(float(made), made, files_changed)


def _tests(watch: Watch, call: Call) -> Iterator[None]:
    began = time.monotonic()
    yield
    if call.error is None and watch.turn is not None:
        passed = call.result[0] == 0  # the command's verdict: what it prints can be anything
        watch.turn.tests(int(passed), int(not passed), duration=time.monotonic() - began)


def _agent(watch: Watch, call: Call) -> Iterator[None]:
    yield
    if call.error is None:
        result = call.result
        watch.reads_afterwards(result.output)
        timed_out = result.error is not None and result.error == call.arguments["timeout_message"]
        watch.end_agent("timeout" if timed_out else "failure" if result.exit_code else None)
