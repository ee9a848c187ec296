"""What `ralph-otel run` does for plain shell loops: their agents are found through stand-ins, and make up a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ralph_otel.runners.launched import Launch
from ralph_otel.shims.folder import AGENTS, Folder, installed
from ralph_otel.shims.listener import Listener
from ralph_otel.shims.shell_loop import Onlooker, ShellLoop, name_of, reason_of
from ralph_otel.tracecontext import TraceContext

_SIGNALLED = 0.3
"""Seconds that agents have to end after a signal has ended their script."""


class ShellAgents:
    """The agents that a command starts by name, unless a runner below it speaks for itself.

    Args:
        launch: where the journal is made.
        command: the command, which the loop is called after.
        name: what the loop is called instead.
        more: further agents' commands.
        home: where the stand-ins may be, see `Folder`.
        path: the PATH that the agents are on.

    Raises:
        OSError: the stand-ins, or their socket, cannot be made.
    """

    def __init__(
        self, launch: Launch, command: Sequence[str], name: str | None, more: Iterable[str], home: Path, path: str
    ) -> None:
        self.found = installed((*AGENTS, *more), path)
        """The agents' commands that are there, and where they are."""
        self._folder = Folder(self.found, home)
        try:
            self._loop = ShellLoop(name or name_of(command), launch, self._folder.set_trace)
            self._listener = Listener(self._folder.socket, self._loop.meet)
        except BaseException:
            self._folder.close()
            raise

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The environment for the command: `base`, with a PATH on which the stand-ins come first."""
        return self._folder.environment(base)

    @property
    def place(self) -> TraceContext:
        """Where the agents belong: a trace, its flags, and the span around the loop, "" where there is none."""
        return self._loop.place

    def began(self) -> bool:
        """Whether the loop has begun, by an agent that nobody else has told of."""
        return self._loop.began

    def start(self, onlooker: Onlooker | None = None, spoken_for: Callable[[], bool] = lambda: False) -> None:
        """The command has started: take what the stand-ins tell.

        Args:
            onlooker: is told as well, on another thread.
            spoken_for: whether somebody else tells of the loop; the agents are then not told of here.
        """
        self._loop.spoken_for = spoken_for
        if onlooker is not None:
            self._loop.onlooker = onlooker
        self._listener.start()

    def drain(self, returncode: int) -> None:
        """The command has ended: take what has been told up to its end.

        A signal that ended it ends its agents too, and some of them later than it.

        Args:
            returncode: as for `stop`.
        """
        self._listener.stop(0.0 if reason_of(returncode) in ("completed", "error") else _SIGNALLED)

    def stop(self, returncode: int) -> None:
        """Write the loop's end, if it has begun.

        Args:
            returncode: the command's exit code, or the negative number of the signal that ended it.
        """
        self._loop.stop(returncode)

    def close(self) -> None:
        """Remove the stand-ins."""
        self._folder.close()
