"""Where the journals are, and what they are called: the home folder, its runs, and run ids."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from ralph_otel.notices import notice, shown

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that holds the runs: `RALPH_OTEL_HOME`, else `ralph-otel` under the XDG state folder."""
    if chosen := environment.get("RALPH_OTEL_HOME"):
        return Path(chosen).expanduser()
    state = environment.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "ralph-otel"  # noqa: PTH117


def runs_folder(base: Path) -> Path:
    """Where the journals are, below the home folder."""
    return base / "runs"


def new_run_id() -> str:
    """A fresh run id: the UTC time and six random digits, so that ids sort by age and make good file names."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + os.urandom(3).hex()


def usable_run_id(run_id: object, instead: str) -> str:
    """A run id that somebody has chosen, if it can be a file's name; else, with a notice, another one."""
    if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
        return run_id
    what = "1 to 128 letters, digits, '-', '_' or '.', the first of them a letter or digit"
    notice(f"run id: {shown(run_id)} will not do; it must be {what}; {instead} is taken")
    return instead


def create_folder(folder: Path) -> None:
    """Make a private folder (0700), its parents too.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
