"""`register()`: the one collector of a process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ralph_otel.collector import MetricsCollector
from ralph_otel.config import MetricsConfig

if TYPE_CHECKING:
    from ralph_otel.recorder.pipeline import Host

_registered: MetricsCollector | None = None
_registering = threading.Lock()


def register(
    config: MetricsConfig | Mapping[str, Any] | None = None, *, host: Host | None = None, **fields: Any
) -> MetricsCollector:
    """Make this process's collector, or return the one it has. Call it once, at start-up.

    Comes back in milliseconds: the SDK and the exporters are imported and started in the background.

    Args:
        config: the configuration, or its fields as a mapping; instead of it, any field of `MetricsConfig` by name.
        host: the host's providers, see `ralph_otel.RalphInstrumentor`.

    Returns:
        The collector. If anything is wrong with the configuration, one that works with what is right.
    """
    global _registered
    with _registering:
        if _registered is None or _registered.closed:
            made = MetricsCollector(fields if config is None else config, host, ends_with_process=True)
            made.start()
            _registered = made
        return _registered


def plugin(config: MetricsConfig | Mapping[str, Any] | None = None) -> MetricsCollector:
    """The entry point `ralph_otel` of the group `ralph_loop.plugins`: what a runner that loads plugins calls.

    Args:
        config: a `MetricsConfig`, its fields as a mapping, or None.
    """
    return register(config)
