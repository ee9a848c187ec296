"""Loops of which nothing but hooks is known.

A turn of Claude Code, from a prompt (or from being sent on by a Stop hook) to its Stop, is an iteration. So with
`while :; do claude -p …; done` every process is one; with the ralph-wiggum plugin, which keeps one session going, every
Stop ends one. A session is a context window: it ends with the process, with /clear, and when it is compacted, which is
a reboot. The loop is the plugin's, or else all sessions in a project that follow each other.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

from ralph_otel.hooks import processes
from ralph_otel.hooks.book import PLUGIN, PROJECT, Book, new_id
from ralph_otel.hooks.reading import failed, name, plugin_state, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ralph_otel.hooks.book import Session
    from ralph_otel.hooks.reading import Plugin, Said

MOST_SESSIONS = 200
_QUIT = ("prompt_input_exit", "logout")
"""Reasons of a session's end: a person has left."""


class Turns(Book):
    """Handles the hooks of a project."""

    def handle(self, said: Said) -> None:
        """Handle one hook's input."""
        handler = _HANDLERS.get(name(said, "hook_event_name"))
        if handler is None:
            return
        sid = name(said, "session_id")
        session = self._sessions.get(sid)
        if session is None:
            if len(self._sessions) >= MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            claude, shell = processes.around()
            session = self._sessions[sid] = {"id": sid, "began": self._now, "windows": 0, "pid": claude, "shell": shell}
        session["last"] = self._now
        model = name(said, "model")
        if model:
            session["model"] = model
        self._look_for_plugin(session, said)
        handler(self, session, said)

    # -- the plugin's loop ------------------------------------------------------------------------------------------

    def _plugin(self, session: Session, said: Said) -> Plugin | None:
        return plugin_state([folder for folder in (self._project, name(said, "cwd")) if folder], session["id"])

    def _look_for_plugin(self, session: Session, said: Said) -> None:
        """The plugin's loop may have begun, or been called off, since the last hook."""
        event, found = name(said, "hook_event_name"), self._plugin(session, said)
        loop = self._loops.get(session["id"])
        off = loop is not None and (found is None or found.started != loop["started"])
        if off and event != "Stop":  # at a Stop the plugin itself may have been faster
            if session.get("turn", {}).get("tools"):
                self._end_turn(session, "cancelled")
            self._stop(session["id"], "user_signal")
            loop = None
        claimed = [other["started"] for other in self._loops.values()]
        if found is not None and loop is None and event != "SessionEnd" and found.started not in claimed:
            if session.get("turn"):
                self._end_turn(session, "success")
            self._end_window(session)
            asked = session.pop("asked", self._now)
            self._begin_loop(session["id"], PLUGIN, asked, found.started, found.limit)
            self._begin_turn(session, asked, found.iteration)

    def _plugin_decides(self, session: Session, said: Said) -> None:
        """After a turn of the plugin's loop: over, or the next one.

        It decides as the plugin does, which may have done so already or not yet.
        """
        loop = self._loops.get(session["id"])
        if loop is None:
            return
        found, number, limit = self._plugin(session, said), loop["iterations"], loop["limit"]
        message = said.get("last_assistant_message")
        if limit and number >= limit:
            self._stop(session["id"], "max_iterations")
        elif found is None or (isinstance(message, str) and found.kept_by(message)):
            self._stop(session["id"], "completed")
        else:
            self._begin_turn(session, self._now)

    # -- events of Claude Code --------------------------------------------------------------------------------------

    def _session_start(self, session: Session, said: Said) -> None:
        self.sweep(but=session["id"])
        if name(said, "source") == "compact":
            self._end_reboot(session)
            if session.get("window"):
                self._end_window(session)
                self._begin_window(session, self._now)

    def _user_prompt_submit(self, session: Session, said: Said) -> None:
        prompt = said.get("prompt")
        command = prompt.split(None, 1)[0] if isinstance(prompt, str) and prompt.strip() else ""
        if command.startswith("/") and "ralph-loop" in command:
            session["asked"] = self._now  # this turn is the first iteration of the plugin's loop
        elif session["id"] not in self._loops or not session.get("turn"):
            if session.get("turn"):
                self._end_turn(session, "cancelled")  # it was interrupted: there is no Stop then
            self._begin_turn(session, self._now)

    def _stopped(self, session: Session, said: Said) -> None:
        self._ensure_turn(session)
        self._end_turn(session, "success")
        self._plugin_decides(session, said)

    def _stop_failure(self, session: Session, said: Said) -> None:
        self._ensure_turn(session)
        self._end_turn(session, "failure", name(said, "error") or "error")

    def _post_tool_use(self, session: Session, said: Said) -> None:
        self._tool(session, said, "failure" if failed(said) else "success")

    def _post_tool_use_failure(self, session: Session, said: Said) -> None:
        self._tool(session, said, "cancelled" if said.get("is_interrupt") is True else "failure")

    def _tool(self, session: Session, said: Said, outcome: str) -> None:
        tool, duration = name(said, "tool_name"), seconds(said, "duration_ms")
        if not tool:
            return
        turn = self._ensure_turn(session)
        turn["tools"] = turn.get("tools", 0) + 1
        around = session.get("subagents", {}).get(name(said, "agent_id"), turn)["agent"]
        self._write(
            self._loop(session), "tool.called", new_id(8), around, tool=tool, outcome=outcome, duration=duration
        )

    def _subagent_start(self, session: Session, said: Said) -> None:
        agent, kind = name(said, "agent_id"), name(said, "agent_type")
        if not agent or not kind:
            return
        turn = self._ensure_turn(session)
        subagent = {"agent": new_id(8), "around": turn["agent"], "kind": kind, "ts": self._now}
        session.setdefault("subagents", {})[agent] = subagent
        self._write(self._loop(session), "agent.started", subagent["agent"], turn["agent"], agent=kind)

    def _subagent_stop(self, session: Session, said: Said) -> None:
        subagent = session.get("subagents", {}).pop(name(said, "agent_id"), None)
        if subagent is not None and session.get("window"):
            self._end_subagent(session, subagent)

    def _pre_compact(self, session: Session, said: Said) -> None:
        around = (session.get("turn") or session.get("window") or self._begin_window(session, self._now))["span"]
        reason = "redline" if name(said, "trigger") == "auto" else "manual"
        session["reboot"] = {"span": new_id(8), "around": around, "ts": self._now, "reason": reason}
        self._write(self._loop(session), "reboot.started", session["reboot"]["span"], around, reason=reason)

    def _post_compact(self, session: Session, said: Said) -> None:
        self._end_reboot(session)

    def _end_reboot(self, session: Session) -> None:
        reboot = session.pop("reboot", None)
        if reboot is not None and session.get("window"):
            duration = (self._now - reboot["ts"]) / 1e9
            ids = reboot["span"], reboot["around"]
            self._write(self._loop(session), "reboot.finished", *ids, reason=reboot["reason"], duration=duration)

    def _session_end(self, session: Session, said: Said) -> None:
        sid, turn = session["id"], session.get("turn")
        if turn and (sid not in self._loops or turn.get("tools")):
            self._end_turn(session, "cancelled")
        self._end_window(session)
        del self._sessions[sid]
        if sid in self._loops:
            self._stop(sid, "user_signal")
        others = any(other.get("window") for other in self._sessions.values())
        if name(said, "reason") in _QUIT and PROJECT in self._loops and not others:
            self._stop(PROJECT, "user_signal")


_HANDLERS = {
    "SessionStart": Turns._session_start,
    "UserPromptSubmit": Turns._user_prompt_submit,
    "PostToolUse": Turns._post_tool_use,
    "PostToolUseFailure": Turns._post_tool_use_failure,
    "SubagentStart": Turns._subagent_start,
    "SubagentStop": Turns._subagent_stop,
    "PreCompact": Turns._pre_compact,
    "PostCompact": Turns._post_compact,
    "Stop": Turns._stopped,
    "StopFailure": Turns._stop_failure,
    "SessionEnd": Turns._session_end,
}
