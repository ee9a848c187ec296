"""Whose hook this is: the process of Claude Code, and the one around it that runs it again and again.

Known where there is `/proc`; elsewhere what has died is noticed by its silence. A process is named by its number and
the time of its start, for numbers are given again.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import os

_SHELLS = ("sh", "bash", "dash", "zsh", "ash", "ksh", "fish")


def around() -> tuple[str, str]:
    """Claude Code's process, which may have called us by a shell, and its parent; "" where they are not known."""
    pid = os.getppid()
    for _ in range(3):
        command, parent = _look(pid)[:2]
        if command not in _SHELLS:
            return (_named(pid), _named(parent)) if command else ("", "")
        pid = parent
    return "", ""


def lives(process: str) -> bool:
    """Whether a process that `around` has named is still there."""
    pid = process.partition(":")[0]
    return pid.isdecimal() and _named(int(pid)) == process


def _named(pid: int) -> str:
    command, _, started, state = _look(pid)
    return f"{pid}:{started}" if command and state not in ("Z", "X") and pid > 1 else ""


def _look(pid: int) -> tuple[str, int, str, str]:
    """A process's command, parent, time of start and state; "" for a command where there is none."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "", 0, "", ""
    try:
        head, _, rest = os.read(fd, 4096).decode("utf-8", "replace").rpartition(")")
        fields = rest.split()  # from the third field on, see proc_pid_stat(5)
        return head.partition("(")[2], int(fields[1]), fields[19], fields[0]
    except (OSError, ValueError, IndexError):
        return "", 0, "", ""
    finally:
        os.close(fd)
