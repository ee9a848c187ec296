"""Waiting until something changes in a folder.

What the operating system tells is a hint and no more: one looks again every second in any case. So a file system that
does not tell of its changes costs latency and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ralph_otel.notices import notice

POLL = 1.0
"""Seconds after which one looks again, whatever is told."""
_COMPANY = 200
"""Milliseconds that a change waits for others."""


class Changes:
    """Tells of changes in folders that may come and go.

    Args:
        folders: gives the folders, as they are at the time; for one that is not there yet the nearest above it counts.
        poll: whether to do without the operating system's help.
    """

    def __init__(self, folders: Callable[[], Iterable[Path]], poll: bool = False) -> None:
        self._folders = folders
        self._poll = poll
        self._watched: set[Path] = set()
        self._hints: Iterator[object] = iter(())

    def wait(self, stop: threading.Event) -> None:
        """Return when something may have changed, or `stop` is set."""
        folders = {_nearest(folder) for folder in self._folders()}
        if self._poll or not folders:
            stop.wait(POLL)
            return
        try:
            if folders != self._watched:
                self._hints = _hints(folders, stop)
                self._watched = folders
            next(self._hints)
        except StopIteration:
            self._watched = set()
        except Exception as error:  # noqa: BLE001 — no inotify left, say
            notice(f"changes of files are not told of ({error}); they are looked for every {POLL:g} s")
            self._poll = True


def _nearest(folder: Path) -> Path:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _hints(folders: set[Path], stop: threading.Event) -> Iterator[object]:
    from watchfiles import watch

    return watch(
        *folders,
        watch_filter=None,
        debounce=_COMPANY,
        step=20,
        rust_timeout=round(POLL * 1000),
        yield_on_timeout=True,
        stop_event=stop,
        raise_interrupt=False,
        recursive=False,
    )
