"""ralph-orchestrator (the Python one, up to 1.2.3): an iteration asks an agent, and others where that one fails.

An iteration here lasts as long as the agents work; ralph-orchestrator's own durations include what it waits after a
failure. Its token counts are guesses from the length of the output, and left out; the cost that it reckons from them is
recorded as `estimated`, unless the agent has reported its own. Claude does: it runs through the claude-agent-sdk, whose
messages are what Claude Code prints. An ACP agent keeps its conversation over all iterations: one session.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

from ralph_otel.runners import Report, StartLoop
from ralph_otel.runners.attachment import Attachment, Call, leave_no_frame
from ralph_otel.runners.patches import Patches
from ralph_otel.runners.processes import agents_by_asyncio, agents_by_subprocess
from ralph_otel.runners.watch import Watch, current, in_loop

NAME = "ralph-orchestrator"
STOP_REASONS = {
    "Reached maximum iterations": "max_iterations",
    "Reached maximum runtime": "max_duration",
    "Reached maximum cost": "max_cost",
    "Iterations taking too long": "max_duration",
    "Too many consecutive failures": "error",
}
"""By the first words of what its safety guard says."""
_ORCHESTRATOR = "ralph_orchestrator.orchestrator:RalphOrchestrator"
_GUARD = "ralph_orchestrator.safety:SafetyGuard"
_ADAPTERS = "ralph_orchestrator.adapters"
_AGENTS = ("base:ToolAdapter", "claude:ClaudeAdapter", "kiro:KiroAdapter", "qchat:QChatAdapter", "acp:ACPAdapter")
_TIMED_OUT = re.compile(r"[\w ]+ timed out( after \d+ seconds)?")

_patches = Patches()


def attach(start_loop: StartLoop, version: str, report: Report) -> None:
    """Have every loop of this process seen from now on."""
    seen = Attachment(NAME, version, start_loop, report, _patches)
    if not seen.look_on("loops", _ORCHESTRATOR, "arun", {"self"}, partial(_run, seen)):
        return
    seen.look_on("iterations", _ORCHESTRATOR, "_aexecute_iteration", {"self"}, in_loop(_iteration))
    for agent in _AGENTS:
        seen.look_on("agents", f"{_ADAPTERS}.{agent}", "aexecute", {"self"}, in_loop(_agent))
    seen.look_on("why it stops", _GUARD, "check", set(), in_loop(_check))
    seen.look_on("why it stops", _GUARD, "detect_loop", set(), in_loop(_detect_loop))
    seen.look_on("estimated cost", "ralph_orchestrator.metrics:CostTracker", "add_usage", set(), in_loop(_estimate))
    agents_by_subprocess(seen, f"{_ADAPTERS}.gemini")
    agents_by_asyncio(seen, f"{_ADAPTERS}.kiro")
    agents_by_asyncio(seen, f"{_ADAPTERS}.qchat")
    agents_by_asyncio(seen, f"{_ADAPTERS}.acp_client")
    claude = sys.modules.get(f"{_ADAPTERS}.claude")
    query = getattr(claude, "query", None)
    if claude is not None and query is not None:  # else the SDK is not installed
        _patches.replace(claude, "query", _heard(seen, query))


def detach() -> None:
    """Undo `attach`."""
    _patches.undo()


def _run(seen: Attachment, call: Call) -> Iterator[None]:
    orchestrator = call.arguments["self"]
    watch = Watch.begin(seen, seen.folder_name(), orchestrator.max_iterations)
    yield
    if watch is not None:
        watch.signalled = watch.signalled or bool(orchestrator.stop_requested)
        watch.end(watch.notes.get("reason", "completed"), call.error)


def _iteration(watch: Watch, call: Call) -> Iterator[None]:
    orchestrator = call.arguments["self"]
    watch.fresh = getattr(orchestrator.current_adapter, "name", None) != "acp"
    watch.begin_iteration()  # by our count: its own begins anew after a reset
    yield
    watch.signalled = watch.signalled or bool(orchestrator.stop_requested)
    failed = "timeout" if watch.timed_out else "failure"
    watch.end_iteration("success" if call.result else failed, call.error)


def _agent(watch: Watch, call: Call) -> Iterator[None]:
    adapter = call.arguments["self"]
    watch.begin_agent(getattr(adapter, "agent_command", None) or adapter.name)
    yield
    if call.error is None:
        response = call.result
        timed_out = _TIMED_OUT.fullmatch(response.error or "")
        watch.end_agent(None if response.success else "timeout" if timed_out else "failure")


def _check(watch: Watch, call: Call) -> Iterator[None]:
    yield
    if call.error is None and not call.result.passed:
        words = call.result.reason or ""
        known = (reason for start, reason in STOP_REASONS.items() if words.startswith(start))
        watch.notes["reason"] = next(known, "error")


def _detect_loop(watch: Watch, call: Call) -> Iterator[None]:
    yield
    if call.result:
        watch.notes["reason"] = "no_progress"


def _estimate(watch: Watch, call: Call) -> Iterator[None]:
    yield
    if call.error is None:
        watch.estimated(call.result)


# -- Claude ------------------------------------------------------------------------------------------------------------


def _heard(seen: Attachment, query: Callable[..., Any]) -> Callable[..., Any]:
    """The SDK's `query`, whose options give the agent its variables, and whose messages are heard."""

    @functools.wraps(query)
    async def heard(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        watch = current()
        if watch is not None:
            kwargs = seen.quietly("an agent's trace", _with_variables, watch, kwargs) or kwargs
        messages = query(*args, **kwargs)
        try:
            async for message in messages:
                if watch is not None:
                    seen.quietly("what an agent says", _hear, watch, message)
                yield message
        except BaseException as error:
            leave_no_frame(error)
            raise
        finally:
            await messages.aclose()

    return heard


def _with_variables(watch: Watch, kwargs: dict[str, Any]) -> dict[str, Any]:
    options = kwargs["options"]
    environment = {**watch.agent_variables(["claude"]), **options.env}
    return {**kwargs, "options": dataclasses.replace(options, env=environment)}


def _hear(watch: Watch, message: Any) -> None:
    record = record_of(message)
    if record is not None:
        watch.reads_record(record)


def record_of(message: Any) -> dict[str, Any] | None:
    """A message of the claude-agent-sdk as the record of stream-json that it was, less its texts; None for others."""
    kind = type(message).__name__
    if kind == "SystemMessage":
        known = {name: message.data.get(name) for name in ("session_id", "model")}
        return {"type": "system", "subtype": message.subtype, **known}
    if kind == "AssistantMessage":
        tools = [block for block in message.content if type(block).__name__ == "ToolUseBlock"]
        return {
            "type": "assistant",
            "parent_tool_use_id": message.parent_tool_use_id,
            "error": getattr(message, "error", None),
            "session_id": getattr(message, "session_id", None),
            "message": {
                "id": getattr(message, "message_id", None),
                "model": message.model,
                "usage": getattr(message, "usage", None),
                "content": [{"type": "tool_use", "id": tool.id, "name": tool.name} for tool in tools],
            },
        }
    if kind == "UserMessage" and isinstance(message.content, list):
        results = [block for block in message.content if type(block).__name__ == "ToolResultBlock"]
        content = [{"type": "tool_result", "tool_use_id": r.tool_use_id, "is_error": r.is_error} for r in results]
        return {"type": "user", "message": {"content": content}}
    if kind == "ResultMessage":
        names = ("subtype", "is_error", "num_turns", "session_id", "total_cost_usd", "usage", "api_error_status")
        said = {name: getattr(message, name, None) for name in names}
        return {"type": "result", **said, "modelUsage": getattr(message, "model_usage", None)}
    return None
