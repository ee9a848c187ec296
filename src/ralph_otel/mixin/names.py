"""The catalog's metrics and attributes as they are called in a query."""

from __future__ import annotations

from dataclasses import dataclass

from ralph_otel.catalog import BY_NAME, DEFAULT_PREFIX, LOOP_NAME, RUNNER, Attribute
from ralph_otel.exporters.prometheus.names import catalog_name, label_name


def label(attribute: Attribute) -> str:
    """An attribute as a label: `ralph.loop.name` → `ralph_loop_name`."""
    return label_name(attribute.name)


LOOP = ("job", label(LOOP_NAME), label(RUNNER))
"""The labels of a loop, whatever its runs."""
TARGET = ("job", "instance")
"""The labels of what Prometheus scrapes."""
PROCESS = (*TARGET, "exported_instance")
"""The labels of what records runs. Its files for node_exporter have the instance under the last, unless that is scraped
with `honor_labels`: all files of a machine then have one `instance`, node_exporter's."""
RUN = (*PROCESS, label(LOOP_NAME), label(RUNNER))
"""The labels of a run: the instance is the run id, or that of the process that records several runs."""

_PARTS = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True)
class Names:
    """Names for one prefix."""

    prefix: str = DEFAULT_PREFIX

    def __call__(self, name: str) -> str:
        """A series' name in Prometheus, by its metric's name in the catalog; of a histogram with `_bucket`, `_sum`,
        `_count` behind it.

        Raises:
            KeyError: the catalog has no such metric.
        """
        part = next((each for each in _PARTS if name not in BY_NAME and name.endswith(each)), "")
        return catalog_name(BY_NAME[name.removesuffix(part)], self.prefix) + part

    def recorded(self, name: str, operation: str) -> str:
        """The name of a recording rule: `loop:ralph_loop_iterations:increase5m`, one value a loop."""
        return f"loop:{self(name).removesuffix('_total')}:{operation}"
