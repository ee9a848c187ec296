"""What a recorder sees to beside its own runs, at its start and every hour: the dead, and the folder of the journals.

Runs that were killed get their end; what killed recorders had no time to send is sent; old journals go, and temporary
folders whose makers were killed.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from ralph_otel.config import MetricsConfig
from ralph_otel.guard import guarded

if TYPE_CHECKING:
    from ralph_otel.recorder.pipeline import Pipeline

_EVERY = 3600.0
"""Seconds between two looks."""


class Housekeeping:
    """Belongs to the recorder's thread.

    Args:
        config: where the journals are, and how many are kept.
        sends: whether what killed recorders have left is sent.
    """

    def __init__(self, config: MetricsConfig, sends: bool) -> None:
        self._config = config
        self._sends = sends
        self._next = 0.0
        self._thread: threading.Thread | None = None

    @property
    def due(self) -> bool:
        """Whether it is time for a look."""
        return self._config.journal and time.monotonic() >= self._next

    def look(self, pipeline: Pipeline | None) -> None:
        """See to everything; what is to go is removed on a thread beside.

        Args:
            pipeline: takes what the dead have left open.
        """
        self._next = time.monotonic() + _EVERY
        guarded("recovery", partial(self._end_the_dead, pipeline))
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._tidy, name="ralph-otel-house", daemon=True)
            guarded("housekeeping", self._thread.start)

    def _end_the_dead(self, pipeline: Pipeline | None) -> None:
        from ralph_otel.recorder import handover, recovery

        if pipeline is not None and pipeline.deliveries is not None:
            pipeline.deliveries.expire()
        if pipeline is not None and self._sends:
            guarded("handover", partial(handover.take_over, self._config, pipeline))
        recovery.recover(self._config.home, handover.into(pipeline) if pipeline is not None else None)

    def _tidy(self) -> None:
        guarded("temporary folders", self._sweep)
        guarded("retention", self._remove_old)

    def _sweep(self) -> None:
        from ralph_otel import temporary

        temporary.sweep(self._config.home)

    def _remove_old(self) -> None:
        from ralph_otel.recorder import retention

        retention.remove_old(self._config.home, self._config.journal_age, self._config.journal_size)
