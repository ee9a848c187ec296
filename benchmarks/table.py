"""The one table: every figure, and what it is to be."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from benchmarks import (
    caller,
    child_tree,
    exit_time,
    fold,
    hook,
    looking,
    memory,
    page,
    scrape,
    shim,
    startup,
    subscribers,
    total_cpu,
)


@dataclass(frozen=True)
class Figure:
    """One row.

    Args:
        name: what it says.
        module: what measures it.
        key: its name among the module's figures.
        form: how it is shown.
        most: what it may be at the most.
        least: what it is to be at the least. With neither it is there to be known.
    """

    name: str
    module: ModuleType
    key: str
    form: str = "{:.3f} ×"
    most: float | None = None
    least: float | None = None

    @property
    def target(self) -> str:
        """The target as text; empty if there is none."""
        if self.most is not None:
            return "≤ " + self._plain(self.most)
        return "≥ " + self._plain(self.least) if self.least is not None else ""

    def _plain(self, value: float) -> str:
        return f"{value:,g}" + self.form.partition("}")[2]

    def met(self, value: float) -> bool:
        """Whether a value is within the target."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)


_MS, _S, _US = "{:.1f} ms", "{:.2f} s", "{:.1f} µs"

TABLE = (
    Figure("end of an iteration, with a journal ÷ by hand on the SDK", caller, "journal", most=0.06),
    Figure("end of an iteration, without a journal ÷ by hand on the SDK", caller, "memory", most=0.03),
    Figure("the same by hand with prometheus_client, no span ÷ by hand on the SDK", caller, "prometheus_client"),
    Figure("end of an iteration, with a journal ÷ by hand, the catalog's six calls only", caller, "journal_six"),
    Figure("end of an iteration after a pause, caches cold ÷ by hand likewise", caller, "first"),
    Figure("end of an iteration, with a journal", caller, "journal_us", _US),
    Figure("end of an iteration, by hand on the SDK", caller, "sdk_us", _US),
    Figure("processor time of the process, end of an iteration ÷ by hand on the SDK", total_cpu, "ratio", most=0.7),
    Figure("the same, beginning and end", total_cpu, "both", most=0.7),
    Figure("processor time of the process, usual iteration of 15 events ÷ by hand", total_cpu, "usual"),
    Figure("register(), after the imports", startup, "ms", _MS, most=5),
    Figure("process start until register() is back ÷ eager set-up of the SDK", startup, "ratio", most=0.5),
    Figure("process start until register() is back", startup, "ours_ms", _MS),
    Figure("process start, eager set-up of the SDK", startup, "eager_ms", _MS),
    Figure("start to end of a shell script's agent below ralph-otel run, added", shim, "added_ms", _MS, most=50),
    Figure("the same for an agent whose output is not read", shim, "unread_ms", _MS, most=50),
    Figure("processor time of a hook of Claude Code, start to end", hook, "hook_ms", _MS, most=50),
    Figure("the same ÷ a Python that does nothing", hook, "ratio", "{:.2f} ×"),
    Figure("start to end of a hook, the quickest of 100", hook, "least_ms", _MS, most=50),
    Figure("exit delayed by a Collector that refuses", exit_time, "refused_s", _S, most=2),
    Figure("exit delayed by a Collector that never answers", exit_time, "silent_s", _S, most=2),
    Figure("exit delayed by a Collector that refuses, gRPC", exit_time, "refused_grpc_s", _S, most=2),
    Figure("exit delayed by a Collector that never answers, gRPC", exit_time, "silent_grpc_s", _S, most=2),
    Figure("fold of a journal from the disk", fold, "events_per_s", "{:,.0f} events/s", least=150_000),
    Figure("speed of the fold ÷ speed of json.loads alone", fold, "ratio"),
    Figure("ralph-otel top beside 20 loops, of a core", looking, "top_percent", "{:.1f} %", most=2),
    Figure("ralph-otel report of 100,000 events, HTML", looking, "html_s", _S, most=1),
    Figure("the same, Markdown", looking, "markdown_s", _S, most=1),
    Figure("the same, JSON", looking, "json_s", _S, most=1),
    Figure("scrape of 1,000 histograms ÷ PrometheusMetricReader", scrape, "render", most=1),
    Figure("the same over HTTP", scrape, "http", most=1),
    Figure("finding the processes below one ÷ psutil", child_tree, "ratio", most=0.1),
    Figure("a snapshot for 1,000 subscribers ÷ for one, busy", subscribers, "busy", "{:.2f} ×", most=2),
    Figure("the same, waiting in asyncio tasks", subscribers, "asyncio", "{:.2f} ×", most=2),
    Figure("the same, waiting in threads", subscribers, "threads", "{:.2f} ×", most=2),
    Figure("page: a run of 100,000 events opened, processor time", page, "open_s", _S, most=1),
    Figure("page: the same ÷ json.loads of its lines alone", page, "open", "{:.2f} ×"),
    Figure("page: a change for 1,000 readers, each ÷ for one reader", page, "readers", most=0.5),
    Figure("page: until the last of 1,000 readers has a change", page, "told_ms", "{:.0f} ms"),
    Figure("memory, growth from 10,000 to 1,000,000 iterations", memory, "growth_percent", "{:.1f} %", most=5),
    Figure("memory at 1,000,000 iterations", memory, "last_mb", "{:.0f} MB"),
)
