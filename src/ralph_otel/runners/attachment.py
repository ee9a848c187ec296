"""Looking on while a runner calls its own functions.

An adapter names the functions of its runner that say something, and an observer for each. The function that takes their
place passes arguments, result and exceptions through untouched and keeps the signature; an async one stays async. What
goes wrong in an observer costs the runner nothing, and no frame of ours is left in its tracebacks (before Python 3.11,
one is).
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ralph_otel.probe import Loop
from ralph_otel.runners import Report, StartLoop, not_seen
from ralph_otel.runners.patches import Patches


class Call:
    """One call of a function that is looked on.

    Attributes:
        arguments: what it was given, by the names of its parameters, with defaults.
        result: what it returned.
        error: what left it instead.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments
        self.result: Any = None
        self.error: BaseException | None = None


Observer = Callable[[Call], Iterator[None]]
"""A generator function: runs up to its `yield` before the function is called, and to its end afterwards."""


@dataclass(frozen=True)
class Attachment:
    """An adapter's hold on its runner in this process.

    Args:
        runner: the runner, by its distribution's name.
        version: its version.
        start_loop: makes a loop.
        report: told what is not seen.
        patches: what is replaced.
    """

    runner: str
    version: str
    start_loop: StartLoop
    report: Report
    patches: Patches

    def missing(self, what: str) -> None:
        """Say that a part of the runner is not seen."""
        self.report(not_seen(self.runner, self.version, what))

    def quietly(self, what: str, call: Callable[..., Any], *args: Any) -> Any:
        """The result of a call of ours; None, and a line that names what is not seen, if it raises."""
        try:
            return call(*args)
        except Exception as error:  # noqa: BLE001 — the runner comes first
            self.missing(f"{what} ({type(error).__name__} in the adapter)")
            return None

    def start(self, name: str, max_iterations: int | None) -> Loop | None:
        """A loop of the runner begins; None where no journal can be written: whoever launched this says so."""
        try:
            loop = self.start_loop(name, max_iterations=max_iterations, runner=self.runner, runner_version=self.version)
        except OSError:
            return None
        return loop.start()

    def folder_name(self, folder: Path | None = None) -> str:
        """What a loop is called that has no name: as its folder (by default the working directory), else the runner."""
        return (folder or Path.cwd()).resolve().name or self.runner

    def look_on(self, what: str, owner: str, name: str, needs: set[str], observer: Observer) -> bool:
        """Have every call of a function observed.

        Args:
            what: what is not seen without it, for the report.
            owner: the module that has it, or the class, as `module:class`.
            name: its name there.
            needs: the parameters that the observer reads.
            observer: looks on.

        Returns:
            Whether it is from now on; False also where another ralph-otel in this process looks on already.
        """
        holder = _find(owner)
        function = getattr(holder, name, None)
        if getattr(function, "__ralph_otel__", False):
            return False
        if function is None or not needs <= inspect.signature(function).parameters.keys():
            self.missing(f"{what}, since {owner}.{name}({', '.join(sorted(needs))}) is not there")
            return False
        watched = self._watched(what, function, observer)
        if isinstance(holder, ModuleType):
            self.patches.replace_everywhere(name, function, watched)
        else:
            self.patches.replace(holder, name, watched)
        return True

    def stand_in(self, what: str, module: str, imported: ModuleType, replacement: Any) -> None:
        """Let a module of the runner see something else where it has imported a module under that one's name.

        Args:
            what: what is not seen without it, for the report.
            module: the runner's module, by its full name.
            imported: what it has imported.
            replacement: what it is to see.
        """
        owner, name = sys.modules.get(module), imported.__name__
        if owner is not None and getattr(owner, name, None) is imported:
            self.patches.replace(owner, name, replacement)
        else:
            self.missing(f"{what}, since {module} does not use {name}")

    def _watched(self, what: str, function: Callable[..., Any], observer: Observer) -> Callable[..., Any]:
        signature = inspect.signature(function)

        def before(*args: Any, **kwargs: Any) -> tuple[Call, Iterator[None]]:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            call = Call(bound.arguments)
            steps = observer(call)
            next(steps, None)
            return call, steps

        def after(seen: tuple[Call, Iterator[None]] | None, result: Any, error: BaseException | None) -> None:
            if seen is not None:
                call, steps = seen
                call.result, call.error = result, error
                self.quietly(what, next, steps, None)
                call.error = None  # and with it what its traceback holds

        @functools.wraps(function)
        async def watched_async(*args: Any, **kwargs: Any) -> Any:
            seen = self.quietly(what, functools.partial(before, *args, **kwargs))
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                leave_no_frame(error)
                after(seen, None, error)
                raise
            after(seen, result, None)
            return result

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            seen = self.quietly(what, functools.partial(before, *args, **kwargs))
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                leave_no_frame(error)
                after(seen, None, error)
                raise
            after(seen, result, None)
            return result

        chosen: Any = watched_async if inspect.iscoroutinefunction(function) else watched
        chosen.__ralph_otel__ = True  # a mark that other copies of this module know
        return chosen  # type: ignore[no-any-return]  # one of the two above


def _find(owner: str) -> Any:
    """A module that has been imported, or a class in one; None if it is not there."""
    module, _, name = owner.partition(":")
    found = sys.modules.get(module)
    return getattr(found, name, None) if name else found


def leave_no_frame(error: BaseException) -> None:
    """Take the frame that handles an exception out of its traceback; a bare `raise` does not put it back."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
