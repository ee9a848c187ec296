"""Claude Code's settings file: our hooks put in, and taken out again.

`.claude/settings.json` of a project, or of a user's home folder:
`{"hooks": {EVENT: [{"matcher"?: TEXT, "hooks": [{"type": "command", "command": TEXT, "timeout"?: SECONDS}]}]}}`.
A Claude Code that does not know an event's name leaves out the whole file, so newer events are only put in when asked
for. Everything else in the file stays as it is, in its form.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ralph_otel.files import write_atomically
from ralph_otel.hooks.rewriting import rewritten
from ralph_otel.notices import shown

EVENTS = ("SessionStart", "UserPromptSubmit", "PostToolUse", "PreCompact", "Stop", "SessionEnd")
"""Events that every Claude Code of the last year knows."""
NEWER_EVENTS = ("PostToolUseFailure", "SubagentStart", "SubagentStop", "StopFailure", "PostCompact")
"""Events of Claude Code 2.1.80 and later, and one that says nothing without them."""
TIMEOUT = 5
"""Seconds after which Claude Code gives up a hook."""
_QUIET = " hook 2>/dev/null || true"
_PORTABLE = f"command -v ralph-otel >/dev/null && ralph-otel{_QUIET}"


class SettingsError(Exception):
    """The file cannot be used; the text says why, in one line."""


def command(portable: bool) -> str:
    """The shell command of a hook. It fails for nobody who has no ralph-otel, and says nothing then.

    Args:
        portable: whether others use the file as well: then it is looked for on their PATH.
    """
    found = shutil.which("ralph-otel")
    if portable or found is None:
        return _PORTABLE
    return f"{shlex.quote(str(Path(found).absolute()))}{_QUIET}"


def install(path: Path, command: str, events: tuple[str, ...] = EVENTS) -> bool:
    """Put our hooks into a settings file, which is made if it is not there.

    Args:
        path: the file.
        command: see `command`. Hooks of ours with another command are replaced.
        events: for which events.

    Returns:
        Whether anything had to be changed.

    Raises:
        SettingsError: the file cannot be read, written, or is not what it should be. It is left as it is then.
    """
    settings, text = _read(path)
    ours = {"type": "command", "command": command, "timeout": TIMEOUT}
    hooks = settings.setdefault("hooks", {})
    _check(path, hooks)
    _take_out(hooks, but=[event for event in events if _our_hooks(hooks.get(event, [])) == [ours]])
    for event in events:
        groups = hooks.setdefault(event, [])
        if not _our_hooks(groups):
            groups.append({"hooks": [ours]})
    return _write(path, settings, text)


def uninstall(path: Path) -> bool:
    """Take our hooks out of a settings file, and nothing else. A file that has nothing but them, as made, goes.

    Returns:
        Whether there were any.

    Raises:
        SettingsError: see `install`.
    """
    if not path.exists():
        return False
    settings, text = _read(path)
    hooks = settings.get("hooks", {})
    _check(path, hooks)
    _take_out(hooks)
    if not hooks:
        settings.pop("hooks", None)
    before = json.loads(text) if text.strip() else {}
    if before and not settings and not path.is_symlink() and text == _new_text(before):
        return _remove(path)  # it is as `install` makes one
    return _write(path, settings, text)


def _our_hooks(groups: list[Any]) -> list[Any]:
    return [hook for group in groups for hook in group["hooks"] if _is_ours(hook)]


def _is_ours(hook: Any) -> bool:
    said = hook.get("command") if isinstance(hook, dict) else None
    if not isinstance(said, str) or not said.endswith(_QUIET):
        return False
    try:
        words = shlex.split(said.removesuffix(_QUIET))
    except ValueError:
        return False
    return said == _PORTABLE or (len(words) == 1 and Path(words[0]).name == "ralph-otel")


def _take_out(hooks: dict[str, Any], but: Sequence[str] = ()) -> None:
    """Take our hooks out, and what holds nothing else; those of some events stay."""
    for event, groups in list(hooks.items()):
        if event in but or not _our_hooks(groups):
            continue
        for group in groups[:]:
            if _our_hooks([group]):
                group["hooks"][:] = [hook for hook in group["hooks"] if not _is_ours(hook)]
                if not group["hooks"]:
                    groups.remove(group)
        if not groups:
            del hooks[event]


def _check(path: Path, hooks: Any) -> None:
    if not isinstance(hooks, dict):
        raise SettingsError(f"{path}: hooks must be an object, got {shown(hooks)}; mend it first")
    for event, groups in hooks.items():
        if not isinstance(groups, list) or not all(
            isinstance(group, dict) and isinstance(group.get("hooks"), list) for group in groups
        ):
            raise SettingsError(
                f"{path}: hooks.{event} must be an array of objects with an array `hooks`; mend it first"
            )


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """The settings, and the file's text; {} where there is no file, or an empty one."""
    try:
        text = path.read_bytes().decode() if path.exists() else ""  # with the ends of lines that it has
        settings = json.loads(text) if text.strip() else {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: is not JSON ({str(error)[:100]}); mend it first, it is left as it is") from None
    if not isinstance(settings, dict):
        raise SettingsError(f"{path}: must hold an object, got {shown(settings)}; mend it first")
    return settings, text


def _write(path: Path, settings: dict[str, Any], before: str) -> bool:
    if before.strip() and json.loads(before) == settings:
        return False
    text = _text(settings, before)
    target = path.resolve()  # a link, into somebody's dotfiles say, stays one
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        write_atomically(target, text.encode(), mode)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from None
    return True


def _text(settings: dict[str, Any], before: str) -> str:
    """The settings as text, in the form that they had before."""
    value = before.strip()
    step = _indent(value)
    if value:
        line_end = "\r\n" if "\r\n" in value else "\n"
        text = before.replace(value, rewritten(value, settings, step, line_end), 1)
        if json.loads(text) == settings:
            return text
    return _new_text(settings, step)


def _new_text(settings: dict[str, Any], step: str = "  ") -> str:
    return json.dumps(settings, indent=step, ensure_ascii=False) + "\n"


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be removed: {error.strerror}") from None
    return True


def _indent(text: str) -> str:
    """What a JSON text is indented by."""
    found = re.search(r'^\{\r?\n([ \t]+)"', text)
    return "  " if found is None else "\t" if "\t" in found[1] else found[1]
