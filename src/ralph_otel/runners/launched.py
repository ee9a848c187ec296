"""The launch: what `ralph-otel run` and a runner below it, in whatever environment, have to agree on.

The parent puts a launch into the environment. The runner takes it out again (the rule is in `ralph_otel.inject`) and
writes the journal of its first loop as `<run id>.jsonl`, those of further ones, in this process or in another, as
`<run id>-2.jsonl` and so on.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ralph_otel import redaction, runners
from ralph_otel.journal import Held, Journal, create_folder
from ralph_otel.probe import Loop

VARIABLE = "RALPH_OTEL_LAUNCH"
"""Holds `<run id>|<modules to wait for, with commas>|<trace_iterations>|<folder of the journals>`."""
INJECTED = str(Path(__file__).parent.parent / "inject")
"""The folder that stands first on PYTHONPATH below a launch."""

SHIMS = f"{os.sep}ralph-otel-agents"
"""How the path of the folder ends that stands first on PATH below a launch, see `ralph_otel.shims`."""


@dataclass(frozen=True)
class Launch:
    """One `ralph-otel run`.

    Args:
        run_id: the id of the first loop's run; further ones begin with it.
        folder: where the journals are.
        trace_iterations: as for `ralph_otel.probe.Loop`.
        redact: regular expressions of what is in no signal, see `ralph_otel.redaction`.
    """

    run_id: str
    folder: Path
    trace_iterations: int = 0
    redact: tuple[str, ...] = ()

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The environment of the command: `base`, PYTHONPATH with our folder before it, and the launch."""
        environment = without(base)
        path = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = INJECTED + os.pathsep + path if path else INJECTED
        if self.redact:
            environment[redaction.VARIABLE] = "\n".join(self.redact)
        environment[VARIABLE] = f"{self.run_id}|{','.join(runners.modules())}|{self.trace_iterations}|{self.folder}"
        return environment

    def paths(self) -> Iterator[Path]:
        """The files that the loops' journals are, in the order in which they are made."""
        for number in count(1):
            yield self.folder / (f"{self.run_id}.jsonl" if number == 1 else f"{self.run_id}-{number}.jsonl")

    def journal(self) -> Journal:
        """The next free journal.

        Raises:
            OSError: none can be made.
        """
        create_folder(self.folder)
        return Journal(next(filter(_made, self.paths())))

    def loop(self, name: str, **arguments: Any) -> Loop:
        """A loop that writes the next free journal. Arguments as for `ralph_otel.probe.Loop`.

        Raises:
            OSError: no journal can be made, or the program reports the loop itself, by handles of its own.
        """
        theirs = sys.modules.get("ralph_otel.probe")  # of the program, if it uses ralph-otel itself
        if theirs is not None and theirs.current() is not None:
            raise FileExistsError("a part of this loop is reported already")
        journal = self.journal()
        held = Held(journal)

        def stopped(loop: Loop) -> None:
            held.close()

        run_id, every = journal.path.stem, self.trace_iterations
        return Loop(name, held.append, run_id=run_id, trace_iterations=every, on_stop=stopped, **arguments)


def _made(path: Path) -> bool:
    """Make a file, unless it is there already: another loop's then, in this process or in another."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    return True


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what a launch puts there."""
    clean = {name: value for name, value in environment.items() if name != VARIABLE}
    for variable, ours in (("PYTHONPATH", INJECTED), ("PATH", SHIMS)):
        if ours in clean.get(variable, ""):
            entries = [entry for entry in clean.pop(variable).split(os.pathsep) if not entry.endswith(ours)]
            if entries:
                clean[variable] = os.pathsep.join(entries)
    return clean


def take_launch(environment: MutableMapping[str, str]) -> Launch | None:
    """The launch that this process belongs to, taken out of the environment; None if it belongs to none."""
    run_id, _, every, folder = [*environment.get(VARIABLE, "").split("|", 3), "", "", ""][:4]
    clean = without(environment)
    for name in (VARIABLE, "PYTHONPATH", "PATH"):
        if name in clean:
            environment[name] = clean[name]
        else:
            environment.pop(name, None)
    makes_sense = run_id and every.isdecimal() and Path(folder).is_absolute()
    return Launch(run_id, Path(folder), int(every)) if makes_sense else None
