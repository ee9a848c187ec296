"""The command `ralph-otel` with as much time at its end as a busy machine needs: for what arrives, however late.

It is no module to import: run it with `-P`, for its neighbours' names are not meant for everybody.
"""

from __future__ import annotations

from ralph_otel import beside
from ralph_otel.__main__ import main
from ralph_otel.collector import MetricsCollector

beside.END_TIMEOUT = 60.0
MetricsCollector.shutdown.__defaults__ = (60.0,)
main()
