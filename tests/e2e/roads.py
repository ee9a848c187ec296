"""The roads that a loop's metrics take to Prometheus, each with recorders that have the same journals.

A recorder is the one of `ralph-otel run`, in a process of its own, which is also the runner that it samples. It has a
run that goes on and one that has ended (`support.everything`), a line that is none, and a measurement that it refuses.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backends import Backends
from stack.clients import PrometheusClient, Sample

from ralph_otel.events import Line
from ralph_otel.journal import encode
from support.everything import script
from support.tape import Tape

RUNNER = "scripted"
RECORDER = """
import os, sys
from pathlib import Path
from ralph_otel.config import MetricsConfig
from ralph_otel.recorder.recorder import Recorder

recorder = Recorder(MetricsConfig(), sys.argv[1], os.getpid())
for path in sys.argv[2:]:
    recorder.follow(Path(path))
recorder.start()
sys.stdin.read()
recorder.stop(20)
"""
"""Follows journals until its standard input ends; takes an instance id, and their paths."""
_SECONDS = 80.0
"""For everything to arrive; then what has arrived is looked at as it is."""


_SETTLED = 2.5
"""Seconds in which every sum would come once more, if there were more: what is sent by StatsD comes in pieces."""
_SUMS = ("_total", "_count", "_sum", "_bucket")


@dataclass(frozen=True)
class Variant:
    """What is configured, and what the loop is called."""

    name: str
    prefix: str
    loop: str
    loop_in_tags: str
    """The loop's name where it must be a tag of StatsD."""

    @property
    def lines(self) -> list[Line]:
        """The events of both runs; the last one is a counter that may not be called so."""
        more = Tape("").add(20, "counter.added", name="widgets", value=7, labels={"colour": "red"})
        return [*script(self.loop, RUNNER), *more.add(20, "counter.added", name="tokens", value=1).lines]

    def write(self, folder: Path) -> list[Path]:
        """The journals; the last line of one is none."""
        folder.mkdir(parents=True)
        written: dict[Path, bytes] = {}
        for line in self.lines:
            path = folder / f"{line['loop']}.jsonl"
            written[path] = written.get(path, b"") + encode(line) + b"\n"
        for path, content in written.items():
            path.write_bytes(content)
        with path.open("ab") as file:
            file.write(b'{"v": 1, "type": "iteration.fin\n')
        return list(written)


VARIANTS = (
    Variant(
        "awkward",
        "ralph_loop",
        'fix "the bugs", #7: C:\\päth.*[a-z]+{2}|$1 (🦊)',
        'fix_"the_bugs"_7_C_\\päth.*[a-z]+{2}_$1_(🦊)',
    ),
    Variant("renamed", "acme.loops", "plain", "plain"),
)


@dataclass(frozen=True)
class Road:
    """One road.

    Args:
        name: for people.
        environment: what makes a recorder send by it; takes the backends, and the recorder's instance id. None: it has
            the recorders of the Collector's road.
        series: what selects a recorder's series; takes the backends, and the recorder's instance id.
        targets: likewise, what selects the scraped targets that say the types. None: it is written, not scraped.
        typed: whether types arrive. Remote write 1 has none for Prometheus, and 2 is not finished in the Collector.
        by_tags: whether loops' names become tags of StatsD, which knows no instance and no exact distribution.
        job, instance: the labels that have the loop's own; "" where nothing has.
    """

    name: str
    environment: Callable[[Backends, str], dict[str, str]] | None
    series: Callable[[Backends, str], str]
    targets: Callable[[Backends, str], str] | None
    typed: bool = True
    by_tags: bool = False
    job: str = "job"
    instance: str = "instance"

    def client(self, backends: Backends) -> PrometheusClient:
        """The Prometheus where its series are."""
        return backends.prometheus if self.targets else backends.written_prometheus


def _of_instance(backends: Backends, instance: str) -> str:
    return f'{{instance="{instance}"}}'


def _of_textfile(backends: Backends, instance: str) -> str:
    return f'{{job="node",exported_instance="{instance}"}}'


def _of_node(backends: Backends, instance: str) -> str:
    return '{job="node"}'


def _of_collector(backends: Backends, instance: str) -> str:
    return f'{{instance="{backends.collector.metrics}"}}'


DIRECT = Road("direct", lambda b, i: b.environment(RALPH_OTEL_EXPORT_TARGET="127.0.0.1:0"), _of_instance, _of_instance)
TEXTFILE = Road(
    "textfile",
    lambda b, i: b.environment(RALPH_OTEL_EXPORT_TARGET=str(b.textfiles / f"{i}.prom")),
    _of_textfile,
    _of_node,
    job="exported_job",
    instance="exported_instance",
)
COLLECTOR = Road("collector", lambda b, i: b.by_otlp(), _of_instance, _of_collector)
REMOTE_WRITE = Road("remote-write", None, _of_instance, None, typed=False)
STRAIGHT = Road(
    "otlp",
    lambda b, i: b.environment(
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{b.written.otlp}/v1/metrics", RALPH_OTEL_EXPORT_FORMAT="otlp"
    ),
    _of_instance,
    None,
)
STATSD = Road(
    "statsd",
    lambda b, i: b.environment(RALPH_OTEL_EXPORT_FORMAT="statsd", RALPH_OTEL_EXPORT_TARGET=b.collector.statsd),
    _of_collector,
    _of_collector,
    by_tags=True,
    instance="",
)
ROADS = (DIRECT, TEXTFILE, COLLECTOR, REMOTE_WRITE, STRAIGHT, STATSD)


def instance_of(road: Road, variant: Variant) -> str:
    """The instance id of the recorder whose figures take that road. What the Collector gets goes two ways."""
    return f"{(COLLECTOR if road is REMOTE_WRITE else road).name}-{variant.name}"


@contextmanager
def recorders(backends: Backends, folder: Path) -> Iterator[None]:
    """A recorder for each road and variant, while the block runs."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for variant in VARIANTS:
            journals = variant.write(folder / variant.name)
            for road in ROADS:
                if road.environment is not None:
                    own = instance_of(road, variant)
                    environment = {**road.environment(backends, own), "RALPH_OTEL_PREFIX": variant.prefix}
                    words = [sys.executable, "-c", RECORDER, own, *map(str, journals)]
                    processes.append(subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, cwd=folder))
        yield
    finally:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in processes:
            process.wait(60)


@dataclass(frozen=True)
class Arrived:
    """What has arrived by one road of one recorder."""

    samples: list[Sample]
    types: dict[str, str]
    """Of each metric, by its name without a counter's `_total`."""

    def of(self, name: str) -> list[Sample]:
        """The samples with exactly this name."""
        return [sample for sample in self.samples if sample.name == name]


def arrived(backends: Backends, road: Road, variant: Variant, names: set[str]) -> Arrived:
    """What arrives by a road, once there is something of every name, all events are counted, and no sum grows more."""
    client, deadline = road.client(backends), time.monotonic() + _SECONDS
    own = instance_of(road, variant)
    events = len(variant.lines) * (len(VARIANTS) if road.by_tags else 1)  # what has no instance is of all recorders
    before: dict[frozenset[tuple[str, str]], float] = {}
    while True:
        samples = client.query(road.series(backends, own))
        sums = {frozenset(each.labels.items()): each.value for each in samples if each.name.endswith(_SUMS)}
        counted = sum(sample.value for sample in samples if sample.name == "ralph_otel_events_total")
        complete = counted >= events and names <= {sample.name for sample in samples} and sums == before
        if complete or time.monotonic() > deadline:
            return Arrived(samples, _types(samples, client, road.targets and road.targets(backends, own)))
        before = sums
        time.sleep(_SETTLED)


def _types(samples: list[Sample], client: PrometheusClient, targets: str | None) -> dict[str, str]:
    """What is scraped says its type beside, what is written in a label."""
    if targets is None:
        said = {sample.name: sample.labels.get("__type__", "") for sample in samples}
        return {_family(name, type_): type_ for name, type_ in said.items()}
    return {name.removesuffix("_total"): type_ for name, (type_, _, _) in client.target_metadata(targets).items()}


def _family(name: str, type_: str) -> str:
    parts = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    for part in parts.get(type_, ()):
        name = name.removesuffix(part)
    return name
