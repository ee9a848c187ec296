"""`ralph-otel run`: a command with telemetry, and otherwise as it would be without.

The command starts before anything that takes time is imported. Runners below it write journals (`runners.launched`);
for a shell script, which has no runner to speak for it, the journal is written here, of what the stand-ins of its
agents tell (`shims`). A recorder here follows the journals and exports. When the command has ended, the journals of
loops that were killed are closed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ralph_otel import redaction, runners, temporary
from ralph_otel.config import MetricsConfig
from ralph_otel.guard import guarded
from ralph_otel.journal import create_folder, new_run_id, runs_folder
from ralph_otel.launch import beside
from ralph_otel.launch.beside import say
from ralph_otel.launch.supervisor import CannotStart, Supervisor, end_like
from ralph_otel.runners.launched import Launch
from ralph_otel.shims.command import uncoerce
from ralph_otel.shims.shell_loop import reason_of

if TYPE_CHECKING:
    from ralph_otel.progress.baseline import Baseline
    from ralph_otel.recorder.recorder import Recorder
    from ralph_otel.shims.agents import ShellAgents
    from ralph_otel.watch.launched import LaunchedWatch


_SWEEP_TIMEOUT = 0.3
"""Seconds that removing what others have left may take beyond the command's end."""
_TRIAL = 4096
"""Bytes that a folder must take, or its disk is full."""
_DROP_TIMEOUT = 0.2
"""Seconds that the end may wait for git where the command has ended before the work tree was recorded."""


@dataclass(frozen=True)
class Wishes:
    """What the user wants of a launch.

    Args:
        verbose: whether to say on stderr what is recorded where.
        name: what the loop of a shell script is called; by default as the script.
        agents: further commands that are agents.
        progress: whether to measure what iterations change in the work tree.
        baseline: the work tree before the command, if that is being recorded.
    """

    verbose: bool = False
    name: str | None = None
    agents: Sequence[str] = ()
    progress: bool = True
    baseline: Baseline | None = None


def main(command: Sequence[str], config: MetricsConfig | None = None, wishes: Wishes = Wishes()) -> None:
    """Run a command with telemetry, and end this process the way it ends.

    Args:
        command: the command and its arguments.
        config: by default what the environment and the configuration file say.
        wishes: what else there is to say.
    """
    try:
        returncode = run(command, config if config is not None else MetricsConfig(), wishes)
    except CannotStart as error:
        say(str(error))
        returncode = error.exit_code
    if wishes.baseline is not None:
        wishes.baseline.drop(_DROP_TIMEOUT)
    end_like(returncode)


def run(command: Sequence[str], config: MetricsConfig, wishes: Wishes = Wishes()) -> int:
    """Run a command with telemetry.

    Returns:
        Its exit code, or the negative number of the signal that ended it.

    Raises:
        CannotStart: the command is not there, or is not a program.
    """
    with _folder(config) as folder, Supervisor() as supervisor:
        environment = os.environ.copy()
        uncoerce(environment)
        if folder is None:
            supervisor.start(command, environment)
            return supervisor.wait()
        redaction.use(config.redact)
        launch = Launch(new_run_id(), folder, config.trace_iterations, config.redact or ())
        environment, launched = launch.environment(environment), time.time_ns()
        with _shell_agents(launch, command, config.home, environment, wishes) as shell:
            pid = supervisor.start(command, environment if shell is None else shell.environment(environment))
            sweeping = _sweep(config.home)
            files = _watch_files(launch, command, environment, launched, shell)
            journals = partial(_paths, launch, files)
            progress = None
            if wishes.progress:
                progress = beside.watch_progress(journals, pid, launched, config.home, wishes.baseline)
            if shell is not None:
                shell.start(progress, files.speaks if files is not None else lambda: False)
            recorder = beside.start_recorder(config, launch, pid)
            if files is not None:
                files.start(recorder.follow if recorder is not None else lambda path, recorded: None)
            if wishes.verbose:
                say(f"run {launch.run_id}{_address(recorder)}")
            returncode = supervisor.wait()
            if shell is not None:
                shell.drain(returncode)
            if files is not None:
                files.stop(reason_of(returncode))
            if progress is not None:
                progress.stop(beside.PROGRESS_TIMEOUT)
            if shell is not None:
                shell.stop(returncode)
            if sweeping.is_alive():
                sweeping.join(_SWEEP_TIMEOUT)
        _finish([path for path in journals() if path.stat().st_size], recorder, launch, command, wishes.verbose)
        return returncode


def _sweep(home: Path) -> threading.Thread:
    """Remove what launches that were killed have left, beside the command."""
    thread = threading.Thread(
        target=guarded, args=("temporary folders", partial(temporary.sweep, home)), name="ralph-otel-sweep", daemon=True
    )
    guarded("temporary folders", thread.start)
    return thread


def _paths(launch: Launch, files: LaunchedWatch | None) -> list[Path]:
    """The journals of all loops that have been seen."""
    return [*(files.paths() if files is not None else ()), *beside.journals_of(launch)]


def _finish(
    journals: Sequence[Path], recorder: Recorder | None, launch: Launch, command: Sequence[str], verbose: bool
) -> None:
    """The command has ended: end what was killed, and send what waits."""
    for path in journals:
        killed = beside.end_if_killed(path)
        if verbose:
            say(f"journal {path}" + (", whose loop was killed" if killed else ""))
    reason = _obstacle(launch.folder)
    beside.stop_recorder(recorder, bool(journals))
    if reason is not None:
        what = "what came last" if journals else "everything"
        say(f"{what} may be missing in {launch.folder}: {reason}; make room there, or set RALPH_OTEL_HOME")
        return
    if journals:
        return
    known = ", ".join(runner.distribution for runner in runners.RUNNERS)
    say(
        f"no loop was seen in {shlex.join(command)[:200]}; seen are those of {known}, and agents that a script calls "
        "by name: --agent adds one; see docs/runners.md"
    )


@contextlib.contextmanager
def _shell_agents(
    launch: Launch,
    command: Sequence[str],
    home: Path,
    environment: Mapping[str, str],
    wishes: Wishes,
) -> Iterator[ShellAgents | None]:
    """What sees the agents of a shell script; None where there are none, or where that cannot be made."""
    from ralph_otel.shims.agents import ShellAgents

    shell = None
    try:
        shell = ShellAgents(launch, command, wishes.name, wishes.agents, home, environment.get("PATH", ""))
    except OSError as error:
        say(f"the agents of shell scripts are not seen: {error.strerror or error}; set TMPDIR to another folder")
    try:
        missing = [name for name in wishes.agents if shell is not None and name not in shell.found]
        if missing:
            say(f"--agent {', '.join(missing)}: not seen, for there is no such command on PATH")
        yield shell
    finally:
        if shell is not None:
            shell.close()


def _watch_files(
    launch: Launch,
    command: Sequence[str],
    environment: Mapping[str, str],
    launched: int,
    shell: ShellAgents | None,
) -> LaunchedWatch | None:
    """What watches the files of the command, if it is a runner that is seen by its files; None where it is not."""
    try:
        from ralph_otel.watch import commands
        from ralph_otel.watch.launched import LaunchedWatch

        make = commands.known(command, environment.get("PATH"))
        if make is None:
            return None
        folder, every = commands.folder(command, Path.cwd()), launch.trace_iterations
        place, is_told = (shell.place, shell.began) if shell is not None else (None, lambda: False)
        return LaunchedWatch(make, folder, launch.folder.parent, launched, every, place, is_told)
    except (ImportError, OSError) as error:  # the command has removed what we are installed in, or where we are
        say(f"the runner's files are not seen: {error}")
        return None


@contextlib.contextmanager
def _folder(config: MetricsConfig) -> Iterator[Path | None]:
    """The folder of the journals, made if need be; None where there is to be no telemetry, or no folder can be made."""
    if not config.enabled:
        yield None
    elif not config.journal:  # they carry the events from there to here nevertheless
        try:
            private = temporary.TemporaryFolder()
        except OSError as error:
            say(f"no telemetry: no temporary folder can be made: {error.strerror}; set TMPDIR to another folder")
            yield None
            return
        with private:
            folder = runs_folder(private.path)
            create_folder(folder)
            yield folder
    else:
        folder = runs_folder(config.home)
        reason = _obstacle(folder)
        if reason is not None:
            say(f"no telemetry: {folder}: {reason}; make room there, or set RALPH_OTEL_HOME to another folder")
        yield None if reason is not None else folder.absolute()


def _obstacle(folder: Path) -> str | None:
    """Why no journal can be written in a folder: it is tried."""
    try:
        create_folder(folder)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as trial:
            if trial.write(b"\0" * _TRIAL) < _TRIAL:
                return os.strerror(errno.ENOSPC)
    except OSError as error:
        return error.strerror
    return None


def _address(recorder: Recorder | None) -> str:
    """Where metrics can be scraped, once that is known."""
    if recorder is None or not recorder.wait_ready(1.5) or recorder.pipeline is None:
        return ""
    url = recorder.pipeline.prometheus_url
    return f", metrics at {url}" if url is not None else ""
