"""A hook's input, and the state file of the ralph-wiggum plugin.

The input is a JSON object: `session_id, transcript_path, cwd, hook_event_name` and more, by event; see
https://code.claude.com/docs/en/hooks. The plugin keeps its loop in `.claude/ralph-loop.local.md`, below the project: a
front matter with `active, iteration, max_iterations, completion_promise, started_at`, then the prompt.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Said = dict[str, Any]

MAX_TEXT = 256
_FRONT = 8192
_LONG = (b',"tool_input":', b', "tool_input":', b',"prompt":', b', "prompt":')
"""Where an input may become long. What comes before is a whole object without it."""


def parse(data: bytes, limit: int) -> Said | None:
    """A hook's input; None if it is not one. Of one that was cut off at `limit` bytes, its beginning."""
    said = _loads(data)
    if said is None and len(data) >= limit:
        cuts = [at for at in map(data.find, _LONG) if at > 0]
        said = _loads(data[: min(cuts)] + b"}") if cuts else None
    if said is None or not name(said, "session_id") or not name(said, "hook_event_name"):
        return None
    return said


def _loads(data: bytes) -> Said | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def name(said: Said, key: str) -> str:
    """A text that may go into a journal: printable, and not too long; "" for anything else."""
    value = said.get(key)
    return "".join(filter(str.isprintable, value[:MAX_TEXT])) if isinstance(value, str) else ""


def seconds(said: Said, key: str) -> float | None:
    """Milliseconds as seconds; None where they are not said."""
    value: Any = said.get(key)
    return value / 1000 if type(value) in (int, float) and 0 <= value < 1e12 else None


def failed(said: Said) -> bool:
    """Whether a tool's answer says that it failed."""
    answer = said.get("tool_response")
    return isinstance(answer, dict) and (answer.get("is_error") is True or answer.get("success") is False)


class Plugin:
    """What the ralph-wiggum plugin's state file says.

    Attributes:
        started: names the loop: when it was started.
        iteration: the number of the iteration, from 1. It changes while hooks run.
        limit: the most iterations, or None.
        promise: what the agent says when it is done, or "".
        session: the session that the loop belongs to, or "" where the file does not say.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        self.started = fields.get("started_at", "")[:64] or "?"
        self.iteration = max(1, _number(fields.get("iteration", "")))
        self.limit = _number(fields.get("max_iterations", "")) or None
        promise = fields.get("completion_promise", "")
        self.promise = "" if promise == "null" else promise
        self.session = fields.get("session_id", "")

    def kept_by(self, message: str) -> bool:
        """Whether a message of the agent has the promise in it."""
        _, _, rest = message.partition("<promise>")
        said, end, _ = rest.partition("</promise>")
        return bool(self.promise and end) and " ".join(said.split()) == self.promise


def plugin_state(folders: list[str], session: str) -> Plugin | None:
    """The plugin's state file in one of the folders; None where there is none, or its loop is not active."""
    plain = session.replace("-", "").isalnum()
    names = ([f"ralph-loop.{session}.local.md"] if plain else []) + ["ralph-loop.local.md"]
    for folder in folders:
        for file in names:
            fields = _front_matter(os.path.join(folder, ".claude", file))  # noqa: PTH118 — pathlib costs milliseconds
            if fields is not None and fields.get("active") != "false" and "iteration" in fields:
                found = Plugin(fields)
                if found.session in ("", session):
                    return found
    return None


def _front_matter(path: str) -> dict[str, str] | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        text = os.read(fd, _FRONT).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(fd)
    lines = iter(text.splitlines())
    fields: dict[str, str] = {}
    if next(lines, "").strip() != "---":
        return None
    for line in lines:
        if line.strip() == "---":
            return fields
        key, colon, value = line.partition(":")
        if colon:
            fields[key.strip()] = value.strip().strip('"')
    return None


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
