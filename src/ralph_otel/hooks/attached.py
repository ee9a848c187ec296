"""Hooks of an agent that runs under a loop that is recorded already.

Iterations, sessions and usage are that loop's business. Hooks add what only they know: that the context was compacted,
and the tools, unless the loop reads them from the agent's output. Whether it does shows when the first of them is some
seconds old; until then they are kept.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import json
import os

from ralph_otel.hooks.project import tail
from ralph_otel.hooks.reading import failed, name, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ralph_otel.hooks.project import State
    from ralph_otel.hooks.reading import Said

    Attached = dict[str, Any]

WAIT = 5_000_000_000
"""Nanoseconds that a tool call is kept to see whether the loop tells it as well."""
MOST_CALLS = 500
_TAIL = 256 * 1024
_NEWEST = 30
"""Journals that are looked at, the newest first."""
_HEXADECIMAL = frozenset("0123456789abcdef")


def traceparent(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """Trace and span id of `TRACEPARENT`, if it is one."""
    parts = environment.get("TRACEPARENT", "").strip().split("-")
    if len(parts) != 4 or [len(part) for part in parts] != [2, 32, 16, 2] or not set("".join(parts)) <= _HEXADECIMAL:
        return None
    return (parts[1], parts[2]) if int(parts[1], 16) and int(parts[2], 16) else None


def find(base: str, environment: Mapping[str, str]) -> Attached | None:
    """The run that the agent belongs to, and the agent's span in it; None if it belongs to none.

    Args:
        base: the home folder.
        environment: the environment variables.
    """
    run, ids = environment.get("RALPH_OTEL_RUN", ""), traceparent(environment)
    if run:
        paths = [run if run.endswith(".jsonl") and os.path.isabs(run) else f"{base}/runs/{run}.jsonl"]  # noqa: PTH117
    else:
        paths = newest(f"{base}/runs")
    for path in paths:
        end = tail(path, _TAIL)
        if (run or (ids is not None and ids[0].encode() in end)) and end:
            place = _place(end, ids)
            if place is not None:
                return {"path": path, **place}
    return None


def newest(folder: str) -> list[str]:
    """The journals that were written last, at most thirty, the newest first."""
    try:
        with os.scandir(folder) as entries:
            known = [(entry.stat().st_mtime, entry.path) for entry in entries if entry.name.endswith(".jsonl")]
    except OSError:
        return []
    return [path for _, path in sorted(known, reverse=True)[:_NEWEST]]


def _place(end: bytes, ids: tuple[str, str] | None) -> Attached | None:
    """Where an agent is in a run: the span that its TRACEPARENT names, or else the innermost that is open."""
    open_: dict[str, tuple[str, str]] = {}
    loop = None
    for raw in end.split(b"\n"):
        line = _line(raw)
        if line is None:
            continue
        loop = line["loop"]
        part, _, what = str(line.get("type")).partition(".")
        if what == "started" and part in ("loop", "iteration", "agent"):
            open_[part] = str(line.get("trace_id", "")), str(line.get("span_id", ""))
        elif what in ("finished", "stopped"):
            open_.pop(part, None)
            loop = None if part == "loop" else loop
    if loop is None:
        return None
    innermost = open_.get("agent") or open_.get("iteration") or open_.get("loop") or ("", "")
    if ids is not None and (not innermost[0] or f'"{ids[1]}"'.encode() in end):
        innermost = ids
    return {"loop": loop, "trace": innermost[0], "span": innermost[1]}


def _line(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("loop"), str) else None


def handle(state: State, said: Said, now: int) -> None:
    """Handle one hook's input.

    Args:
        state: the project's state, locked; the session is in it.
        now: Unix nanoseconds.
    """
    sid, event = name(said, "session_id"), name(said, "hook_event_name")
    run: Attached = state.content["attached"][sid]
    calls: list[Attached] = run.setdefault("calls", [])
    over = event in ("Stop", "StopFailure", "SessionEnd")
    if event in ("PostToolUse", "PostToolUseFailure") and name(said, "tool_name") and len(calls) < MOST_CALLS:
        calls.append(_call(run, said, event, now))
    elif event == "PreCompact":
        run["reboot"] = {"span": os.urandom(8).hex(), "ts": now, "reason": _reason(said)}
        _write(state, run, "reboot.started", now, run["reboot"]["span"], reason=run["reboot"]["reason"])
    elif event in ("PostCompact", "SessionStart") and "reboot" in run:
        reboot = run.pop("reboot")
        duration = (now - reboot["ts"]) / 1e9
        _write(state, run, "reboot.finished", now, reboot["span"], reason=reboot["reason"], duration=duration)
    if calls and (over or now - calls[0]["ts"] > WAIT):
        if not _told(run):
            state.lines.setdefault(run["path"], []).extend(calls)
        calls.clear()
    if event == "SessionEnd":
        del state.content["attached"][sid]


def _reason(said: Said) -> str:
    return "redline" if name(said, "trigger") == "auto" else "manual"


def _told(run: Attached) -> bool:
    """Whether the loop tells of the agent's tools itself."""
    if "told" not in run and run["span"]:
        for raw in tail(run["path"], _TAIL).split(b"\n"):
            line = _line(raw) if b'"tool.called"' in raw and run["span"].encode() in raw else None
            if line is not None and line.get("by") != "hook":
                run["told"] = True
    return bool(run.get("told"))


def _call(run: Attached, said: Said, event: str, now: int) -> Attached:
    outcome = "failure" if failed(said) or event == "PostToolUseFailure" else "success"
    if said.get("is_interrupt") is True:
        outcome = "cancelled"
    line = _made(run, "tool.called", now, os.urandom(8).hex(), tool=name(said, "tool_name"), outcome=outcome)
    duration = seconds(said, "duration_ms")
    return line if duration is None else {**line, "duration": duration}


def _write(state: State, run: Attached, type_: str, now: int, span: str, **fields: Any) -> None:
    state.lines.setdefault(run["path"], []).append(_made(run, type_, now, span, **fields))


def _made(run: Attached, type_: str, now: int, span: str, **fields: Any) -> Attached:
    line = {"v": 1, "type": type_, "ts": now, "loop": run["loop"], **fields, "by": "hook"}
    if run["span"]:
        line.update(trace_id=run["trace"], span_id=span, parent_span_id=run["span"])
    return line
