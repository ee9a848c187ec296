"""What is installed: Python, packages, runners, agents, hooks."""

from __future__ import annotations

import json
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from ralph_otel.agents import PARSERS
from ralph_otel.doctor.findings import Finding, Subject, ok, warning
from ralph_otel.launch import enabling
from ralph_otel.runners import RUNNERS, version_of
from ralph_otel.version import __version__

OLDEST = (3, 11)
"""The oldest Python that the commands run on."""


def python(subject: Subject) -> Iterator[Finding]:
    """The interpreter, and our own version."""
    yield ok(f"ralph-otel {__version__}, Python {platform.python_version()}, {sys.executable}")
    if sys.version_info < OLDEST:
        yield warning(f"Python {platform.python_version()} is too old", "use Python 3.11 or newer")


def packages(subject: Subject) -> Iterator[Finding]:
    """The packages that we and OpenTelemetry's need: whether their versions go together."""
    seen: set[str] = set()
    faults = list(_faults("ralph-otel", seen))
    yield from faults
    if not faults:
        versions = {name: _version(f"opentelemetry-{name}") for name in ("sdk", "exporter-otlp", "instrumentation")}
        known = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        yield ok(f"OpenTelemetry: {known}; {len(seen)} packages go together")


def _faults(distribution: str, seen: set[str]) -> Iterator[Finding]:
    """What a distribution needs and has not got; of those of ours and OpenTelemetry's, what they need in turn."""
    seen.add(distribution)
    try:
        requirements = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:  # run from its source
        return
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            has = "is missing" if version is None else f"is {version}"
            yield warning(
                f"{distribution} needs {requirement.name}{requirement.specifier}, which {has}",
                f"pip install '{requirement.name}{requirement.specifier}'",
            )
        elif requirement.name not in seen and requirement.name.startswith("opentelemetry-"):
            yield from _faults(requirement.name, seen)
        seen.add(requirement.name)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def runners(subject: Subject) -> Iterator[Finding]:
    """The runners with an adapter that are installed beside us."""
    found = False
    for runner in RUNNERS:
        if (version := version_of(runner)) is not None:
            found = True
            if version in runner.tested:
                yield ok(f"{runner.distribution} {version}: a version that is tested")
            else:
                tested = ", ".join(runner.tested)
                yield warning(
                    f"{runner.distribution} {version}: not a tested version; parts of it may not be seen",
                    f"tested: {tested}; what is not seen is said when it runs",
                )
    if not found:
        known = ", ".join(runner.distribution for runner in RUNNERS)
        yield ok(f"none of {known} here; `ralph-otel run` finds them in their own environments, too")


def enabled(subject: Subject) -> Iterator[Finding]:
    """The environments whose runners register themselves, by `ralph-otel enable`."""
    files = enabling.noted(subject.config.home)
    for file, interpreter in files.items():
        if enabling.is_current(Path(file)):
            yield ok(f"runners of {interpreter} register themselves, by {file}")
        else:
            again = f"ralph-otel enable --python {shlex.quote(interpreter)}"
            yield warning(f"{file} is of another ralph-otel than this", again)
    if not files:
        yield ok("no runners register themselves; `ralph-otel enable` has those of an environment do it")


def agents(subject: Subject) -> Iterator[Finding]:
    """The agents whose output is understood, where they are on the PATH."""
    found = [f"{name} ({path})" for name in PARSERS if (path := shutil.which(name)) is not None]
    yield ok(", ".join(found) if found else f"none of {', '.join(PARSERS)} on the PATH")


def hooks(subject: Subject) -> Iterator[Finding]:
    """Claude Code's settings: whether our hooks are in them."""
    installed = False
    for path in (Path.home() / ".claude" / "settings.json", Path.cwd() / ".claude" / "settings.json"):
        try:
            events = _hooked(path)
        except (OSError, ValueError, RecursionError) as error:
            yield warning(f"{path} cannot be used: {type(error).__name__}", "mend it; Claude Code leaves it out, too")
            continue
        if events:
            installed = True
            yield ok(f"Claude Code: installed in {path} for {', '.join(events)}")
    if installed and shutil.which("ralph-otel") is None:
        yield warning("Claude Code's hooks call ralph-otel, which is not on the PATH", "put its folder on the PATH")
    if not installed:
        yield ok("Claude Code: not installed; `ralph-otel hook install` does it")


def _hooked(path: Path) -> list[str]:
    """The events for which a settings file calls us; [] without a file."""
    if not path.exists():
        return []
    settings = json.loads(path.read_bytes() or b"{}")
    events = settings.get("hooks", {}) if isinstance(settings, dict) else {}
    if not isinstance(events, dict):
        return []
    return [event for event, groups in events.items() if re.search("ralph-otel'? hook", json.dumps(groups))]
