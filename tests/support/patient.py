"""The command `ralph-otel` with all the time that it needs at its end.

A machine that is busy enough takes longer for the last of what a test looks at than a user should wait for it. What
bounds the end is tested without this.
"""

from __future__ import annotations

import sys

PROGRAM = [sys.executable, "-P", __file__]  # -P: nothing of this folder is for the command
RUN = [*PROGRAM, "run"]

if __name__ == "__main__":
    from ralph_otel.__main__ import main
    from ralph_otel.collector import MetricsCollector
    from ralph_otel.launch import beside
    from ralph_otel.shims import listener
    from ralph_otel.watch import launched

    beside.PROGRESS_TIMEOUT = beside.END_TIMEOUT = 60.0
    listener._FLUSH = listener._UNHURRIED = launched._LONGEST_END = 60.0
    MetricsCollector.shutdown.__defaults__ = (60.0,)
    main()
