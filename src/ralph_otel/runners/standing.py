"""Standing registration: a runner whose environment `ralph-otel enable` has prepared, and that nobody has launched.

It writes its journals as below a launch. With its first loop it starts a process beside it that exports them
(`ralph_otel.launch.companion`), in the environment that ralph-otel is installed in: nothing but the standard library is
needed here, and nothing has to be waited for at the end. Where that environment has been removed, nothing happens at
all.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ralph_otel import redaction
from ralph_otel.hooks.attached import newest, traceparent
from ralph_otel.hooks.project import home, wanted
from ralph_otel.journal import has_end, new_run_id, runs_folder
from ralph_otel.probe import Loop
from ralph_otel.runners.launched import Launch

_EVERY = 500
"""What `trace_iterations` is unless its variable says something else; of files of settings, only `redact` is read."""


@dataclass(frozen=True)
class Standing(Launch):
    """What stands in for a launch.

    Args:
        recorder: the path of the Python that records.
    """

    recorder: str = ""

    def loop(self, name: str, **arguments: Any) -> Loop:
        """See `Launch`. The first one of this process starts what records them."""
        made = super().loop(name, **arguments)
        if self.run_id not in _recorded:
            _recorded.add(self.run_id)
            _start(self)
        return made


_recorded: set[str] = set()


def join(recorder: str, theirs: Mapping[str, Any]) -> Standing | None:
    """What a runner that nobody has launched belongs to; None where nothing is to be recorded here.

    That is so in a process whose own `RalphInstrumentor` waits for the runner already, and in one that an agent of a
    recorded loop has started: what happens there is a part of that loop's iteration.

    Args:
        recorder: the path of the Python that records; "" where this environment is not prepared.
        theirs: the modules of ralph-otel that the program has imported itself.
    """
    instrumented = theirs.get("ralph_otel.runners")
    if not recorder or not wanted(os.environ) or (instrumented is not None and instrumented.attached()):
        return None
    if is_within_a_loop(os.environ):
        return None
    redaction.use_configured(os.curdir)
    every = os.environ.get("RALPH_OTEL_TRACE_ITERATIONS", "")
    folder = runs_folder(Path(home(os.environ))).absolute()
    return Standing(new_run_id(), folder, int(every) if every.isdecimal() else _EVERY, recorder=recorder)


def is_within_a_loop(environment: Mapping[str, str]) -> bool:
    """Whether `TRACEPARENT` is a span of a loop that goes on: this process has been started by one of its agents."""
    ids = traceparent(environment)
    return ids is not None and any(_has_span(path, ids[1]) for path in newest(home(environment) + "/runs"))


def _has_span(path: str, span_id: str) -> bool:
    """Whether a journal without an end has a span, as opposed to having it as somebody's parent."""
    try:
        journal = Path(path)
        return f'"span_id":"{span_id}"'.encode() in journal.read_bytes() and not has_end(journal)
    except OSError:
        return False


def _start(launch: Standing) -> None:
    """Start the process that records, as nobody's child: a runner that waits for its children does not meet it."""
    here = (launch.run_id, str(launch.folder), str(os.getpid()), str(time.time_ns()))
    command = ("/bin/sh", "-c", '"$@" &', "sh", launch.recorder, "-EP", "-m", "ralph_otel.launch.companion", *here)
    nowhere = subprocess.DEVNULL
    with contextlib.suppress(OSError):  # the journal is written all the same
        subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True).wait()
