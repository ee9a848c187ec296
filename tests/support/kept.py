"""What tests need that takes long to make: made once, by one of those that need it, and kept for the next session."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

_FOLDER = Path(__file__).parents[2] / ".build" / "kept"


def kept(name: str, made_of: str, make: Callable[[Path], None]) -> Path:
    """A folder, made if it is not there or is of something else. Whoever comes meanwhile waits.

    Args:
        name: the folder's name.
        made_of: what it is made of, in one line.
        make: makes it, where nothing or something old may be. What it raises is raised, and the next one tries again.
    """
    _FOLDER.mkdir(parents=True, exist_ok=True)
    folder, ready = _FOLDER / name, _FOLDER / f"{name}.ready"
    with (_FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists() or ready.read_text() != made_of:
            ready.unlink(missing_ok=True)
            make(folder)
            ready.write_text(made_of)
    return folder
