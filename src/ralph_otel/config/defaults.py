"""What the configuration and the catalog both start from. By itself, so that settings are read without the catalog."""

from __future__ import annotations

DEFAULT_PREFIX = "ralph_loop"
"""How the names of the loop's metrics begin."""
DURATION_BUCKETS = (
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
)  # fmt: skip
"""Upper bounds in seconds, for every duration unless `duration_buckets` says otherwise."""
