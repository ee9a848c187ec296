"""`ralph-otel run`, as a program, with all the time that it needs at its end.

A machine that is busy enough takes longer for the last of what a test looks at than a user should wait for it. What
bounds the end is tested without this.
"""

from __future__ import annotations

import sys

PROGRAM = [sys.executable, __file__]

if __name__ == "__main__":
    del sys.path[0]  # this folder: nothing of it is for the command

    from ralph_otel.cli.run import command
    from ralph_otel.launch import beside
    from ralph_otel.shims import listener
    from ralph_otel.watch import launched

    beside.PROGRESS_TIMEOUT = beside.END_TIMEOUT = 60.0
    listener._FLUSH = listener._UNHURRIED = launched._LONGEST_END = 60.0
    command()
