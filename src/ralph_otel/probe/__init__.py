"""Handles on a running loop: what a runner calls, and what becomes lines of the journal.

    with Loop("fix-bugs", sink) as loop:
        with loop.session(), loop.iteration() as it:
            with it.agent("claude") as agent:
                subprocess.run(["claude", "-p"], env=agent.environment())
            it.tests(passed=41, failed=1)
        loop.stop("tests_passed")

A handle is a context manager, or is begun with `start()` and ended with `finish()` where a `with` does not fit. Handles
may be used from any thread and from asyncio tasks. Nothing here raises into its host: a wrong value is written as it is
and the recorder says what is wrong with it.

Standard library only, Python 3.9 and later: it runs inside any runner's own environment.
"""

from ralph_otel.probe.given import labels_of
from ralph_otel.probe.loop import Loop, Sink
from ralph_otel.probe.parts import Agent, Iteration, Reboot, Session
from ralph_otel.probe.span import Span, current

__all__ = ["Agent", "Iteration", "Loop", "Reboot", "Session", "Sink", "Span", "current", "labels_of"]
