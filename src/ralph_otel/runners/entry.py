"""Where the telemetry of a runner begins: called in its process, whatever environment that is of.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from ralph_otel import notices, runners
from ralph_otel.runners import standing
from ralph_otel.runners.launched import Launch, take_launch


def attach(module: str, recorder: str = "", theirs: Mapping[str, Any] | None = None) -> None:
    """Called in a runner, or what looks like one, when one of the modules that were waited for has been executed.

    Args:
        module: the module's full name.
        recorder: see `ralph_otel.runners.standing.join`; "" where there is nothing but a launch.
        theirs: the modules of ralph-otel that the program has imported itself.
    """
    for runner, version in runners.installed(module):
        launch = take_launch(os.environ) or _launch or standing.join(recorder, theirs or {})
        if launch is not None:
            _remember(launch, (theirs or {}).get("ralph_otel.notices") is notices)
            quiet = version in runner.tested or isinstance(launch, standing.Standing)
            runners.attach(runner, version, launch.loop, _say_nothing if quiet else _say_once)


_launch: Launch | None = None
_said = False


def _remember(launch: Launch, shared: bool) -> None:
    global _launch
    if _launch is None:
        _launch = launch
    if not shared:
        quiet = logging.Logger("ralph_otel")  # in nobody's hierarchy: the runner's output stays as it is
        quiet.addHandler(logging.NullHandler())
        notices.logger = quiet


def _say_nothing(text: str) -> None:
    """A version that is tested: what happens to be wrong here is no news of the runner."""


def _say_once(text: str) -> None:
    global _said
    if not _said:
        _said = True
        print(f"ralph-otel: {text}", file=sys.stderr)  # noqa: T201 — the only line that a runner's output may gain
