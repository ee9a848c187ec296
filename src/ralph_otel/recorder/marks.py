"""The mark of a recorder that sends by OTLP: a file that is there while it lives.

`<home>/recorders/<its instance id>.jsonl`: on the first line whose it is, then the journals that it records. It goes
when everything has been handed to the exporters; one whose process is gone tells what may not have been, see
`ralph_otel.recorder.handover`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from ralph_otel.journal import Journal
from ralph_otel.recorder.following import family
from ralph_otel.tracecontext import host_name


def recorders_folder(home: Path) -> Path:
    """Where the marks are."""
    return home / "recorders"


def journals_of(lines: Iterable[Mapping[str, str]]) -> list[Path]:
    """The journals that a mark's lines speak of: those it names, and `<prefix>.jsonl`, `<prefix>-2.jsonl` and so on."""
    found: dict[Path, None] = {}
    for line in lines:
        if "journal" in line:
            found[Path(line["journal"])] = None
        elif "runs" in line:
            path = Path(line["runs"])
            found.update(dict.fromkeys(family(path.parent, path.name)))
    return [path for path in found if path.is_file()]


class Mark:
    """The file by which a recorder says that it lives. It is there from the first journal on.

    Args:
        home: the home folder.
        instance_id: the recorder's `service.instance.id`.
    """

    def __init__(self, home: Path, instance_id: str) -> None:
        self._path = recorders_folder(home) / f"{instance_id}.jsonl"
        self._file: Journal | None = None
        self._lock = threading.Lock()

    def note(self, **what: str) -> None:
        """Say that something is recorded: `journal`, a path, or `runs`, a path without its end, see `journals_of`.

        Raises nothing: where this cannot be written, no journal can be, and that is said.
        """
        with self._lock, suppress(OSError):
            if self._file is None:
                self._file = Journal(self._path)
                self._file.append({"pid": os.getpid(), "host": host_name(), "began": time.time_ns()})
            self._file.append(dict(what))

    def remove(self) -> None:
        """Everything has been handed to the exporters."""
        if self._file is not None:
            self._file.close()
            with suppress(OSError):
                self._path.unlink()
