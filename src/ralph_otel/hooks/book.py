"""The loops, context windows and turns of a project, as hooks keep and write them.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import os
import time

from ralph_otel.hooks import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ralph_otel.hooks.project import State

    Loop = dict[str, Any]
    Session = dict[str, Any]

AGENT = "claude"
RUNNER, PLUGIN = "claude-code", "ralph-wiggum"
PROJECT = ""
"""The key of the loop that all sessions of a project are, but those of the plugin; that of a plugin's loop is its
session's id."""
SILENCE = 2 * 3600 * 1_000_000_000
"""Nanoseconds without a session after which a loop is over; the wait for a usage limit's end is shorter."""
FORGOTTEN = 24 * 3600 * 1_000_000_000
"""Nanoseconds after which a session is over whose process is not known."""


class Book:
    """Keeps and writes what is going on in a project.

    Args:
        state: the project's state, locked.
        base: the home folder.
        project: the project's path.
        environment: the environment variables.
        now: Unix nanoseconds.
    """

    def __init__(self, state: State, base: str, project: str, environment: Mapping[str, str], now: int) -> None:
        self._state = state
        self._base = base
        self._project = project
        self._environment = environment
        self._now = now
        self._loops: dict[str, Loop] = state.content.setdefault("loops", {})
        self._sessions: dict[str, Session] = state.content.setdefault("sessions", {})

    # -- loops, windows, turns --------------------------------------------------------------------------------------

    def _loop(self, session: Session) -> Loop:
        loop = self._loops.get(session["id"]) or self._loops.get(PROJECT)
        if loop is not None:
            return loop
        return self._begin_loop(PROJECT, RUNNER, session.get("began", self._now), shell=session["shell"])

    def _begin_loop(
        self, key: str, runner: str, ts: int, started: str = "", limit: int | None = None, shell: str = ""
    ) -> Loop:
        from ralph_otel.hooks.attached import traceparent

        outer = traceparent(self._environment)
        run = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(ts // 1_000_000_000)) + "-" + new_id(3)
        loop = self._loops[key] = {
            "run": run, "trace": outer[0] if outer else new_id(16), "span": new_id(8), "iterations": 0, "last": ts,
            "started": started, "limit": limit, "shell": shell,
        }  # fmt: skip
        label = os.path.basename(self._project.rstrip("/"))[:100] or "claude"  # noqa: PTH119
        around = outer[1] if outer else None
        self._write(loop, "loop.started", loop["span"], around, ts, name=label, runner=runner, max_iterations=limit)
        return loop

    def _stop(self, key: str, reason: str, ts: int | None = None) -> None:
        loop = self._loops.pop(key)
        for session in self._sessions.values():
            if session["id"] == key or (key == PROJECT and session["id"] not in self._loops):
                session.pop("turn", None)
                session.pop("window", None)
        self._write(loop, "loop.stopped", loop["span"], None, ts, reason=reason)

    def _begin_window(self, session: Session, ts: int) -> dict[str, Any]:
        loop = self._loop(session)
        session["windows"] += 1
        label = session["id"] if session["windows"] == 1 else f"{session['id'][:240]}/{session['windows']}"
        window = session["window"] = {"label": label, "span": new_id(8), "ts": ts}
        self._write(loop, "session.started", window["span"], loop["span"], ts, session=label)
        return window

    def _end_window(self, session: Session) -> None:
        window = session.pop("window", None)
        if window is not None:
            loop, duration = self._loop(session), (self._now - window["ts"]) / 1e9
            self._write(loop, "session.ended", window["span"], loop["span"], session=window["label"], duration=duration)

    def _begin_turn(self, session: Session, ts: int, number: int = 0) -> dict[str, Any]:
        loop = self._loop(session)
        window = session.get("window") or self._begin_window(session, min(ts, session.pop("began", ts)))
        loop["iterations"] = number or loop["iterations"] + 1
        turn = session["turn"] = {"number": loop["iterations"], "span": new_id(8), "agent": new_id(8), "ts": ts}
        turn["around"] = window["span"]
        self._write(loop, "iteration.started", turn["span"], window["span"], ts, iteration=turn["number"])
        self._write(loop, "agent.started", turn["agent"], turn["span"], ts, agent=AGENT, model=session.get("model"))
        return turn

    def _ensure_turn(self, session: Session) -> dict[str, Any]:
        """The turn that is going on. Where no prompt has begun one, a Stop hook has sent the agent on."""
        return session.get("turn") or self._begin_turn(session, session.get("idle", self._now))

    def _end_turn(self, session: Session, outcome: str, error: str | None = None) -> None:
        turn, loop = session.pop("turn"), self._loop(session)
        duration = (self._now - turn["ts"]) / 1e9
        for subagent in session.pop("subagents", {}).values():
            self._end_subagent(session, subagent)
        agent = {"agent": AGENT, "duration": duration, "conversation": session["id"]}
        said = None if outcome == "success" else outcome
        self._write(loop, "agent.finished", turn["agent"], turn["span"], outcome=said, **agent)
        self._write(
            loop, "iteration.finished", turn["span"], turn["around"],
            iteration=turn["number"], outcome=outcome, duration=duration, error_type=error,
        )  # fmt: skip
        session["idle"] = self._now

    def _end_subagent(self, session: Session, subagent: dict[str, Any]) -> None:
        duration = (self._now - subagent["ts"]) / 1e9
        ids = subagent["agent"], subagent["around"]
        self._write(self._loop(session), "agent.finished", *ids, agent=subagent["kind"], duration=duration)

    # -- what has ended without a word ------------------------------------------------------------------------------

    def sweep(self, but: str = "") -> None:
        """End sessions and loops whose processes are gone, or that have been silent for too long."""
        for sid, session in list(self._sessions.items()):
            silent = self._now - session.get("last", 0)
            if sid != but and (not processes.lives(session["pid"]) if session["pid"] else silent > FORGOTTEN):
                self._vanished(session)
        loop = self._loops.get(PROJECT)
        if loop is not None and not any(session.get("window") for session in self._sessions.values()):
            gone = bool(loop["shell"]) and not processes.lives(loop["shell"])
            if gone or self._now - loop["last"] > SILENCE:
                self._stop(PROJECT, "completed", loop["last"])

    def _vanished(self, session: Session) -> None:
        now, self._now = self._now, session.get("last", self._now)
        if session.get("turn"):
            self._end_turn(session, "failure", "killed")
        self._end_window(session)
        del self._sessions[session["id"]]
        if session["id"] in self._loops:
            self._stop(session["id"], "crashed")
        self._now = now

    # -- lines ------------------------------------------------------------------------------------------------------

    def _write(
        self, loop: Loop, type_: str, span: str, around: str | None, ts: int | None = None, **fields: Any
    ) -> None:
        ts = self._now if ts is None else ts
        loop["last"] = max(loop["last"], ts)
        line = {"v": 1, "type": type_, "ts": ts, "loop": loop["run"], "trace_id": loop["trace"], "span_id": span}
        if around is not None:
            line["parent_span_id"] = around
        line.update((key, value) for key, value in fields.items() if value is not None)
        self._state.lines.setdefault(f"{self._base}/runs/{loop['run']}.jsonl", []).append(line)


def new_id(size: int) -> str:
    return os.urandom(size).hex()
