"""Configuration: what may be set, where each value came from, and what is wrong with it.

Order: arguments, then `RALPH_OTEL_*` variables (each field upper-cased), then the standard `OTEL_*` variables, then
`ralph-otel.toml` or `[tool.ralph-otel]` of `pyproject.toml` in the working directory, then defaults. A wrong value
never stops a loop: one line names the field, the value and what would do, and the next source is asked.

    metrics_config.py   `MetricsConfig`
    fields.py           the table: of each field how it is read, and its default
    sources.py          arguments, variables, files
    values.py           a reader for each kind of value
    defaults.py         what the catalog starts from as well
"""

from ralph_otel.config.metrics_config import MetricsConfig, address_of, is_textfile, usable
from ralph_otel.config.sources import OTLP_ENDPOINTS
from ralph_otel.config.values import MetricsExportFormat, seconds

__all__ = [
    "OTLP_ENDPOINTS",
    "MetricsConfig",
    "MetricsExportFormat",
    "address_of",
    "is_textfile",
    "seconds",
    "usable",
]
