"""The command line in this process, and what a terminal would obey."""

from __future__ import annotations

import logging
import re

from ralph_otel.cli import main

OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that a terminal obeys instead of showing them; those that turn the direction of writing included."""


def call(*arguments: str) -> int:
    """Call `ralph-otel`: its exit code. What it prints is for `capsys`."""
    logger = logging.getLogger("ralph_otel")
    before = logger.handlers[:]
    try:
        main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        logger.handlers, logger.propagate = before, True
    raise AssertionError("main ends the process")
