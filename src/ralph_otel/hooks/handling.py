"""From a hook's input to lines of a journal.

Where the agent runs under a loop that is recorded already (`RALPH_OTEL_RUN`, or a `TRACEPARENT` of ours), the hook
adds to that run what only hooks know; see `attached`. Otherwise the hooks are all there is, and make the run; see
`turns`.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import time

from ralph_otel.hooks import LIMIT
from ralph_otel.hooks.project import DAMAGE, State, home, redacted, state_file, state_files, use_redaction, wanted
from ralph_otel.hooks.reading import name, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_FREE = ("tool_name", "model", "agent_type")
"""What an input says that somebody has named, and that goes into a journal."""
_OTHERS = 50
"""Other projects that are looked at for loops that are over."""


def handle(data: bytes, environment: Mapping[str, str]) -> None:
    """Handle one hook.

    Args:
        data: its input, at most `LIMIT` bytes of it.
        environment: the environment variables.
    """
    said = parse(data, LIMIT) if wanted(environment) else None
    if said is None:
        return
    base, session = home(environment), name(said, "session_id")
    project = environment.get("CLAUDE_PROJECT_DIR") or name(said, "cwd") or "/"
    use_redaction(project)
    said.update(redacted([{key: said[key] for key in _FREE if key in said}])[0])  # some of it is kept between hooks
    with State(state_file(base, project)) as state:
        if _is_attached(state, session, base, environment):
            from ralph_otel.hooks import attached

            attached.handle(state, said, time.time_ns())
        else:
            from ralph_otel.hooks.turns import Turns

            Turns(state, base, project, environment, time.time_ns()).handle(said)
    if name(said, "hook_event_name") == "SessionStart":
        sweep(base)


def _is_attached(state: State, session: str, base: str, environment: Mapping[str, str]) -> bool:
    """Whether a session belongs to a run that is recorded; found out once, with its first hook."""
    known = state.content.get("attached", {})
    if session not in known:
        if session in state.content.get("sessions", {}):
            return False
        if not environment.get("RALPH_OTEL_RUN") and not environment.get("TRACEPARENT"):
            return False
        from ralph_otel.hooks import attached

        run = attached.find(base, environment)
        if run is None:
            return False
        state.content.setdefault("attached", {})[session] = run
    return True


def sweep(base: str, wait: bool = False) -> None:
    """Write the ends of hooks' runs that are over: their processes are gone, or they have been silent for long.

    Args:
        base: the home folder.
        wait: whether to wait for projects in which a hook is at work; otherwise they are left to it.
    """
    from ralph_otel.hooks.turns import Turns

    for path in state_files(base)[:_OTHERS]:
        try:
            with State(path, wait) as state:
                if state.locked:
                    Turns(state, base, "", {}, time.time_ns()).sweep()
        except DAMAGE:
            continue
