"""What goes on beside a command whose loops write journals: they are recorded, and their progress is measured.

`ralph-otel run` does it around the command, `ralph_otel.launch.companion` next to a runner that has registered itself.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ralph_otel.config import MetricsConfig
from ralph_otel.journal import has_end
from ralph_otel.runners.launched import Launch

if TYPE_CHECKING:
    from ralph_otel.progress.baseline import Baseline
    from ralph_otel.progress.watch import ProgressWatch
    from ralph_otel.recorder.recorder import Recorder

PROGRESS_TIMEOUT = 1.0
"""Seconds that the last measurement of progress may take when the command has ended."""
END_TIMEOUT = 1.8
"""Seconds that the recorder may take when the command has ended."""


def say(text: str) -> None:
    """Say something to the user, in one line."""
    with contextlib.suppress(OSError, ValueError):
        print(f"ralph-otel: {text}", file=sys.stderr, flush=True)  # noqa: T201 — a command's message to its user


def watch_progress(
    journals: Callable[[], Iterable[Path]], pid: int, launched: int, home: Path, baseline: Baseline | None = None
) -> ProgressWatch | None:
    """Begin to measure what iterations change; None where that cannot be.

    Args:
        journals: the files that the loops' journals are, in the order in which they are made.
        pid: the command's process.
        launched: when it was started, in Unix nanoseconds.
        home: the folder of the journals, which is nobody's work.
        baseline: the state before the command, if it was recorded.
    """
    try:
        from ralph_otel.progress.watch import ProgressWatch

        watch = ProgressWatch(journals, Path.cwd(), launched, [home], baseline)
        watch.start(pid)
    except (ImportError, OSError) as error:  # the command has removed what we are installed in, or where we are
        say(f"progress is not measured: {error}")
        return None
    return watch


def start_recorder(config: MetricsConfig, launch: Launch, pid: int) -> Recorder | None:
    """Begin to export what a launch's journals say; None, and a line that says why, where that cannot be."""
    try:
        from ralph_otel.recorder.recorder import Recorder

        recorder = Recorder(config, launch.run_id, pid)
        recorder.follow_runs(launch.folder, launch.run_id)
        recorder.start()
    except Exception as error:  # noqa: BLE001 — the command runs, and the journals are written all the same
        say(f"nothing is exported: {type(error).__name__}: {error}")
        return None
    return recorder


def stop_recorder(recorder: Recorder | None, any_loops: bool = True) -> None:
    """Send what waits, for as long as that may take, and leave nothing that says that we are there.

    Args:
        recorder: what `start_recorder` has returned.
        any_loops: whether there was anything to record.
    """
    if recorder is not None:
        try:
            if any_loops or not recorder.abandon():
                recorder.stop(END_TIMEOUT)
        except Exception as error:  # noqa: BLE001 — the command's end is what counts
            say(f"the last export failed: {type(error).__name__}: {error}")


# -- journals of loops that were killed --------------------------------------------------------------------------------


def journals_of(launch: Launch) -> list[Path]:
    """The journals that a launch has made."""
    journals = []
    for path in launch.paths():
        if not path.exists():
            break
        journals.append(path)
    return journals


def end_if_killed(path: Path) -> bool:
    """Write the end of a loop that can no longer do so itself: whether it was missing.

    A loop whose process outlives the command goes on; its journal does, too.
    """
    try:
        from ralph_otel.recorder import recovery

        return not has_end(path) and recovery.end(path)
    except (OSError, ImportError) as error:  # the command may have removed what we are installed in
        say(f"cannot look at {path}: {getattr(error, 'strerror', None) or error}")
        return False
