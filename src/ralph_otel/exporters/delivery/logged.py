"""How far the log records of each run have been handed over, so that whoever goes on after a kill knows where.

A file for every run and receiver, `<home>/logged/<host>_<port>/<run id>`, holds the id of the record that was handed
over last; it is empty while none was. The records of a run are made in the order of its journal.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ralph_otel.catalog.attributes import LOG_ID, RUN_ID
from ralph_otel.exporters.delivery.delivered import as_name, slug
from ralph_otel.journal import create_folder

_MAX_RUNS = 1000
"""Runs of earlier processes that are remembered at once."""
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


class Logged:
    """The log records that were handed over to one receiver's queue.

    Args:
        endpoint: a URL or `host:port`.
        home: the home folder.
    """

    def __init__(self, endpoint: str, home: Path) -> None:
        self._folder = home / "logged" / slug(endpoint)
        self._after: dict[str, str | None] = {}

    def begin(self, run_id: str) -> None:
        """A run begins: where nothing is known of it, none of its records was handed over."""
        with suppress(OSError):
            create_folder(self._folder)
            os.close(os.open(self._folder / as_name(run_id), _FLAGS, 0o600))

    def note(self, records: Iterable[Mapping[str, Any] | None]) -> None:
        """Records, by their attributes and in order, were handed over."""
        last = {of[RUN_ID.name]: of[LOG_ID.name] for of in records if of is not None and LOG_ID.name in of}
        for run_id, own in last.items():
            with suppress(OSError):
                fd = os.open(self._folder / as_name(run_id), _FLAGS, 0o600)
                try:
                    os.write(fd, str(own).encode())  # all ids have the same length
                finally:
                    os.close(fd)

    def known(self, run_id: str, record_id: str) -> bool:
        """Whether an earlier process has handed this record over. Ask for each of a run, in order.

        Where nothing is known of a run, all were.
        """
        if run_id not in self._after:
            if len(self._after) >= _MAX_RUNS:
                del self._after[next(iter(self._after))]
            self._after[run_id] = self._read(run_id)
        after = self._after[run_id]
        if after == record_id:
            self._after[run_id] = ""
        return after != ""

    def _read(self, run_id: str) -> str | None:
        try:
            return (self._folder / as_name(run_id)).read_text("ascii", "replace")[:64]
        except OSError:
            return None
