"""The runners that are understood without a change of theirs: one adapter each, attached when the runner is imported.

A runner is known by its *distribution*, never by the name of a module alone: several distributions install a package
`ralph` and a script of that name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ralph_otel.inject.ralph_otel_hook import AfterImport
from ralph_otel.notices import notice
from ralph_otel.probe import Loop

StartLoop = Callable[..., Loop]
"""Makes a loop: called as `MetricsCollector.loop` is, with the loop's name, `max_iterations`, `runner`,
`runner_version`. What it raises leaves the runner's loop without telemetry."""
Report = Callable[[str], None]
"""Takes one line that says which part of a runner is not seen."""


@dataclass(frozen=True)
class Runner:
    """A runner that has an adapter.

    Args:
        distribution: the name of its distribution, as `pip list` shows it.
        module: the full name of the module that is executed before any of its loops runs. When it has been, the
            adapter is attached.
        tested: the versions the adapter is tested with. It is attached to others as well, and says what it misses.
        adapter: the full name of the adapter's module. It has `attach(start_loop, version, report)` and `detach()`.
    """

    distribution: str
    module: str
    tested: tuple[str, ...]
    adapter: str


RUNNERS = (
    Runner(
        "ralphify",
        "ralphify.engine",
        ("0.3.0",),
        "ralph_otel.runners.ralphify",
    ),
    Runner(
        "ralph-loop",
        "ralph.core.loop",
        ("0.6.0",),
        "ralph_otel.runners.ralph_loop",
    ),
    Runner(
        "ralph-orchestrator",
        "ralph_orchestrator.orchestrator",
        ("1.2.3",),
        "ralph_otel.runners.ralph_orchestrator",
    ),
    Runner(
        "ralph-py",
        "ralph.core",
        ("0.4.0",),
        "ralph_otel.runners.ralph_py",
    ),
    Runner(
        "ralph-runner",
        "ralph_runner.cli",
        ("0.1.0",),
        "ralph_otel.runners.ralph_runner",
    ),
    Runner(
        "ralphx",
        "ralphx.core.executor",
        ("0.4.3",),
        "ralph_otel.runners.ralphx",
    ),
    Runner(
        "ralphkit",
        "ralphkit.engine",
        ("0.1.7",),
        "ralph_otel.runners.ralphkit",
    ),
)
"""Every runner that has an adapter."""

_waiting: list[AfterImport] = []


def modules() -> list[str]:
    """The modules that make runners known, each once."""
    return list(dict.fromkeys(runner.module for runner in RUNNERS))


def version_of(runner: Runner) -> str | None:
    """The runner's version in this environment; None if its distribution is not installed."""
    from importlib import metadata  # not before a runner may be there: this takes its time

    try:
        return metadata.version(runner.distribution)
    except metadata.PackageNotFoundError:
        return None


def installed(module: str) -> list[tuple[Runner, str]]:
    """The installed runners that a module makes known, each with its version."""
    candidates = [runner for runner in RUNNERS if runner.module == module]
    return [(runner, version) for runner in candidates if (version := version_of(runner)) is not None]


def attach(runner: Runner, version: str, start_loop: StartLoop, report: Report) -> None:
    """Attach a runner's adapter, now that its module has been executed. Nothing is raised."""
    try:
        _adapter(runner).attach(start_loop, version, report)
    except Exception as error:  # noqa: BLE001 — the runner comes first
        report(not_seen(runner.distribution, version, f"anything ({type(error).__name__} when attaching)"))


def not_seen(distribution: str, version: str, what: str) -> str:
    """The line that says which part of a runner is not seen."""
    tested = ", ".join(next((runner.tested for runner in RUNNERS if runner.distribution == distribution), ()))
    return f"{distribution} {version}: not seen: {what}; ralph-otel is tested with {distribution} {tested}"


def attach_all(start_loop: StartLoop) -> None:
    """Attach every installed runner's adapter in this process: at once, or when the runner is imported.

    A runner that is watched already, by `ralph-otel run` for instance, is left as it is.
    """

    def imported(module: str) -> None:
        for runner, version in installed(module):
            attach(runner, version, start_loop, notice)

    later = []
    for module in modules():
        if module in sys.modules:
            imported(module)
        else:
            later.append(module)
    if later:
        finder = AfterImport(later, imported)
        _waiting.append(finder)
        sys.meta_path.insert(0, finder)


def attached() -> bool:
    """Whether `attach_all` holds, and waits for a runner to be imported."""
    return bool(_waiting)


def detach_all() -> None:
    """Undo `attach_all`: the runners are as they were. Loops that run go on being seen to their end."""
    while _waiting:
        finder = _waiting.pop()
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
    for runner in RUNNERS:
        if runner.adapter in sys.modules:
            _adapter(runner).detach()


def _adapter(runner: Runner) -> Any:
    return import_module(runner.adapter)
