"""Finds the loop's telemetry, as any runner would: through the entry-point group `ralph_loop.plugins`.

A plugin is a callable `plugin(config=None)` that returns a collector. One that fails costs the loop nothing but a line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, cast

from ralph_otel.events import Line
from ralph_otel.notices import notice, shown
from ralph_otel.probe import Loop

GROUP = "ralph_loop.plugins"


class Collector(Protocol):
    """What a runner needs of a collector."""

    def loop(
        self,
        name: str,
        *,
        max_iterations: int | None = None,
        runner: str | None = None,
        runner_version: str | None = None,
    ) -> Loop:
        """A loop, not yet started."""

    def shutdown(self, timeout: float = ...) -> Any:
        """End, within so many seconds."""


class Silent:
    """Stands in where there is no telemetry."""

    def loop(
        self,
        name: str,
        *,
        max_iterations: int | None = None,
        runner: str | None = None,
        runner_version: str | None = None,
    ) -> Loop:
        """A loop whose events go nowhere."""
        return Loop(name, _nowhere, max_iterations=max_iterations, runner=runner, runner_version=runner_version)

    def shutdown(self, timeout: float = 0.0) -> bool:
        """Nothing to end."""
        return True


def _nowhere(line: Line) -> None:
    """Takes a line, and that is all."""


def load_collector(say: Callable[[str], None]) -> Collector:
    """The collector of every plugin that is installed, as one; a silent one where there is none.

    Args:
        say: takes the line about a plugin that fails.
    """
    loaded = [_load(entry, say) for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)]
    collectors = [collector for collector in loaded if collector is not None]
    # Ours first: it is its ids that TRACEPARENT carries.
    collectors.sort(key=lambda collector: not type(collector).__module__.startswith("ralph_otel."))
    if not collectors:
        say("no telemetry: no plugin of the group ralph_loop.plugins works; pip install --force-reinstall ralph-otel")
        return Silent()
    return collectors[0] if len(collectors) == 1 else cast(Collector, Together(collectors))


def _load(entry: EntryPoint, say: Callable[[str], None]) -> Collector | None:
    try:
        collector: Collector = entry.load()()
        if not callable(getattr(collector, "loop", None)):
            raise TypeError(f"it made a {type(collector).__name__}, which has no loop()")
    except (Exception, SystemExit) as error:  # noqa: BLE001 — whatever a plugin does, the loop runs
        problem = f"{type(error).__name__}: {shown(str(error), 120)}"
        say(f"plugin {shown(entry.name)} fails to load: {problem}; mend or uninstall it; the loop runs without it")
        return None
    return collector


class Together:
    """Handles of several collectors as one: what is done to it is done to each, what it answers is the first's.

    The first is trusted; what another raises is said and goes no further.
    """

    def __init__(self, handles: Sequence[Any]) -> None:
        vars(self)["_handles"] = list(handles)

    def __getattr__(self, name: str) -> Any:
        first = getattr(self._handles[0], name)
        return partial(self._call, name) if callable(first) else first

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        first = getattr(self._handles[0], name)(*args, **kwargs)
        rest = [_guarded(_call, handle, name, *args, **kwargs) for handle in self._handles[1:]]
        if not hasattr(first, "__enter__"):
            return first
        return Together([first, *(answer for answer in rest if answer is not None)])

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._handles[0], name, value)
        for handle in self._handles[1:]:
            _guarded(setattr, handle, name, value)

    def __enter__(self) -> Together:
        self._call("__enter__")
        return self

    def __exit__(self, *error: Any) -> None:
        for handle in self._handles[:0:-1]:
            _guarded(_call, handle, "__exit__", *error)
        self._handles[0].__exit__(*error)


def _call(handle: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(handle, name)(*args, **kwargs)


def _guarded(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 — another's telemetry is no reason to stop
        notice(f"a plugin of {GROUP} fails: {type(error).__name__}: {shown(str(error), 120)}; the loop goes on")
        return None
