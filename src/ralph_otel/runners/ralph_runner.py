"""ralph-runner: every iteration is a new session of Claude Code, then a command that verifies, until the agent says so.

Its sessions print stream-json, which is read as ralph-runner reads it. A verification is recorded as one test. At the
end it has one more session write a summary; that agent belongs to no iteration.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from ralph_otel.runners import Report, StartLoop
from ralph_otel.runners.attachment import Attachment, Call
from ralph_otel.runners.patches import Patches
from ralph_otel.runners.processes import StandIn, agents_by_asyncio
from ralph_otel.runners.watch import Watch, current, in_loop

NAME = "ralph-runner"
_CLI = "ralph_runner.cli"
_patches = Patches()


def attach(start_loop: StartLoop, version: str, report: Report) -> None:
    """Have every loop of this process seen from now on."""
    seen = Attachment(NAME, version, start_loop, report, _patches)
    if not seen.look_on("loops", _CLI, "async_main", set(), _run):
        return
    seen.stand_in("loops", _CLI, argparse, StandIn(argparse, ArgumentParser=_parser(seen)))
    needs = {"iteration", "result", "verify_passed"}
    ends = seen.look_on("tests in iterations", _CLI, "append_orchestrator_progress", needs, in_loop(_end))
    seen.look_on("iterations", _CLI, "run_iteration", {"iteration"}, in_loop(partial(_iteration, not ends)))
    seen.look_on("tests", _CLI, "run_verify", set(), in_loop(_verify))
    seen.look_on("the summary", _CLI, "generate_summary", set(), in_loop(_summary))
    agents_by_asyncio(seen, "ralph_runner.runner")
    agents_by_asyncio(seen, "ralph_runner.stats")


def detach() -> None:
    """Undo `attach`."""
    _patches.undo()


def _parser(seen: Attachment) -> type[argparse.ArgumentParser]:
    """The class of a command line's parser. A run begins when its command line has been understood."""

    class ArgumentParser(argparse.ArgumentParser):
        def parse_args(self, *args: Any, **kwargs: Any) -> Any:
            found = super().parse_args(*args, **kwargs)
            seen.quietly("loops", _begin, seen, found)
            return found

    return ArgumentParser


def _begin(seen: Attachment, arguments: argparse.Namespace) -> None:
    watch = Watch.begin(seen, seen.folder_name(), arguments.max_iterations)
    if watch is not None:
        watch.notes.update(least=arguments.iterations, limit=arguments.max_iterations)


def _run(call: Call) -> Iterator[None]:
    yield
    watch = current()
    if watch is not None:
        ended = watch.loop.iterations >= watch.notes["limit"]
        reason = "completed" if watch.notes.get("completed") else "max_iterations" if ended else "user_signal"
        watch.end(reason, call.error)


def _iteration(ends_here: bool, watch: Watch, call: Call) -> Iterator[None]:
    watch.begin_iteration(call.arguments["iteration"])
    yield
    result = call.result
    if call.error is None:
        timed_out = result.timed_out or result.idle_timed_out
        watch.end_agent("timeout" if timed_out else None)
        if ends_here:
            _end_iteration(watch, result)


def _verify(watch: Watch, call: Call) -> Iterator[None]:
    began = time.monotonic()
    yield
    if call.error is None:
        passed = call.result[0]
        (watch.turn or watch.loop).tests(int(passed), int(not passed), duration=time.monotonic() - began)


def _end(watch: Watch, call: Call) -> Iterator[None]:
    yield
    result, passed = call.arguments["result"], call.arguments["verify_passed"]
    signal: str = getattr(sys.modules[_CLI], "COMPLETION_SIGNAL", "")
    enough = call.arguments["iteration"] >= watch.notes.get("least", 0)
    watch.notes["completed"] = bool(signal) and signal in result.text and enough and passed is not False
    _end_iteration(watch, result)


def _end_iteration(watch: Watch, result: Any) -> None:
    timed_out = result.timed_out or result.idle_timed_out
    watch.end_iteration("timeout" if timed_out else "failure" if result.exit_code else "success", None, result.duration)


def _summary(watch: Watch, call: Call) -> Iterator[None]:
    yield
    watch.end_agent()
