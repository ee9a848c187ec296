"""ralph-py: every iteration is a new process of an agent, until it prints RALPH_COMPLETE on a line of its own.

`ralph run` is a loop; `ralph once`, which cron calls, is a run of one iteration. A call that finds the loop ended or an
iteration going on does nothing, and is none. What `ralph run --daemon` starts outlives the command, and is not seen.

A loop that was given no name is called by the first words of its prompt. These are not recorded: it is called as its
working directory then. The agents print plain text, so there is no usage, unless one prints its JSON format unasked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ralph_otel.runners import Report, StartLoop
from ralph_otel.runners.attachment import Attachment, Call
from ralph_otel.runners.patches import Patches
from ralph_otel.runners.processes import agents_by_subprocess
from ralph_otel.runners.watch import Watch, current, in_loop

NAME = "ralph-py"
_CORE = "ralph.core"
_patches = Patches()


def attach(start_loop: StartLoop, version: str, report: Report) -> None:
    """Have every loop of this process seen from now on."""
    seen = Attachment(NAME, version, start_loop, report, _patches)
    if not seen.look_on("iterations", _CORE, "execute_one_iteration", {"loop_id"}, partial(_iteration, seen)):
        return
    seen.look_on("loops", _CORE, "run_foreground_loop", {"loop_id"}, partial(_run, seen))
    seen.look_on("when iterations begin", _CORE, "build_prompt", {"state"}, in_loop(_begin))
    agents_by_subprocess(seen, _CORE, "Popen")  # by `run`, it calls crontab


def detach() -> None:
    """Undo `attach`."""
    _patches.undo()


def _run(seen: Attachment, call: Call) -> Iterator[None]:
    core: Any = sys.modules[_CORE]
    watch = _begin_run(seen, core.read_state(call.arguments["loop_id"]))
    yield
    if watch is not None:
        watch.end(_reason(call.result), call.error)


def _iteration(seen: Attachment, call: Call) -> Iterator[None]:
    core: Any = sys.modules[_CORE]
    outer = watch = current()
    if watch is None:
        state = core.read_state(call.arguments["loop_id"])
        watch = _begin_run(seen, state) if state.status == "running" else None
    yield
    if watch is None:
        return
    result = call.result
    watch.signalled = watch.signalled or bool(getattr(core, "_shutdown_requested", False))
    if watch.turn is not None and result is not None:
        watch.reads_afterwards(result.output)
        watch.end_iteration("failure" if result.exit_code else "success")
    if outer is None:
        watch.end(_reason(getattr(result, "state", None)), call.error)


def _begin(watch: Watch, call: Call) -> Iterator[None]:
    watch.begin_iteration(call.arguments["state"].iteration + 1)
    yield


def _begin_run(seen: Attachment, state: Any) -> Watch | None:
    core: Any = sys.modules[_CORE]
    task = (core.loop_dir(state.id) / "prompt.md").read_text()
    unnamed = state.name == " ".join(task.split()[:6])
    name = seen.folder_name(Path(state.workdir)) if unnamed else state.name
    return Watch.begin(seen, name, state.max_iterations)


def _reason(state: Any) -> str:
    """Why a run has ended, by the state it left behind. A single iteration may leave the loop `running`."""
    status = getattr(state, "status", "failed")
    if status == "stopped":
        return "max_iterations" if state.iteration >= state.max_iterations else "user_signal"
    return "error" if status == "failed" else "completed"
