"""The command `ralph-otel`, called in this process or in one of its own."""

from __future__ import annotations

import contextlib
import io
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ralph_otel.cli import main


@dataclass(frozen=True)
class Result:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


def call(*arguments: str) -> Result:
    """Call the command here."""
    out, err = io.StringIO(), io.StringIO()
    logger = logging.getLogger("ralph_otel")
    before = logger.handlers[:]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(list(arguments))
    except SystemExit as end:
        return Result(int(end.code or 0), out.getvalue(), err.getvalue())
    finally:
        logger.handlers, logger.propagate = before, True
    raise AssertionError("main ends the process")


def command(*arguments: str) -> list[str]:
    """The command's words, for a process of its own."""
    return [sys.executable, "-c", "from ralph_otel.cli import main; main()", *arguments]


def python(code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a piece of Python in a process of its own."""
    words: Sequence[str] = [sys.executable, "-c", code, *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, **options)
