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
from ralph_otel.events import VERSION, Line, LoopStarted, LoopStopped, TraceContinued
from ralph_otel.journal import Journal, create_folder, new_run_id, runs_folder
from ralph_otel.runners.launched import Launch
from ralph_otel.runs import fold
from ralph_otel.state import RunState
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
        launch = Launch(new_run_id(), folder)
        pid = supervisor.start(command, launch.environment(os.environ))
        recorder = _start_recorder(config, launch, pid)
        if verbose:
            _say(f"run {launch.run_id}{_address(recorder)}")
        returncode = supervisor.wait()
        journals = [path for path in journals_of(launch) if path.stat().st_size]
        for path in journals:
            crashed = end_crashed(path)
            if verbose:
                _say(f"journal {path}" + (", whose loop was killed" if crashed else ""))
        _stop_recorder(recorder)
        if not journals:
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


def end_crashed(path: Path) -> bool:
    """Write the `loop.stopped` of a loop that can no longer do so itself, as of its last event.

    Returns:
        Whether it was missing: False for a loop that has stopped, or whose process has outlived the command.
    """
    roots: list[Line] = []

    def record(line: Line, state: RunState) -> None:
        if line["type"] in _ROOTS:
            roots.append(line)

    try:
        if _says_stopped(path):
            return False
        folded = fold(path, record)
        if not roots or not folded.run.active or _lives(roots[0].get("pid")):
            return False
        if folded.torn:
            with path.open("ab") as file:
                file.write(b"\n")
        journal = Journal(path)
        journal.append(_crashed(roots[-1], folded.run.last))
        journal.close()
    except OSError as error:
        _say(f"cannot close {path}: {error.strerror}")
        return False
    return True


_ROOTS = (LoopStarted.type, TraceContinued.type)
"""The lines that carry the ids of a trace's root span."""


def _crashed(root: Line, ts: int) -> Line:
    place: Line = {name: root[name] for name in ("loop", "trace_id", "span_id") if name in root}
    return {"v": VERSION, "type": LoopStopped.type, "ts": ts, **place, "reason": "crashed"}


def _says_stopped(path: Path) -> bool:
    """Whether a journal ends as it should; a look at its end is enough."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return f'"type":"{LoopStopped.type}"'.encode() in file.read()


def _lives(pid: int | None) -> bool:
    """Whether a process is still there, and not only because nobody has asked for its exit code."""
    import psutil

    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
