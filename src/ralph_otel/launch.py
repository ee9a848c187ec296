"""`ralph-otel run`: a command with telemetry, and otherwise as it would be without.

The command starts before anything that takes time is imported. Runners below it write journals (`runners.launched`); a
recorder here follows these and exports. When the command has ended, the journals of loops that were killed are closed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ralph_otel import runners
from ralph_otel.config import MetricsConfig
from ralph_otel.events import LoopStopped
from ralph_otel.journal import create_folder, new_run_id, runs_folder
from ralph_otel.runners.launched import Launch
from ralph_otel.supervisor import CannotStart, Supervisor, end_like

if TYPE_CHECKING:
    from ralph_otel.recorder import Recorder

END_TIMEOUT = 1.8
"""Seconds that the recorder may take when the command has ended."""
_TAIL = 4096
"""How many bytes at a journal's end are searched for its last event."""


def main(command: Sequence[str], config: MetricsConfig | None = None, verbose: bool = False) -> None:
    """Run a command with telemetry, and end this process the way it ends.

    Args:
        command: the command and its arguments.
        config: by default what the environment and the configuration file say.
        verbose: whether to say on stderr what is recorded where.
    """
    try:
        returncode = run(command, config if config is not None else MetricsConfig(), verbose)
    except CannotStart as error:
        _say(str(error))
        returncode = error.exit_code
    end_like(returncode)


def run(command: Sequence[str], config: MetricsConfig, verbose: bool = False) -> int:
    """Run a command with telemetry.

    Returns:
        Its exit code, or the negative number of the signal that ended it.

    Raises:
        CannotStart: the command is not there, or is not a program.
    """
    with _folder(config) as folder, Supervisor() as supervisor:
        if folder is None:
            supervisor.start(command, os.environ)
            return supervisor.wait()
        launch = Launch(new_run_id(), folder, config.trace_iterations)
        pid = supervisor.start(command, launch.environment(os.environ))
        recorder = _start_recorder(config, launch, pid)
        if verbose:
            _say(f"run {launch.run_id}{_address(recorder)}")
        returncode = supervisor.wait()
        journals = [path for path in journals_of(launch) if path.stat().st_size]
        for path in journals:
            killed = _end_if_killed(path)
            if verbose:
                _say(f"journal {path}" + (", whose loop was killed" if killed else ""))
        if journals:
            _stop_recorder(recorder)
        else:
            known = ", ".join(runner.distribution for runner in runners.RUNNERS)
            _say(f"no loop was seen in {shlex.join(command)[:200]}; seen are those of {known}; see docs/runners.md")
        return returncode


@contextlib.contextmanager
def _folder(config: MetricsConfig) -> Iterator[Path | None]:
    """The folder of the journals, made if need be; None where there is to be no telemetry, or no folder can be made."""
    if not config.enabled:
        yield None
    elif not config.journal:  # they carry the events from there to here nevertheless
        with tempfile.TemporaryDirectory(prefix="ralph-otel-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)
    else:
        folder = runs_folder(config.home)
        reason = _obstacle(folder)
        if reason is not None:
            _say(f"no telemetry: {folder}: {reason}; set RALPH_OTEL_HOME to a folder that can be written")
        yield None if reason is not None else folder.absolute()


def _obstacle(folder: Path) -> str | None:
    try:
        create_folder(folder)
    except OSError as error:
        return error.strerror
    return None if os.access(folder, os.W_OK | os.X_OK) else "it cannot be written"


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"ralph-otel: {text}", file=sys.stderr, flush=True)  # noqa: T201 — a command's message to its user


# -- the recorder ------------------------------------------------------------------------------------------------------


def _start_recorder(config: MetricsConfig, launch: Launch, pid: int) -> Recorder | None:
    try:
        from ralph_otel.recorder import Recorder

        recorder = Recorder(config, launch.run_id, pid)
        recorder.follow_runs(launch.folder, launch.run_id)
        recorder.start()
    except Exception as error:  # noqa: BLE001 — the command runs, and the journals are written all the same
        _say(f"nothing is exported: {type(error).__name__}: {error}")
        return None
    return recorder


def _stop_recorder(recorder: Recorder | None) -> None:
    if recorder is not None:
        try:
            recorder.stop(END_TIMEOUT)
        except Exception as error:  # noqa: BLE001 — the command's end is what counts
            _say(f"the last export failed: {type(error).__name__}: {error}")


def _address(recorder: Recorder | None) -> str:
    """Where metrics can be scraped, once that is known."""
    if recorder is None or not recorder.wait_ready(1.5) or recorder.pipeline is None:
        return ""
    address = recorder.pipeline.prometheus_address
    return f", metrics at http://{address[0]}:{address[1]}/metrics" if address is not None else ""


# -- journals of loops that were killed --------------------------------------------------------------------------------


def journals_of(launch: Launch) -> list[Path]:
    """The journals that a launch has made."""
    journals = []
    for path in launch.paths():
        if not path.exists():
            break
        journals.append(path)
    return journals


def _end_if_killed(path: Path) -> bool:
    """Write the end of a loop that can no longer do so itself: whether it was missing.

    A loop whose process outlives the command goes on; its journal does, too.
    """
    from ralph_otel import recovery

    try:
        return not _says_stopped(path) and recovery.end(path)
    except OSError as error:
        _say(f"cannot look at {path}: {error.strerror}")
        return False


def _says_stopped(path: Path) -> bool:
    """Whether a journal ends as it should; a look at its end is enough, however long it is."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return f'"type":"{LoopStopped.type}"'.encode() in file.read()
