"""What a runner's module sees as `subprocess` or `asyncio`: the same, but processes that are started there are agents'.

While a loop runs, such a process gets TRACEPARENT into its environment, and the loop's watch gets to know it.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ralph_otel.runners.attachment import Attachment, leave_no_frame
from ralph_otel.runners.watch import Watch, current

WHAT = "agents"
"""What is not seen when something here fails."""


class StandIn:
    """A module, with some of its names replaced."""

    def __init__(self, module: Any, **replaced: Any) -> None:
        vars(self).update(replaced, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def agents_by_subprocess(attachment: Attachment, module: str, *starters: str) -> None:
    """Know the processes that a module of the runner starts by `subprocess`.

    Args:
        attachment: the adapter's.
        module: the module's full name.
        starters: what starts agents there: `Popen`, `run` or both (by default).
    """

    class AgentProcess(subprocess.Popen):  # type: ignore[type-arg]  # the runner chooses between text and bytes
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            watch = current()
            kwargs = _with_variables(attachment, watch, args[0] if args else kwargs.get("args"), kwargs)
            try:
                super().__init__(*args, **kwargs)
            except BaseException as error:
                leave_no_frame(error)
                raise
            if watch is not None:
                watch.process = self

    def run(*args: Any, **kwargs: Any) -> Any:
        watch = current()
        kwargs = _with_variables(attachment, watch, args[0] if args else kwargs.get("args"), kwargs)
        try:
            done = subprocess.run(*args, **kwargs)
        except BaseException as error:
            leave_no_frame(error)
            if watch is not None and isinstance(error, subprocess.TimeoutExpired):
                attachment.quietly(WHAT, watch.end_agent, "timeout")
            raise
        if watch is not None:
            watch.exit_code = done.returncode
            attachment.quietly(WHAT, watch.reads_afterwards, done.stdout)
        return done

    replaced = {"Popen": AgentProcess, "run": run}
    known = {name: value for name, value in replaced.items() if not starters or name in starters}
    attachment.stand_in(WHAT, module, subprocess, StandIn(subprocess, **known))


def agents_by_asyncio(attachment: Attachment, module: str, hear: Callable[[Watch, bytes], None] = Watch.reads) -> None:
    """Know the processes that a module of the runner starts by `asyncio.create_subprocess_exec`.

    Args:
        attachment: the adapter's.
        module: the module's full name.
        hear: takes what the runner reads of their standard output, in pieces.
    """
    asyncio: Any = sys.modules.get("asyncio")  # not imported here: some runners do without
    if asyncio is None:
        attachment.missing(f"{WHAT}, since {module} does not use asyncio")
        return

    async def create_subprocess_exec(*command: Any, **kwargs: Any) -> Any:
        watch = current()
        kwargs = _with_variables(attachment, watch, command, kwargs)
        try:
            process = await asyncio.create_subprocess_exec(*command, **kwargs)
        except BaseException as error:
            leave_no_frame(error)
            raise
        if watch is not None:
            watch.process = process
            if process.stdout is not None:
                _listen(attachment, functools.partial(hear, watch), process.stdout)
        return process

    attachment.stand_in(WHAT, module, asyncio, StandIn(asyncio, create_subprocess_exec=create_subprocess_exec))


def _with_variables(
    attachment: Attachment, watch: Watch | None, command: Any, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments that start a process, with an environment that has the agent's variables."""
    words = list(command) if isinstance(command, (list, tuple)) else [command]
    variables = attachment.quietly(WHAT, watch.agent_variables, words) if watch is not None else None
    if variables is None:
        return dict(given)
    environment = given.get("env")
    return {**given, "env": {**(os.environ if environment is None else environment), **variables}}


def _listen(attachment: Attachment, hear: Callable[[bytes], None], stream: Any) -> None:
    """Hear what a runner reads from an `asyncio.StreamReader` in pieces of a limited size."""
    read = stream.read

    async def heard(n: int = -1) -> bytes:
        data: bytes = await read(n)
        if n >= 0:  # without a limit, it calls itself with one
            attachment.quietly(WHAT, hear, data)
        return data

    stream.read = heard  # of this one object
