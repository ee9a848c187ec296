"""ralphx: a `LoopExecutor` runs Claude Code on work items, for a web application or a program of one's own.

It tells handlers what happens. An iteration that finds no item to work on is none. Claude Code's `json` result comes on
its standard output; tool calls and context come from the session file that Claude Code writes and ralphx follows.

Progress: a generator has found new items, a consumer has got one done. An iteration whose agent ended with an exit code
has failed, even if ralphx, which goes by what the agent printed, takes it for a success.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ralph_otel.runners import Report, StartLoop
from ralph_otel.runners.attachment import Attachment, Call
from ralph_otel.runners.patches import Patches
from ralph_otel.runners.processes import agents_by_asyncio
from ralph_otel.runners.watch import Watch, in_loop

NAME = "ralphx"
STOP_REASONS = {
    "Max iterations": "max_iterations",
    "Requested iterations": "max_iterations",
    "Max runtime": "max_duration",
    "Max consecutive errors": "error",
}
"""By the first words of its `run_completed`. Any other means that the work is done."""
_EXECUTOR = "ralphx.core.executor:LoopExecutor"
_ADAPTER = "ralphx.adapters.claude_cli:ClaudeCLIAdapter"

_patches = Patches()


def attach(start_loop: StartLoop, version: str, report: Report) -> None:
    """Have every loop of this process seen from now on."""
    seen = Attachment(NAME, version, start_loop, report, _patches)
    if not seen.look_on("loops", _EXECUTOR, "run", {"self", "max_iterations"}, partial(_run, seen)):
        return
    seen.look_on("how agents end", _ADAPTER, "execute", set(), in_loop(_agent))
    seen.look_on("tools and context", _ADAPTER, "_parse_jsonl_event", {"data"}, in_loop(_session_record))
    agents_by_asyncio(seen, "ralphx.adapters.claude_cli", _keep)


def detach() -> None:
    """Undo `attach`."""
    _patches.undo()


def _run(seen: Attachment, call: Call) -> Iterator[None]:
    executor = call.arguments["self"]
    config = executor.config
    limit = call.arguments["max_iterations"] or config.limits.max_iterations
    watch = Watch.begin(seen, config.name, limit if limit > 0 else None)
    if watch is None:
        yield
        return
    watch.notes["consumer"] = config.type.value == "consumer"
    handler = partial(seen.quietly, "an event", _event, watch)
    executor.add_event_handler(handler)
    yield
    executor.remove_event_handler(handler)
    status = getattr(getattr(call.result, "status", None), "value", "")
    watch.signalled = watch.signalled or status not in ("completed", "error")
    watch.end("error" if status == "error" else watch.notes.get("reason", "completed"), call.error)


def _event(watch: Watch, event: Any) -> None:
    kind, data = event.event.value, event.data
    if kind == "prompt_prepared":
        watch.begin_iteration(event.iteration)
    elif kind == "iteration_completed" and "success" in data:  # it also says so of a single item
        _end_iteration(watch, event.iteration, data)
    elif kind == "run_paused":
        watch.loop.pause()
    elif kind == "run_resumed":
        watch.loop.resume()
    elif kind == "run_completed":
        message = event.message or ""
        known = (reason for words, reason in STOP_REASONS.items() if message.startswith(words))
        watch.notes["reason"] = next(known, "completed")


def _end_iteration(watch: Watch, number: int, data: dict[str, Any]) -> None:
    if watch.turn is None:  # it failed before it had a prompt
        watch.begin_iteration(number)
    made = bool(data["success"] if watch.notes["consumer"] else data["items_added"])
    if watch.turn is not None:
        watch.turn.progress(float(made), made)
    succeeded = data["success"] and not watch.exit_code
    outcome = "success" if succeeded else "timeout" if watch.timed_out else "failure"
    watch.end_iteration(outcome, None, data["duration"])


def _keep(watch: Watch, output: bytes) -> None:
    """Keep what the agent prints to its end: the session file, which ralphx reads meanwhile, is before the result."""
    watch.notes.setdefault("output", bytearray()).extend(output)


def _agent(watch: Watch, call: Call) -> Iterator[None]:
    yield
    watch.reads_afterwards(bytes(watch.notes.pop("output", b"")))
    if call.error is None:
        result = call.result
        watch.end_agent("timeout" if result.timeout else None if result.success else "failure")


def _session_record(watch: Watch, call: Call) -> Iterator[None]:
    record = call.arguments["data"]
    if not record.get("isSidechain"):
        watch.reads_record(record)
    yield
