"""The command `ralph-otel` with as much time at its end as a busy machine needs: for what arrives, however late."""

from __future__ import annotations

from ralph_otel.__main__ import main
from ralph_otel.launch import beside

beside.END_TIMEOUT = 60.0
main()
