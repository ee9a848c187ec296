"""Runs git so that it only looks: no lock, no hook, no prompt, no network, no end later than the deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SETTINGS = (
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    "core.splitIndex=false",
    "core.untrackedCache=false",
    "core.fsync=none",
    "core.looseCompression=1",
    "core.safecrlf=false",
)
"""What could write into the repository, start a program or cost time, switched off."""

ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}
KEPT = ("GIT_CONFIG", "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
"""Variables of git that it may inherit. The others would point it to another repository, index or object store."""
STOPS = [getattr(signal, name) for name in ("SIGTSTP", "SIGTTIN", "SIGTTOU") if hasattr(signal, name)]
"""The signals by which a terminal stops its jobs, where there are any."""


class GitError(Exception):
    """Git did not do what was asked; the message is one line.

    Args:
        exit_code: Git's exit code, where it ran to its end.
    """

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Deadline:
    """A point in time that several commands share."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            GitError: None.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise GitError(f"git took longer than {self._seconds:g} s")
        return left


def git(
    folder: Path,
    *arguments: str,
    deadline: Deadline,
    environment: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    accept: Iterable[int] = (0,),
) -> bytes:
    """Run a git command in a folder and return what it prints.

    Args:
        folder: Where to run it.
        arguments: The command and its arguments.
        deadline: When it must have ended.
        environment: Further variables.
        settings: Further settings, as `name=value`.
        accept: The exit codes that are no error.

    Raises:
        GitError: It could not be started, took too long, or ended with an exit code that isn't in `accept`.
    """
    options = [word for setting in (*SETTINGS, *settings) for word in ("-c", setting)]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith(KEPT)}
    try:
        with _unstoppable():
            process = subprocess.Popen(
                ["git", "--no-pager", *options, *arguments],
                cwd=folder,
                env={**inherited, **ENVIRONMENT, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        raise GitError(f"git cannot be started: {error}") from None
    try:
        output, errors = process.communicate(timeout=deadline.left())
    except subprocess.TimeoutExpired:
        _kill(process)
        deadline.left()
        raise GitError("git took too long") from None
    except BaseException:
        _kill(process)
        raise
    if process.returncode not in accept:
        raise GitError(_reason(arguments[0], process.returncode, errors), process.returncode)
    return output


@contextmanager
def _unstoppable() -> Iterator[None]:
    """Keep a ctrl-Z from a process that is being started by this thread.

    Until it is git in a session of its own it is in our process group. Stopped there, it would never get to be git, and
    we, who wait for that in `vfork`, could not be stopped: the shell would wait for us for ever.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS) if STOPS else None
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End git and what it has started: filters, credential helpers."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.communicate()


def _reason(command: str, exit_code: int, errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines() or [f"exit code {exit_code}"]
    said = next((line for line in lines if line.startswith("fatal:")), lines[-1])
    return f"git {command}: " + "".join(filter(str.isprintable, said))[:200]
