"""`ralph-otel emit`: one event from a shell script into a journal."""

from __future__ import annotations

import difflib
import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ralph_otel import events, tracecontext
from ralph_otel.cli._options import home
from ralph_otel.config import seconds
from ralph_otel.events import Event, Field, Line
from ralph_otel.journal import Journal, new_run_id, runs_folder
from ralph_otel.notices import shown
from ralph_otel.runs import LATEST, RunError, find, fold
from ralph_otel.state import RunState

RUN_VARIABLE = "RALPH_OTEL_RUN"
_PARTS = ("loop", "session", "iteration", "agent")
_ENDS = {"loop.stopped", "session.ended", "iteration.finished", "agent.finished", "reboot.finished"}


@click.command()
@click.argument("event")
@click.argument("fields", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--run", help=f"The run: its id, an unambiguous part of it, or a path. [default: ${RUN_VARIABLE}, else the latest]"
)
def command(event: str, fields: tuple[str, ...], run: str | None) -> None:
    """Write one event into a run's journal, for loops that are shell scripts.

    `loop.started` begins a new run and prints its id; `agent.started` prints the TRACEPARENT for the agent. Iteration
    numbers, session ids and durations are filled in; `exit_code=$?` says the outcome, too. `ralph-otel catalog --format
    schema` describes every event.

    The exit code is 2 where the event is wrong, and otherwise 0, even where it could not be written: a script under
    `set -e` does not end for that.

    Example:

    \b
      export RALPH_OTEL_RUN=$(ralph-otel emit loop.started name=fix-bugs)
      ralph-otel emit iteration.started
      TRACEPARENT=$(ralph-otel emit agent.started agent=claude) claude -p < PROMPT.md; code=$?
      ralph-otel emit agent.finished agent=claude exit_code=$code
      ralph-otel emit iteration.finished exit_code=$code
      ralph-otel emit loop.stopped reason=completed
    """
    kind = events.BY_TYPE.get(event)
    if kind is None:
        near = " or ".join(difflib.get_close_matches(event, events.BY_TYPE, 3, 0.4))
        hint = f"did you mean {near}?" if near else f"the events: {', '.join(events.BY_TYPE)}"
        raise click.UsageError(f"no event {shown(event)}; {hint}")
    values = _values(kind, fields)
    try:
        path = _new(run) if event == "loop.started" else find(run or os.environ.get(RUN_VARIABLE) or LATEST, home())
        so_far = _SoFar() if event == "loop.started" else _so_far(path)
    except (RunError, OSError) as error:
        click.echo(f"ralph-otel: {error}; the event is lost", err=True)
        return
    line = _line(kind, values, so_far.run_id or path.stem, so_far)
    if event == "loop.started":
        click.echo(path.stem)
    elif event == "agent.started" and "span_id" in line:
        click.echo(tracecontext.TraceContext(line["trace_id"], line["span_id"], so_far.flags).traceparent)
    _write(path, line)


def _write(path: Path, line: Line) -> None:
    try:
        written = Journal(path).append(line)
    except OSError:
        written = 0
    if not written:
        click.echo(f"ralph-otel: cannot write {path}; the event is lost", err=True)


# -- what was typed --------------------------------------------------------------------------------------------


def _values(kind: type[Event], fields: tuple[str, ...]) -> dict[str, Any]:
    """KEY=VALUE arguments as the event's fields.

    Raises:
        click.UsageError: no `=`, an unknown key, or a value that is not of the field's kind.
    """
    known = {known.name: known for known in events.fields_of(kind)}
    values: dict[str, Any] = {}
    for text in fields:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"{shown(text)} is not KEY=VALUE")
        if name not in known:
            raise click.UsageError(f"{kind.type} has no field {shown(name)}; its fields: {', '.join(known) or 'none'}")
        values[name] = _value(known[name], value)
    return values


def _value(declared: Field, text: str) -> Any:
    """A field's value from its text: texts as they are, durations also as 1m30s, the rest as JSON."""
    if str in declared.kind.types:
        return text
    try:
        return seconds(text) if declared.name == "duration" else json.loads(text)
    except (ValueError, RecursionError):
        raise click.UsageError(f"{declared.name} must be {declared.kind.name}, got {shown(text)}") from None


def _new(run: str | None) -> Path:
    """The journal of a new run, whatever run the variable is left over from.

    Raises:
        click.UsageError: the id that was asked for cannot be a new one's.
    """
    run_id = run if run is not None else new_run_id()
    path = runs_folder(home()) / f"{run_id}.jsonl"
    if re.fullmatch(r"[\w.-]{1,200}", run_id) is None or run_id == LATEST or path.exists():
        raise click.UsageError(f"--run: {shown(run_id)} will not do; it must be a new id of letters, digits, - _ and .")
    return path


# -- what the journal knows already ----------------------------------------------------------------------------


@dataclass
class _SoFar:
    """What is known of a run: its id, its trace's flags, the lines that began its open parts, its iterations."""

    run_id: str = ""
    flags: int = tracecontext.SAMPLED
    open: dict[str, Line] = field(default_factory=dict)
    iterations: int = 0


def _so_far(path: Path) -> _SoFar:
    so_far = _SoFar()

    def note(line: Line, state: RunState) -> None:
        part, _, what = line["type"].partition(".")
        if what == "started":
            so_far.open[part] = line
            so_far.flags = line.get("trace_flags", so_far.flags)
            so_far.iterations = max(so_far.iterations, line.get("iteration", 0))
        elif line["type"] in _ENDS:
            so_far.open.pop(part, None)

    so_far.run_id = fold(path, note).run.run_id
    return so_far


def _line(kind: type[Event], values: dict[str, Any], run_id: str, so_far: _SoFar) -> Line:
    """The journal's line, with everything filled in that can be known.

    Raises:
        click.UsageError: the protocol does not allow it; the text says why.
    """
    part, _, what = kind.type.partition(".")
    now = time.time_ns()
    opened = so_far.open.get(part)
    ids, parent = _ids(part, what, so_far)
    line: Line = {"v": events.VERSION, "type": kind.type, "ts": now, "loop": run_id, **ids}
    if parent is not None:
        line["parent_span_id"] = parent
    line.update(_defaults(kind, values, so_far, opened, now))
    line.update(values)
    if problem := events.problem_with(line):
        raise click.UsageError(problem)
    return line


def _ids(part: str, what: str, so_far: _SoFar) -> tuple[dict[str, Any], str | None]:
    """Trace and span id of a line, and its parent's; a part that begins gets a new span below the innermost one."""
    around = [so_far.open[outer] for outer in _PARTS if outer in so_far.open]
    begins = what == "started"
    if part == "loop" and begins:
        outer = tracecontext.from_environment(os.environ)
        ids = {"trace_id": outer.trace_id if outer else tracecontext.new_trace_id()}
        flags = {"trace_flags": outer.flags} if outer and outer.flags != tracecontext.SAMPLED else {}
        return {**ids, "span_id": tracecontext.new_span_id(), **flags}, outer.span_id if outer else None
    if begins and part in _PARTS:
        around = [line for line in around if _PARTS.index(line["type"].partition(".")[0]) < _PARTS.index(part)]
    own = so_far.open.get(part) if not begins else None
    base = own or (around[-1] if around else None)
    if base is None or "trace_id" not in base or "span_id" not in base:
        return {}, None
    if begins:
        return {"trace_id": base["trace_id"], "span_id": tracecontext.new_span_id()}, base["span_id"]
    return {"trace_id": base["trace_id"], "span_id": base["span_id"]}, None


def _defaults(
    kind: type[Event], values: dict[str, Any], so_far: _SoFar, opened: Line | None, now: int
) -> dict[str, Any]:
    """Values for the fields that the script need not say."""
    names = {declared.name for declared in events.fields_of(kind)}
    found: dict[str, Any] = {}
    if "iteration" in names:
        found["iteration"] = opened["iteration"] if opened else so_far.iterations + 1
    if "session" in names:
        found["session"] = opened["session"] if opened else tracecontext.new_span_id()
    if kind.type in _ENDS and "duration" in names and opened:
        found["duration"] = max(0, now - opened["ts"]) / 1e9
    if kind.type == "iteration.finished" and "exit_code" in values:
        found["outcome"] = "success" if values["exit_code"] == 0 else "failure"
    if "reason" in names and kind.type == "reboot.finished" and opened:
        found["reason"] = opened["reason"]
    if kind.type == "iteration.finished":
        found.setdefault("duration", 0.0)
    return found
