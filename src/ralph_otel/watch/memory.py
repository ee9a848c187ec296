"""What an earlier watch has exported already: how far it has recorded each journal.

Without that, a restart would make the log records of a run once more; of spans
`ralph_otel.exporters.delivery.delivered` knows who has them. It is written now and then, after everything up to there
was recorded; after a kill the last seconds' log records are exported again rather than lost.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from ralph_otel.files import write_atomically
from ralph_otel.journal import create_folder
from ralph_otel.notices import notice

_MOST = 10_000


class Memory:
    """The memory of one watched thing.

    Args:
        home: the home folder.
        what: what is watched, by a name that is the same next time.
    """

    def __init__(self, home: Path, what: str) -> None:
        digest = sha256(what.encode(errors="surrogateescape")).hexdigest()[:16]
        self._path = home / "watch" / f"{digest}.json"
        self._fd = -1
        self.recorded: dict[str, int] = {}
        """By run id: how many bytes of its journal have been recorded."""
        try:
            known = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            known = None
        if isinstance(known, dict):
            self.recorded = {run: size for run, size in known.items() if type(size) is int and size >= 0}

    def claim(self) -> bool:
        """Whether nobody else watches the same thing; until `close`, then, nobody else does."""
        import fcntl

        try:
            create_folder(self._path.parent)
            self._fd = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            notice(f"cannot write {self._path.parent}: {error.strerror}; set RALPH_OTEL_HOME to a folder that can be")
        return True

    def save(self, recorded: dict[str, int]) -> None:
        """Remember how far journals have been recorded, instead of what was remembered."""
        if recorded == self.recorded:
            return
        self.recorded = dict(list(recorded.items())[-_MOST:])
        try:
            create_folder(self._path.parent)
            write_atomically(self._path, json.dumps(self.recorded).encode(), 0o600)
        except OSError as error:
            notice(f"cannot write {self._path}: {error.strerror}; the next watch may export some log records again")

    def close(self) -> None:
        """Let others watch."""
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
            self._fd = -1
